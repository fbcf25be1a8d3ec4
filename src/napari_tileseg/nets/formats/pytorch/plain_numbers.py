"""NumPy's numbers in a pickle, read without NumPy's own constructors.

Trainers keep scores beside the weights as NumPy's scalars. Their pickle calls two functions of NumPy, with a
type that those take on trust, while bytes of a wrong type can do harm. So the two names stand for functions
of our own here, which know plain numbers alone.
"""

from __future__ import annotations

import pickle
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
import torch

#: Kind and bytes of the types that are plain numbers, as a pickle spells them.
_CODES = frozenset(("b1", "i1", "i2", "i4", "i8", "u1", "u2", "u4", "u8", "f2", "f4", "f8"))
_ORDERS = "<>|="
#: The list of safe names belongs to the process: two openings at once must not take it from each other.
_LOCK = threading.Lock()


class _NumberType:
    """What ``numpy.dtype`` is called with, if it is the type of a plain number."""

    __slots__ = ("_code", "_order")

    def __init__(self, code: object = None, *_: object) -> None:
        if not isinstance(code, str) or code not in _CODES:
            raise pickle.UnpicklingError(f"{str(code)[:20]!r} is no type of plain numbers")
        self._code, self._order = code, "="

    def __setstate__(self, state: object) -> None:
        # Of all that it may say, a plain number has its byte order alone.
        order = state[1] if isinstance(state, tuple) and len(state) > 1 else None
        if not isinstance(order, str) or len(order) != 1 or order not in _ORDERS:
            raise pickle.UnpicklingError(f"{str(order)[:20]!r} is no byte order of a number")
        self._order = order

    @property
    def dtype(self) -> np.dtype[Any]:
        """NumPy's own."""
        return np.dtype(f"{self._order}{self._code}")


def _number(kind: object, data: object = b"") -> float | int | bool:
    """Return what ``numpy.core.multiarray.scalar`` makes of a type and bytes, as a number of Python."""
    if not isinstance(kind, _NumberType) or not isinstance(data, bytes) or len(data) != kind.dtype.itemsize:
        raise pickle.UnpicklingError("a scalar of NumPy is no plain number")
    found: float | int | bool = np.frombuffer(data, kind.dtype)[0].item()
    return found


_NAMES: list[Callable[..., Any] | tuple[Callable[..., Any], str]] = [
    (_NumberType, "numpy.dtype"),
    (_number, "numpy.core.multiarray.scalar"),
    (_number, "numpy._core.multiarray.scalar"),
]


@contextmanager
def plain_numbers_allowed() -> Iterator[None]:
    """Within, ``torch.load(..., weights_only=True)`` reads NumPy's numbers too, by our own functions."""
    with _LOCK, torch.serialization.safe_globals(_NAMES):
        yield
