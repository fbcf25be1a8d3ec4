"""How this process takes memory from the system."""

from __future__ import annotations

import ctypes
import os
from contextlib import suppress

#: `M_ARENA_MAX` of glibc's malloc.h.
_ARENA_MAX = -8


def share_heap() -> None:
    """Make all later threads take memory from one heap, where the system allows it.

    With glibc each thread has its own heap, and memory that one thread took and another gave back, as
    tiles are handed on, is of no use to either for long: a prediction grows to far more than it holds. This
    speaks for the whole process, so only a command does it. `MALLOC_ARENA_MAX` in the environment comes
    first.
    """
    if "MALLOC_ARENA_MAX" not in os.environ:
        # Other systems have no such function, or no library to look it up in.
        with suppress(AttributeError, OSError, TypeError):
            ctypes.CDLL(None).mallopt(_ARENA_MAX, 1)
