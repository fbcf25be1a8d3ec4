"""The borders of tiles as line segments, for the slice in view only."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import product

import numpy as np

from napari_tileseg._types import Array
from napari_tileseg.tiling import TileGrid


def grid_lines(grid: TileGrid, point: Sequence[float], displayed: Sequence[int]) -> Array:
    """Return the lines between the cores of a grid, in the slice through a point.

    Parameters
    ----------
    grid : TileGrid
        The tiles.
    point : sequence of float
        Voxel coordinates of the slice; only the axes not displayed count.
    displayed : sequence of int
        Axes that are displayed, two or three.

    Returns
    -------
    ndarray
        ``(lines, 2, ndim)``: start and direction of each line, as napari's Vectors take them, in voxels of
        the image. Cores are cubes around voxel centres, so borders lie at halves. Empty where the slice lies
        outside the grid.
    """
    low = np.asarray(grid.box.start, dtype=float) - 0.5
    high = np.asarray(grid.box.stop, dtype=float) - 0.5
    fixed = [axis for axis in range(grid.ndim) if axis not in displayed]
    if any(not low[axis] <= point[axis] < high[axis] for axis in fixed):
        return np.zeros((0, 2, grid.ndim))
    borders = {
        axis: np.append(np.arange(low[axis], high[axis], grid.core[axis]), high[axis]) for axis in displayed
    }
    lines = [_lines_along(axis, borders, np.asarray(point, dtype=float), low, high) for axis in displayed]
    return np.concatenate(lines)


def _lines_along(axis: int, borders: dict[int, Array], point: Array, low: Array, high: Array) -> Array:
    """Return lines parallel to one axis, at every border of the other displayed ones."""
    others = [other for other in borders if other != axis]
    points = np.array(list(product(*(borders[other] for other in others))))
    lines = np.zeros((len(points), 2, len(point)))
    lines[:, 0] = point
    lines[:, 0, others] = points
    lines[:, 0, axis] = low[axis]
    lines[:, 1, axis] = high[axis] - low[axis]
    return lines
