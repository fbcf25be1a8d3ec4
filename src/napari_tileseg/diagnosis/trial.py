"""Trying what cures layers that look at all of their tile: a part, predicted with fixed numbers as well."""

from __future__ import annotations

from collections.abc import Generator, Sequence
from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt

from napari_tileseg._progress import Progress, Steps
from napari_tileseg._types import Array
from napari_tileseg.diagnosis.measured import WorstPlace
from napari_tileseg.diagnosis.measures.quality import check_masks
from napari_tileseg.diagnosis.region_predictor import planned_regions
from napari_tileseg.labels.dice import hard_dice
from napari_tileseg.prediction.labelling import labels
from napari_tileseg.prediction.plan.measuring import measure_plan
from napari_tileseg.prediction.plan.plan import Plan, find_way, lay_plan
from napari_tileseg.tiling import Box
from napari_tileseg.tiling.rounding import ceil_div

#: Voxels of a part at most, and pairs of tiles that are compared.
MOST, _PAIRS = 2**22, 2
_BACKGROUND = "background"


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Trial:
    """A part of an image, predicted in two ways.

    Parameters
    ----------
    plan : Plan
        The prediction with statistics of a region, with its numbers.
    part : Box
        What was predicted, on the grid that is tiled.
    before, after : ndarray
        Probabilities ``(classes, *part.shape)`` with statistics of each tile, and of the region.
    difference_before, difference_after : float
        Largest difference of two tiles at the worst places, 0 to 1.
    empty : int
        Voxels of the part outside of the region: nothing of the content that it was chosen for is there.
    invented_before, invented_after : int
        Of these, voxels that are given a class other than background.
    dice : tuple of (float, float)
        For each class the Dice of its mask with the labels before and after; empty without labels.
    """

    plan: Plan
    part: Box
    before: Array
    after: Array
    difference_before: float
    difference_after: float
    empty: int
    invented_before: int
    invented_after: int
    dice: tuple[tuple[float, float], ...] = ()

    @property
    def region(self) -> Box:
        """What the statistics are of, on the grid that is tiled."""
        assert self.plan.statistics is not None
        return self.plan.statistics.box


def part_to_try(plan: Plan, view: Box | None, place: WorstPlace) -> Box:
    """Return what of a view to predict: with whole tiles along what it cuts, and not more than takes a while.

    Parameters
    ----------
    plan : Plan
        The prediction; its tiles count.
    view : Box, optional
        Voxels in view. Where none of the image are, the two tiles of the place are looked at.
    place : WorstPlace
        A place where tiles differ, about which a view that is too large is cut.

    Returns
    -------
    Box
        At most 4 million voxels, unless a slice of single tiles has more.
    """
    grid = plan.grid
    seen = grid.box if view is None else view.clip(grid.box)
    if not seen.size or view is None:
        pairs = (place.first, place.second)
        low, high = (np.array([getattr(each, end) for each in pairs]) for end in ("start", "stop"))
        seen = Box(tuple(map(int, low.min(0))), tuple(map(int, high.max(0)))).clip(grid.box)
    core = grid.kept(next(iter(grid.tiles_in(seen))))
    start, stop, rest = list(seen.start), list(seen.stop), list(range(grid.ndim))
    for axis in range(grid.ndim - plan.network.spec.ndim, grid.ndim):
        if seen.shape[axis] == 1:
            start[axis], stop[axis] = core.start[axis], core.stop[axis]
            rest.remove(axis)
    at = Box(place.point, tuple(n + 1 for n in place.point))
    ends = zip(seen.start, seen.stop, strict=True)
    middle = place.point if seen.contains(at) else tuple((a + b) // 2 for a, b in ends)
    return _cut(Box(tuple(start), tuple(stop)), middle, rest)


def _cut(box: Box, middle: Sequence[int], axes: Sequence[int]) -> Box:
    """Return a box of few voxels around a point, shortened along its longest axes."""
    while box.size > MOST and any(box.shape[axis] > 1 for axis in axes):
        axis = max(axes, key=lambda each: box.shape[each])
        length = ceil_div(box.shape[axis], 2)
        first = min(max(box.start[axis], middle[axis] - length // 2), box.stop[axis] - length)
        start, stop = list(box.start), list(box.stop)
        start[axis], stop[axis] = first, first + length
        box = Box(tuple(start), tuple(stop))
    return box


def try_statistics(
    plan: Plan,
    part: Box,
    places: Sequence[WorstPlace],
    masks: npt.NDArray[np.bool_] | None = None,
) -> Generator[Progress, None, Trial]:
    """Predict a part with statistics of each tile, and with those of a region; compare them.

    Closing the generator stops it after the current tile.

    Parameters
    ----------
    plan : Plan
        The prediction with statistics of each tile; its tiles are predicted.
    part : Box
        What to predict, on the grid that is tiled.
    places : sequence of WorstPlace
        Where two of its tiles differ, the worst first; one at least.
    masks : ndarray of bool, optional
        What is right: ``(classes, *grid axes)``.

    Yields
    ------
    Progress
        How far it is.

    Raises
    ------
    ImageError
        If there is no content to take statistics of, or masks do not fit the image.
    NetworkError
        If what the network computes over all of space cannot be gathered.
    """
    if masks is not None:
        check_masks(masks, plan.classes, plan.tiles.image)
    plan = yield from measure_plan(plan)
    # The very tiles, so that these make no difference.
    settings = replace(plan.settings, statistics="region", core=plan.grid.core)
    way = find_way(plan.network, settings)
    fixed = yield from measure_plan(lay_plan(plan.image, plan.network, settings, way))
    before = yield from _predicted(plan, part, "Predicting with statistics of each tile")
    after = yield from _predicted(fixed, part, "Predicting with statistics of a region")
    outside = _outside(fixed, part)
    invented = [int(np.count_nonzero(_foreground(values, plan) & outside)) for values in (before, after)]
    return Trial(
        plan=fixed,
        part=part,
        before=before,
        after=after,
        difference_before=max(each.difference for each in places),
        difference_after=_largest_difference(fixed, places),
        empty=int(np.count_nonzero(outside)),
        invented_before=invented[0],
        invented_after=invented[1],
        dice=() if masks is None else _dice(masks[(slice(None), *part.slices)], before, after),
    )


def _predicted(plan: Plan, part: Box, what: str) -> Generator[Progress, None, Array]:
    grid, predict = plan.grid, planned_regions(plan).predict_core
    values = np.zeros((len(plan.classes), *part.shape), np.float32)
    tiles = list(grid.tiles_in(part))
    steps = Steps(what, len(tiles))
    for tile in tiles:
        core = grid.kept(tile).clip(part)
        computed = predict(tile.read, tile.core)
        values[(slice(None), *core.within(part))] = computed[(slice(None), *core.within(tile.core))]
        yield steps.count()
    return values


def _largest_difference(plan: Plan, places: Sequence[WorstPlace]) -> float:
    """Return by how much two tiles at the places differ where both have their context."""
    predict = planned_regions(plan).predict_core
    found = []
    pairs = dict.fromkeys((each.first, each.second, each.valid) for each in places)
    for first, second, valid in list(pairs)[:_PAIRS]:
        shared = valid or first.clip(second)
        one, other = (predict(read, shared) for read in (first, second))
        found.append(float(np.abs(one - other).max()))
    return max(found)


def _outside(plan: Plan, part: Box) -> npt.NDArray[np.bool_]:
    """Return which voxels of a part lie outside of the region, whatever volume of several that is in."""
    assert plan.statistics is not None
    region, lead = plan.statistics.box, part.ndim - plan.network.spec.ndim
    region = Box(part.start[:lead] + region.start[lead:], part.stop[:lead] + region.stop[lead:])
    outside = np.ones(part.shape, bool)
    outside[region.clip(part).within(part)] = False
    return outside


def _foreground(probabilities: Array, plan: Plan) -> npt.NDArray[np.bool_]:
    found = labels(probabilities, plan.network.spec.activation)
    background = [number for number, name in enumerate(plan.classes, start=1) if name == _BACKGROUND]
    return ~np.isin(found, [0, *background])


def _dice(masks: npt.NDArray[np.bool_], before: Array, after: Array) -> tuple[tuple[float, float], ...]:
    triples = zip(masks, before, after, strict=True)
    return tuple((hard_dice(mask, one), hard_dice(mask, other)) for mask, one, other in triples)
