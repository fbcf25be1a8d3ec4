"""How much is painted: voxels and strokes of each value, kept up chunk by chunk."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from itertools import product

import numpy as np
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components

from napari_tileseg._types import Array, Shape
from napari_tileseg.tiling import Box

#: Voxels up to which strokes are told apart; dense labels have more, and no strokes.
_MOST_VOXELS = 200_000


@dataclass(frozen=True, slots=True)
class Painted:
    """Voxels and strokes of one value.

    Parameters
    ----------
    voxels : int
        How many have it.
    strokes : int or None
        In how many connected pieces, diagonals included; None where there are, or once were, too many
        voxels to tell.
    """

    voxels: int
    strokes: int | None


class StrokeCounts:
    """Counts what is painted on a grid.

    Parameters
    ----------
    shape : tuple of int
        Voxels of the grid.
    """

    def __init__(self, shape: Shape) -> None:
        # A border of one voxel keeps neighbours in a flat index from reaching around the end of a row.
        self._padded = tuple(n + 2 for n in shape)
        self._voxels: dict[Shape, Counter[int]] = {}
        #: Of the chunks whose voxels are told apart, as long as there are not too many.
        self._points: dict[Shape, tuple[Array, Array]] = {}
        self._total = 0

    def update(self, index: Shape, box: Box, values: Array) -> None:
        """Take note of what a chunk now holds."""
        places = np.nonzero(values)
        painted = values[places]
        numbers, counts = np.unique(painted, return_counts=True)
        self._total += len(painted) - self._voxels.get(index, Counter()).total()
        self._voxels[index] = Counter(dict(zip(map(int, numbers), map(int, counts), strict=True)))
        if self._total > _MOST_VOXELS:
            self._points.clear()
            return
        moved = [place + start + 1 for place, start in zip(places, box.start, strict=True)]
        self._points[index] = (np.ravel_multi_index(moved, self._padded), painted)

    def counted(self) -> dict[int, Painted]:
        """Voxels and strokes of each value that is painted."""
        total: Counter[int] = sum(self._voxels.values(), Counter())
        strokes = self._strokes() if self._all_told_apart() else {}
        return {value: Painted(total[value], strokes.get(value)) for value in sorted(total)}

    def _all_told_apart(self) -> bool:
        """Whether the voxels of every chunk are at hand: some were dropped if there once were too many."""
        return all(index in self._points for index, counts in self._voxels.items() if counts)

    def _strokes(self) -> dict[int, int]:
        if not self._points:
            return {}
        flat = np.concatenate([points for points, _ in self._points.values()])
        values = np.concatenate([painted for _, painted in self._points.values()])
        order = np.argsort(flat)
        first = np.unique(self._pieces(flat[order], values[order]), return_index=True)[1]
        numbers, counts = np.unique(values[order][first], return_counts=True)
        return dict(zip(map(int, numbers), map(int, counts), strict=True))

    def _pieces(self, flat: Array, values: Array) -> Array:
        """Number of the connected piece of each voxel, of which the flat indices are sorted."""
        steps = [np.prod(self._padded[axis + 1 :], dtype=int) for axis in range(len(self._padded))]
        pairs = [
            _neighbours(flat, values, int(np.dot(move, steps)))
            for move in product((-1, 0, 1), repeat=len(steps))
            if np.dot(move, steps) > 0
        ]
        first, second = (np.concatenate(side) for side in zip(*pairs, strict=True))
        links = coo_array((np.ones(len(first), bool), (first, second)), shape=(len(flat), len(flat)))
        pieces: Array = connected_components(links, directed=False)[1]
        return pieces


def _neighbours(flat: Array, values: Array, step: int) -> tuple[Array, Array]:
    """Pairs of voxels of one value that lie `step` apart in the flat index."""
    place = np.minimum(np.searchsorted(flat, flat + step), len(flat) - 1)
    met = (flat[place] == flat + step) & (values[place] == values)
    return np.nonzero(met)[0], place[met]
