"""What figures show of an image: a plane through two tiles that overlap, and the difference around it."""

from __future__ import annotations

from collections.abc import Generator
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np

from napari_tileseg._progress import Progress, Steps
from napari_tileseg._types import Array, Shape
from napari_tileseg.diagnosis.measured import Mismatch
from napari_tileseg.diagnosis.pair_sampling import plain_grid, why_no_seam
from napari_tileseg.diagnosis.pairs.grid_pairs import moved_grid
from napari_tileseg.diagnosis.region_predictor import network_regions
from napari_tileseg.errors import SettingsError
from napari_tileseg.tiling import Box, TileGrid

if TYPE_CHECKING:
    from napari_tileseg.prediction.plan.plan import Plan

#: Voxels of a heatmap's plane along each of its axes, at most.
MAP_SIZE = 160


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class PairView:
    """A plane through two overlapping tiles, as each of them predicts it.

    Parameters
    ----------
    class_name : str
        The class that is shown.
    axes : str
        Names of the plane's rows and columns.
    origin : tuple of int
        The plane's first voxel in the image.
    point : tuple of int
        Voxel of the image that the profile goes through.
    along : int
        Axis of the plane, 0 or 1, along which the second tile is moved.
    image : ndarray
        Normalized intensities of the plane.
    first, second : ndarray
        Probabilities of the plane, NaN outside of the tile.
    tiles : tuple of Box
        Both tiles, in the image.
    valid : tuple of int
        First valid voxel along the profile, and the one after the last, in the image.
    """

    class_name: str
    axes: str
    origin: Shape
    point: Shape
    along: int
    image: Array
    first: Array
    second: Array
    tiles: tuple[Box, Box]
    valid: tuple[int, int]

    @property
    def plane(self) -> tuple[int, int]:
        """Axes of the image that are the plane's rows and columns."""
        ndim = len(self.point)
        moved = _moved(*self.tiles)
        return (moved, ndim - 1) if moved < ndim - 2 else (ndim - 2, ndim - 1)

    @property
    def profile(self) -> tuple[Array, Array, Array]:
        """Positions in the image, and both predictions there, on a line across the tiles' borders."""
        other = self.plane[1 - self.along]
        index = self.point[other] - self.origin[other]
        lines = [np.take(values, index, axis=1 - self.along) for values in (self.first, self.second)]
        begin = self.origin[self.plane[self.along]]
        return np.arange(begin, begin + len(lines[0])), lines[0], lines[1]


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class MapPlane:
    """A plane of the mismatch heatmap, over the image.

    Parameters
    ----------
    axes : str
        Names of the plane's rows and columns.
    origin : tuple of int
        The plane's first voxel in the image.
    image, difference : ndarray
        Intensities, and the largest difference of a class, of one shape.
    """

    axes: str
    origin: Shape
    image: Array
    difference: Array


def view_pair(plan: Plan, mismatch: Mismatch, number: int = 0) -> PairView | None:
    """Predict the two tiles of one of the worst places, or, where there is none, of one pair.

    Parameters
    ----------
    plan : Plan
        How the image is prepared.
    mismatch : Mismatch
        What was measured with both.
    number : int
        Which of the worst places, the worst by default.

    Returns
    -------
    Place or None
        None where no tiles were compared.

    Raises
    ------
    NetworkError, DeviceError
        If a tile cannot be predicted.
    """
    place = mismatch.worst[number] if mismatch.worst else mismatch.largest
    if place is None:
        return None
    tiles = place.first, place.second
    if plan.tiles.regions is not None:
        tiles = _small_tiles(plan, place.point) or tiles
    return _plane(plan, place.class_name, place.point, tiles)


def _small_tiles(plan: Plan, point: Shape) -> tuple[Box, Box] | None:
    """Choose two tiles around a voxel that can be computed whole."""
    grid = plain_grid(plan)
    moved = moved_grid(grid, plan.tiles.lead)
    if moved is None:
        return None
    at = Box(point, tuple(n + 1 for n in point))
    first, second = (next(each.tiles_in(at)) for each in (grid, moved))
    return first.read, second.read


def map_around(plan: Plan, mismatch: Mismatch, point: Shape) -> Generator[Progress, None, MapPlane]:
    """Compute the heatmap in one plane around a point, with tiles as large as those that were compared.

    Parameters
    ----------
    plan : Plan
        How the image is predicted.
    mismatch : Mismatch
        What was measured with them.
    point : tuple of int
        Voxel of the image; `MAP_SIZE` voxels around it are computed along the last two axes.

    Yields
    ------
    Progress
        One for each tile.

    Returns
    -------
    MapPlane
        The plane.

    Raises
    ------
    SettingsError
        If the image has no room for tiles that lie differently.
    ImageError, NetworkError, DeviceError
        If a tile cannot be predicted.
    """
    box = _around(plan.grid.box, point)
    grid = _compared_grid(plan, mismatch)
    moved = moved_grid(grid, plan.tiles.lead, fixed=plan.tiles.lattice.fixed)
    if moved is None:
        raise SettingsError(f"{why_no_seam(plan.tiles)}.")
    tiles = [(number, tile) for number, each in enumerate((grid, moved)) for tile in each.tiles_in(box)]
    regions, steps = network_regions(plan), Steps("Drawing the heatmap", len(tiles))
    values = np.zeros((2, len(plan.classes), *box.shape), np.float32)
    for number, tile in tiles:
        part = tile.core.clip(box)
        predicted = regions(tile.read)[(slice(None), *part.within(tile.read))]
        values[number][(slice(None), *part.within(box))] = predicted
        yield steps.count()
    difference: Array = np.abs(values[0] - values[1]).max(axis=0)
    return MapPlane(
        axes=plan.tiles.image.grid_axes[-2:],
        origin=box.start,
        image=plan.prepared.read(box)[0].reshape(box.shape[-2:]),
        difference=difference.reshape(box.shape[-2:]),
    )


def _compared_grid(plan: Plan, mismatch: Mismatch) -> TileGrid:
    """Lay tiles like those that were compared, small enough to be computed whole."""
    grid = plan.grid
    if plan.tiles.regions is not None:
        return plain_grid(plan)
    if mismatch.tile == grid.read_shape:
        return grid
    rows = zip(mismatch.tile, grid.aligned_halo, grid.stride, strict=True)
    return replace(grid, core=tuple(max(step, (n - sum(halo)) // step * step) for n, halo, step in rows))


def _around(whole: Box, point: Shape) -> Box:
    """Return a box of one voxel along all axes but the last two, and at most `MAP_SIZE` along those."""
    start, stop = list(point), [n + 1 for n in point]
    for axis in range(len(point) - 2, len(point)):
        low, high = whole.start[axis], whole.stop[axis]
        start[axis] = max(low, min(point[axis] - MAP_SIZE // 2, high - MAP_SIZE))
        stop[axis] = min(high, start[axis] + MAP_SIZE)
    return Box(tuple(start), tuple(stop))


def _moved(first: Box, second: Box) -> int:
    """Return the axis along which tiles are moved; the last of several."""
    moved = [n for n, (a, b) in enumerate(zip(first.start, second.start, strict=True)) if a != b]
    return moved[-1] if moved else first.ndim - 1


def _plane(plan: Plan, name: str, point: Shape, tiles: tuple[Box, Box]) -> PairView:
    first, second = tiles
    moved, ndim = _moved(first, second), first.ndim
    plane = (moved, ndim - 1) if moved < ndim - 2 else (ndim - 2, ndim - 1)
    both = Box(
        tuple(min(a, b) if n in plane else point[n] for n, (a, b) in enumerate(_ends(tiles, "start"))),
        tuple(max(a, b) if n in plane else point[n] + 1 for n, (a, b) in enumerate(_ends(tiles, "stop"))),
    )
    shape = tuple(both.shape[axis] for axis in plane)
    regions, number = network_regions(plan), plan.classes.index(name)
    pictures = []
    for tile in tiles:
        part, values = both.clip(tile), np.full(both.shape, np.nan, np.float32)
        values[part.within(both)] = regions(tile)[number][part.within(tile)]
        pictures.append(values.reshape(shape))
    return PairView(
        class_name=name,
        axes="".join(plan.tiles.image.grid_axes[axis] for axis in plane),
        origin=both.start,
        point=point,
        along=plane.index(moved),
        image=plan.prepared.read(both)[0].reshape(shape),
        first=pictures[0],
        second=pictures[1],
        tiles=tiles,
        valid=_valid(plan, tiles, moved),
    )


def _ends(tiles: tuple[Box, Box], name: str) -> zip[tuple[int, int]]:
    first, second = (getattr(tile, name) for tile in tiles)
    return zip(first, second, strict=True)


def _valid(plan: Plan, tiles: tuple[Box, Box], axis: int) -> tuple[int, int]:
    """Return where both tiles have all their context along an axis."""
    before, after = plan.grid.aligned_halo[axis]
    begin, end = max(tile.start[axis] for tile in tiles), min(tile.stop[axis] for tile in tiles)
    begin += before if begin > 0 else 0
    return begin, end - (after if end < plan.grid.padded_shape[axis] else 0)
