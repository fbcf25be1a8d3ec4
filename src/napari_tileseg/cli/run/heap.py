"""How a process of our own takes memory from the system."""

from __future__ import annotations

import ctypes
import os
from contextlib import suppress

#: `M_ARENA_MAX` of glibc's malloc.h.
_ARENA_MAX = -8


def share_heap() -> None:
    """Let all threads to come take memory from one heap, where the system can be told so.

    With glibc threads have heaps of their own, and memory that one thread took and another gave back, as
    tiles are handed on, is of no use to either for long: a prediction grows to far more than it holds. This
    speaks for the whole process, so only a command does it. `MALLOC_ARENA_MAX` in the environment comes
    first.
    """
    if "MALLOC_ARENA_MAX" not in os.environ:
        # Other systems have no such function, or no library to look it up in.
        with suppress(AttributeError, OSError, TypeError):
            ctypes.CDLL(None).mallopt(_ARENA_MAX, 1)
