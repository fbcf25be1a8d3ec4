"""Exact quantiles of data that is seen only a block at a time.

Values are mapped to unsigned integers of the same order, and the wanted order statistics are found digit
by digit (16 bits each) from histograms: a radix selection. Memory is a few histograms, whatever the data.
"""

from __future__ import annotations

from collections.abc import Iterable
from math import floor
from typing import Any

import numpy as np
import numpy.typing as npt

from napari_tileseg._types import Array

_DIGIT = 16
#: Values that are counted at once: their indices are eight times as large as a byte of data.
_PORTION = 2**20


def to_keys(values: Array) -> npt.NDArray[Any]:
    """Return unsigned integers in the order of `values`, of the same width (at least 8 bits).

    Parameters
    ----------
    values : ndarray
        Finite numbers of any integer, boolean or floating type of up to 64 bits, in the machine's byte
        order.

    Examples
    --------
    >>> to_keys(np.array([-1, 0, 1], np.int8)).tolist()
    [127, 128, 129]
    """
    values = _widest_known(values)
    kind, bits = values.dtype.kind, values.dtype.itemsize * 8
    raw = np.ascontiguousarray(values).view(f"u{values.dtype.itemsize}")
    if kind in "bu":
        return raw
    top = raw.dtype.type(1 << (bits - 1))
    if kind == "i":
        signed: npt.NDArray[Any] = raw ^ top
        return signed
    keys: npt.NDArray[Any] = np.where(raw & top, ~raw, raw | top)
    return keys


def from_key(key: int, dtype: np.dtype[Any]) -> float:
    """Return the value whose key is `key`."""
    dtype = _widest_known(np.empty(0, dtype)).dtype
    bits = dtype.itemsize * 8
    top = 1 << (bits - 1)
    if dtype.kind == "i":
        key ^= top
    elif dtype.kind == "f":
        key = key ^ top if key & top else key ^ ((1 << bits) - 1)
    return float(np.array([key], f"u{dtype.itemsize}").view(dtype)[0])


def _widest_known(values: Array) -> Array:
    """Return `values` with long doubles, which have no integers of their width, as doubles."""
    if values.dtype.itemsize <= 8:
        return values
    with np.errstate(over="ignore"):
        return values.astype(np.float64)


class RankSearch:
    """Finds the values at given ranks among data seen in several passes.

    Parameters
    ----------
    dtype : dtype
        Type of the data.

    Notes
    -----
    One pass for types of up to 16 bits, two for 32, four for 64. In each pass `add` every block; end the
    first one with `choose`, the others with `narrow`, and start the others with `next_pass`.
    """

    def __init__(self, dtype: np.dtype[Any]) -> None:
        self._dtype = dtype
        bits = to_keys(np.empty(0, dtype)).dtype.itemsize * 8
        self._shift = max(bits - _DIGIT, 0)
        self._width = min(bits, _DIGIT)
        self._tables: dict[int, npt.NDArray[np.int64]] = {0: np.zeros(1 << self._width, np.int64)}
        self._ranks: dict[int, tuple[int, int]] = {}
        #: Values seen in the first pass.
        self.count = 0

    @property
    def passes(self) -> int:
        """Passes over the data that are needed from here on."""
        return self._shift // _DIGIT + 1

    def add(self, values: Array) -> None:
        """Count a block of finite values, of any shape."""
        flat = values.ravel()
        self.count += 0 if self._ranks else flat.size
        for start in range(0, flat.size, _PORTION):
            self._count(to_keys(flat[start : start + _PORTION]))

    def _count(self, keys: npt.NDArray[Any]) -> None:
        upper = keys >> keys.dtype.type(min(self._shift, keys.dtype.itemsize * 8 - 1))
        for prefix, table in self._tables.items():
            digits = self._digits(upper, prefix) if self._ranks else upper.astype(np.intp)
            table += np.bincount(digits, minlength=len(table))

    def _digits(self, upper: npt.NDArray[Any], prefix: int) -> npt.NDArray[Any]:
        mine = upper[(upper >> upper.dtype.type(_DIGIT)) == prefix]
        digits: npt.NDArray[np.intp] = (mine & mine.dtype.type((1 << _DIGIT) - 1)).astype(np.intp)
        return digits

    def choose(self, ranks: Iterable[int]) -> None:
        """Name the ranks (0 is the smallest value) after the first pass."""
        self._ranks = {rank: (0, rank) for rank in ranks}
        self.narrow()

    def next_pass(self) -> None:
        """Prepare the next pass over the data."""
        self._shift -= _DIGIT
        self._tables = {prefix: np.zeros(1 << _DIGIT, np.int64) for prefix, _ in self._ranks.values()}

    def narrow(self) -> None:
        """Narrow each rank down by the histograms of the pass that ends."""
        for rank, (prefix, within) in self._ranks.items():
            cumulated = np.cumsum(self._tables[prefix])
            digit = int(np.searchsorted(cumulated, within, side="right"))
            below = int(cumulated[digit - 1]) if digit else 0
            self._ranks[rank] = (prefix << _DIGIT | digit, within - below)

    def value(self, rank: int) -> float:
        """Return the value at a rank, after the last pass."""
        return from_key(self._ranks[rank][0], self._dtype)


def quantile_ranks(count: int, percentile: float) -> tuple[int, int, float]:
    """Return the ranks on both sides of a percentile of `count` values, and the weight of the upper one.

    This is the linear definition of Hyndman and Fan (1996), type 7, as in `numpy.percentile`.

    Examples
    --------
    >>> quantile_ranks(4, 50.0)
    (1, 2, 0.5)
    """
    rank = (count - 1) * percentile / 100
    lower = min(floor(rank), count - 1)
    return lower, min(lower + 1, count - 1), rank - lower
