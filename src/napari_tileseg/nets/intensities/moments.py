"""Mean and standard deviation of values that are seen only a block at a time."""

from __future__ import annotations

from math import sqrt
from typing import final

import numpy as np

from napari_tileseg._types import Array


@final
class Moments:
    """Pools mean and deviation, block by block (Chan, Golub and LeVeque, 1979).

    Values that are too large for their squares give a `mean` or `deviation` that is not finite.
    """

    def __init__(self) -> None:
        #: Values seen.
        self.count = 0
        self._first = self._mean = self._squares = 0.0

    def add(self, values: Array) -> None:
        """Count a block of finite values, of any shape; it may be empty."""
        flat = values.ravel()
        if not flat.size:
            return
        # As distances to the first value, equal values are exactly 0, however large they are.
        self._first = self._first if self.count else float(flat[0])
        with np.errstate(over="ignore", invalid="ignore"):
            distances = flat.astype(np.float64) - self._first
            fresh, own = distances.size, float(distances.mean())
            distances -= own
            distances *= distances
            squares, change = float(distances.sum()), np.float64(own - self._mean)
            total = self.count + fresh
            self._squares += squares + float(change**2) * self.count * fresh / total
            self._mean += float(change) * fresh / total
        self.count = total

    @property
    def mean(self) -> float:
        """Mean of all values; 0 where there are none."""
        return self._mean + self._first

    @property
    def deviation(self) -> float:
        """Standard deviation of all values, over their number (ddof 0); 0 where there are none."""
        return sqrt(self._squares / self.count) if self.count else 0.0
