"""Memory for arrays that come and go, taken from the system once and used again."""

from __future__ import annotations

import mmap
from math import prod
from typing import Any, final

import numpy as np

from napari_tileseg._types import Array, Shape

#: Bytes that are taken from the system at once, about.
BLOCK = 2**22


@final
class Slots:
    """Room for arrays of one shape, or smaller ones.

    Arrays that live for many tiles must not lie among those that live for one: what is free between them is
    in pieces that nothing fits into, so that a process grows although what it holds does not. These lie in
    blocks of their own, apart from what else is allocated. The blocks are held as long as this is, or an
    array in them.

    Parameters
    ----------
    shape : tuple of int
        Shape of the largest array.
    dtype : numpy.dtype
        Type of their elements.
    """

    def __init__(self, shape: Shape, dtype: np.dtype[Any]) -> None:
        self._size, self._dtype = prod(shape), dtype
        self._free: list[Array] = []

    @property
    def nbytes(self) -> int:
        """Bytes of a slot, also where a smaller array is in it."""
        return self._size * self._dtype.itemsize

    def take(self) -> Array:
        """Take a slot ``(elements,)`` for one array, with whatever is in it."""
        if not self._free:
            count = max(1, BLOCK // self.nbytes)
            block = np.frombuffer(mmap.mmap(-1, count * self.nbytes), self._dtype)
            self._free.extend(block.reshape(count, self._size))
        return self._free.pop()

    def give_back(self, slot: Array) -> None:
        """Use a slot for others; nobody may look at it any more."""
        self._free.append(slot)
