"""How much is painted: voxels and strokes of each value, updated chunk by chunk."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass

import numpy as np

from napari_tileseg._types import Array, Shape
from napari_tileseg.labels.painted import Painted as Voxels
from napari_tileseg.labels.painted import connect
from napari_tileseg.tiling import Box

#: Voxels up to which strokes are distinguished; dense labels have more, and no strokes.
MOST_VOXELS = 200_000


@dataclass(frozen=True, slots=True)
class Painted:
    """Voxels and strokes of one value.

    Parameters
    ----------
    voxels : int
        How many have it.
    strokes : int or None
        In how many connected pieces, diagonals included; None where there are, or once were, too many
        voxels to distinguish them.
    """

    voxels: int
    strokes: int | None


class StrokeCounts:
    """Counts what is painted on a grid.

    Parameters
    ----------
    shape : tuple of int
        Voxels of the grid.
    most : int
        Voxels up to which strokes are distinguished.
    """

    def __init__(self, shape: Shape, most: int = MOST_VOXELS) -> None:
        self._shape, self._most = shape, most
        self._voxels: dict[Shape, Counter[int]] = {}
        #: Of each chunk the painted voxels and their values, as long as there are not too many.
        self._points: dict[Shape, tuple[Array, Array]] = {}
        self._total = 0

    def update(self, index: Shape, box: Box, values: Array) -> None:
        """Count what a chunk holds now; replaces its former count."""
        points = np.nonzero(values)
        painted = values[points]
        numbers, counts = np.unique(painted, return_counts=True)
        self._total += len(painted) - self._voxels.get(index, Counter()).total()
        self._voxels[index] = Counter(dict(zip(map(int, numbers), map(int, counts), strict=True)))
        if self._total > self._most:
            self._points.clear()
            return
        moved = [at + start for at, start in zip(points, box.start, strict=True)]
        self._points[index] = (np.ravel_multi_index(moved, self._shape), painted)

    def counted(self) -> dict[int, Painted]:
        """Return the voxels and strokes of each value that is painted."""
        total: Counter[int] = sum(self._voxels.values(), Counter())
        strokes = self._strokes() if self._all_told_apart() else {}
        return {value: Painted(total[value], strokes.get(value)) for value in sorted(total)}

    def _all_told_apart(self) -> bool:
        """Return whether voxel positions are held for every chunk: they are dropped above the limit."""
        return all(index in self._points for index, counts in self._voxels.items() if counts)

    def _strokes(self) -> dict[int, int]:
        if not self._points:
            return {}
        flat = np.concatenate([points for points, _ in self._points.values()])
        values = np.concatenate([painted for _, painted in self._points.values()])
        order = np.argsort(flat)
        pieces = connect(Voxels(self._shape, flat[order], values[order], 0))
        first = np.unique(pieces, return_index=True)[1]
        numbers, counts = np.unique(values[order][first], return_counts=True)
        return dict(zip(map(int, numbers), map(int, counts), strict=True))
