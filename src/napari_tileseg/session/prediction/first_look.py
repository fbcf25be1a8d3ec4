"""What is in view, predicted with first numbers while those of the whole image are still to be gathered."""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterator
from dataclasses import dataclass, replace
from time import monotonic
from typing import TYPE_CHECKING

import numpy as np

from napari_tileseg._progress import Noted, Progress
from napari_tileseg.errors import TilesegError
from napari_tileseg.labels.sparse_array import SparseArray
from napari_tileseg.tiling import Box, Tile, TileGrid

if TYPE_CHECKING:
    from napari_tileseg.prediction import Plan

#: Seconds after which no other tile is begun where statistics take passes over much of the image. Those of a
#: region take seconds, so that one tile is enough.
_ENOUGH = {"whole": 10.0, "sample": 10.0, "region": 0.0}
#: How many times a tile a region is whose statistics take longer than a first look.
_LARGE = 4


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Looked:
    """A tile in view was predicted with first numbers, those of the tile in the middle of the view.

    Parameters
    ----------
    probabilities : SparseArray
        ``(classes, *grid)`` of the tiled image, NaN where nothing is predicted; later ones are the same.
    tiles : int
        How many were predicted; 0 while their numbers are gathered.
    """

    probabilities: SparseArray
    tiles: int


def is_worth_it(plan: Plan) -> bool:
    """Return whether statistics of a plan are gathered for so long that something should be seen before."""
    if plan.statistics is None or plan.statistics.gathered is not None or not plan.normalization.known:
        return False
    way, core = plan.settings.statistics, Box.of_shape(plan.grid.core).size
    if way == "region":
        box = None if plan.region is None else plan.region.box
        return box is not None and box.size > _LARGE * core
    return way in _ENOUGH and len(plan.grid) > 1


def first_look(plan: Plan, view: Callable[[], Box | None]) -> Iterator[Progress | Looked | Noted]:
    """Predict what is in view with the statistics of the tile in its middle, for some seconds.

    What goes wrong is reported, and nothing more is predicted; the prediction does not end with it.

    Parameters
    ----------
    plan : Plan
        Of the prediction, with its intensities.
    view : callable
        Returns the voxels of the tiled image in view, asked before every tile; None where that is not known.
    """
    try:
        yield from _look(plan, view)
    except (TilesegError, MemoryError) as error:
        yield Noted(f"What is in view could not be shown with first numbers: {str(error).rstrip('.')}.")


def _look(plan: Plan, view: Callable[[], Box | None]) -> Iterator[Progress | Looked | Noted]:
    from napari_tileseg.diagnosis.region_predictor import planned_regions
    from napari_tileseg.prediction.plan.forecast import forecast

    grid, done = plan.grid, set[Tile]()
    tile = _nearest(grid, view(), done)
    if tile is None:
        return
    begun, shown = monotonic(), _empty(plan)
    yield Looked(probabilities=shown, tiles=0)
    first = yield from _with_numbers_of(plan, grid.kept(tile))
    regions = planned_regions(first)
    seconds = 0.0
    while tile is not None:
        since = monotonic()
        values, kept = regions.predict_core(tile.read, tile.core), grid.kept(tile)
        shown[(slice(None), *kept.slices)] = values[(slice(None), *kept.within(tile.core))]
        done.add(tile)
        now = monotonic()
        seconds = now - since
        yield Looked(probabilities=shown, tiles=len(done))
        tile = _nearest(grid, view(), done) if now - begun < _ENOUGH[plan.settings.statistics] else None
    # The last one was not compared with the plain network any more.
    if len(done) > 1 and (found := forecast(plan)) is not None:
        share = len(grid) / plan.tiles.cost
        yield Noted(found.words(seconds * share))


def _nearest(grid: TileGrid, view: Box | None, done: set[Tile]) -> Tile | None:
    """Return the tile in view that is nearest to its middle and not done; None where there is none."""
    if view is None or not view.size:
        return None
    middle = np.add(view.start, view.stop) / 2

    def distance(tile: Tile) -> float:
        centre = np.add(tile.core.start, tile.core.stop) / 2
        return float(np.square((centre - middle) / tile.core.shape).sum())

    return min((tile for tile in grid.tiles_in(view) if tile not in done), key=distance, default=None)


def _with_numbers_of(plan: Plan, part: Box) -> Generator[Progress, None, Plan]:
    """Return the plan with the statistics of a part of the tiled image, quickly gathered."""
    from napari_tileseg.prediction import lay_plan, measure_plan

    factors = np.divide(plan.tiles.image.voxel_size, plan.image.voxel_size)
    ends = tuple(
        (min(int(a * f), n - 1), max(min(int(b * f), n), min(int(a * f), n - 1) + 1))
        for a, b, f, n in zip(part.start, part.stop, factors, plan.image.shape, strict=True)
    )
    settings = replace(plan.settings, statistics="region", region=ends, core=plan.grid.core, scratch=None)
    laid = lay_plan(plan.image, plan.source, settings, plan.route, swept=False)
    assert laid.region is not None
    # Whether there is content in it does not matter here.
    return (yield from measure_plan(laid, plan.normalization, region=replace(laid.region, known=True)))


def _empty(plan: Plan) -> SparseArray:
    shape = (len(plan.classes), *plan.tiles.image.shape)
    spatial = plan.source.spec.ndim
    return SparseArray(shape, (1,) * (len(shape) - spatial) + (32,) * spatial, np.float32, fill=np.nan)
