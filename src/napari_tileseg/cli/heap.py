"""How a process of our own takes memory from the system."""

from __future__ import annotations

import ctypes
import os

#: `M_ARENA_MAX` of glibc's malloc.h.
_ARENA_MAX = -8


def share_heap() -> bool:
    """Let all threads to come take memory from one heap; whether this system can be told so.

    With glibc threads have heaps of their own, and memory that one thread took and another gave back, as
    tiles are handed on, is of no use to either for long: a prediction grows to far more than it holds. This
    speaks for the whole process, so only a command does it. `MALLOC_ARENA_MAX` in the environment comes
    first.
    """
    if "MALLOC_ARENA_MAX" in os.environ:
        return False
    try:
        return bool(ctypes.CDLL(None).mallopt(_ARENA_MAX, 1))
    except (AttributeError, OSError, TypeError):
        return False
