"""What the size of the tiles does to a prediction."""

from __future__ import annotations

from collections.abc import Generator, Sequence
from dataclasses import asdict, dataclass
from math import prod
from typing import TYPE_CHECKING, Any

import numpy as np

from napari_tileseg._progress import Progress, Steps, map_events
from napari_tileseg._types import Array, Shape
from napari_tileseg._words import as_typed, by_axis
from napari_tileseg.diagnosis.events import PairDone
from napari_tileseg.diagnosis.measured import Mismatch
from napari_tileseg.diagnosis.measures.mismatch import measure_mismatch
from napari_tileseg.diagnosis.measures.quality import check_masks
from napari_tileseg.diagnosis.pairs.pair_plan import LEAST_OVERLAP, PairPlan, TilePair, network_pairs
from napari_tileseg.diagnosis.region_predictor import RegionPredictor, network_regions
from napari_tileseg.errors import SettingsError
from napari_tileseg.tiling import Box
from napari_tileseg.tiling.rounding import round_up

if TYPE_CHECKING:
    from napari_tileseg.prediction.plan.plan import Plan

#: Voxels by which the tiles of a pair are moved, about: small, so that small tiles can be compared.
SHIFT = 16
#: Sizes that are tried unless others are asked for, each larger than the one before by this factor.
SIZES, RATIO = 5, 1.4
#: Voxels of the largest tile that is tried unless asked for.
LIMIT = 2**21


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class SweepPoint:
    """What tiles of one size give.

    Parameters
    ----------
    size : int
        Voxels along each axis that was asked for; rounded to the stride, clipped to the image.
    mismatch : Mismatch
        Of tiles of that size.
    dice : tuple of float or None
        For each class Dice with the labels over all voxels compared; None without labels.
    view : ndarray
        Prediction of the same middle of the image from a tile of that size: ``(classes, *shape)``.
    """

    size: int
    mismatch: Mismatch
    dice: tuple[float, ...] | None
    view: Array

    def as_dict(self) -> dict[str, Any]:
        """Return plain values, ready for JSON; without the picture."""
        return {"size": self.size, "mismatch": asdict(self.mismatch), "dice": self.dice}


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Sweep:
    """Prediction, mismatch and Dice against the size of the tiles.

    Parameters
    ----------
    points : tuple of SweepPoint
        Smallest tiles first.
    classes : tuple of str
        Names of the classes.
    view : Box
        Where the pictures of the points were taken, in the image.
    """

    points: tuple[SweepPoint, ...]
    classes: tuple[str, ...]
    view: Box

    def as_dict(self) -> dict[str, Any]:
        """Return plain values, ready for JSON; without the pictures."""
        points = [point.as_dict() for point in self.points]
        return {"points": points, "classes": self.classes, "view": asdict(self.view)}


def sweep(
    plan: Plan,
    sizes: Sequence[int] | None = None,
    *,
    masks: Array | None = None,
    pairs: int = 4,
    seed: int = 0,
    threshold: float = 0.5,
) -> Generator[Progress, None, Sweep]:
    """Predict the same regions in tiles of several sizes.

    Parameters
    ----------
    plan : Plan
        How the image is prepared, and the halo.
    sizes : sequence of int, optional
        Voxels of a tile along each axis; five by default, from the smallest that can be compared.
    masks : ndarray of bool, optional
        What is right: ``(classes, *grid axes)`` of the plan's image.
    pairs : int
        Pairs of tiles to compare at each size.
    seed : int
        Same seed, same regions.
    threshold : float
        Least probability that belongs to a mask.

    Yields
    ------
    Progress
        One for each pair.

    Returns
    -------
    Sweep
        What tiles of each size give.

    Raises
    ------
    ImageError
        If the image is too small, or the masks have another shape.
    SettingsError
        If the network takes one size only, or a size is too small to be compared.
    NetworkError, DeviceError
        If the network cannot run, or gives NaN.
    """
    if masks is not None:
        check_masks(masks, plan.classes, plan.tiles.image)
    least = least_size(plan)
    chosen = default_sizes(plan, least) if sizes is None else tuple(sorted(set(sizes)))
    if not chosen or min(chosen) < least:
        raise SettingsError(
            f"A tile to compare should be {least} voxels long or longer, halo included; got "
            f"{as_typed(chosen)}. "
            "Leave out smaller ones."
        )
    plans = [
        network_pairs(plan, shift=_shift(plan), sample=pairs, seed=seed, tile=_tile(plan, size))
        for size in chosen
    ]
    view, regions = _view(plan, plans[0]), network_regions(plan)
    steps = Steps("Trying sizes", sum(len(each.pairs) for each in plans))
    points = []
    for size, planned in zip(chosen, plans, strict=True):
        tally = _Agreement(masks, threshold, steps)
        comparing = measure_mismatch(regions, planned, plan.classes, threshold=threshold)
        mismatch = yield from map_events(comparing, tally.add)
        picture = _picture(plan, regions, view, planned.tile)
        points.append(SweepPoint(size=size, mismatch=mismatch, dice=tally.dice(), view=picture))
    return Sweep(points=tuple(points), classes=plan.classes, view=view)


def least_size(plan: Plan) -> int:
    """Return the smallest length of a tile that can be compared with another.

    Raises
    ------
    SettingsError
        If the network takes one size only.
    """
    lattice = plan.tiles.lattice
    if lattice.fixed:
        raise SettingsError(
            f"To try sizes of tiles, a network should take several; {plan.network.spec.name} takes reads of "
            f"{by_axis(lattice.minimum[lattice.lead :])} voxels only. Take another network."
        )
    grid, shift = plan.grid, _shift(plan)
    return max(
        round_up(max(shift, step) + sum(halo) + LEAST_OVERLAP, step)
        for halo, step in zip(
            grid.aligned_halo[plan.tiles.lead :], grid.stride[plan.tiles.lead :], strict=True
        )
    )


def default_sizes(plan: Plan, least: int) -> tuple[int, ...]:
    """Return sizes from the smallest up, as far as image and memory allow."""
    step, lead = max(plan.grid.stride), plan.tiles.lead
    longest = max(plan.grid.padded_shape[lead:]) - _shift(plan)
    sizes = [round_up(int(least * RATIO**number), step) for number in range(SIZES)]
    fitting = [size for size in sizes if size <= longest and prod(_tile(plan, size)) <= LIMIT]
    return tuple(dict.fromkeys(fitting)) or (least,)


def _shift(plan: Plan) -> int:
    return max(SHIFT, *plan.grid.stride)


def _tile(plan: Plan, size: int) -> Shape:
    """Return the shape of a tile of `size` along the network's axes, clipped to the image."""
    lead = plan.tiles.lead
    axes = zip(plan.grid.padded_shape[lead:], plan.grid.stride[lead:], strict=True)
    return (1,) * lead + tuple(min(round_up(size, step), n) for n, step in axes)


def _view(plan: Plan, smallest: PairPlan) -> Box:
    """Return the middle of the image, as large as what the smallest tiles leave without their halo."""
    start, stop = [], []
    for axis, n in enumerate(plan.tiles.image.shape):
        step, tile = plan.grid.stride[axis], smallest.tile[axis]
        core = n if tile >= n else max(step, tile - sum(plan.grid.aligned_halo[axis]))
        start.append(0 if tile >= n else (n - min(core, n)) // 2 // step * step)
        stop.append(min(start[-1] + core, n))
    return Box(tuple(start), tuple(stop))


def _picture(plan: Plan, regions: RegionPredictor, view: Box, tile: Shape) -> Array:
    """Predict `view` from one tile that lies around it as evenly as the stride and the border allow."""
    start = []
    for axis, length in enumerate(tile):
        step, size = plan.grid.stride[axis], plan.grid.padded_shape[axis]
        middle = (view.start[axis] + view.stop[axis] - length) // 2
        start.append(min(max(0, middle // step * step), size - length))
    box = Box(tuple(start), tuple(a + n for a, n in zip(start, tile, strict=True)))
    cut: Array = regions(box)[(slice(None), *view.clip(box).within(box))]
    return cut


class _Agreement:
    """Dice of thresholded predictions with masks, over all voxels that are entered."""

    def __init__(self, masks: Array | None, threshold: float, steps: Steps) -> None:
        self._masks, self._threshold, self._steps = masks, threshold, steps
        self._common: Array = np.zeros(0 if masks is None else len(masks))
        self._sizes: Array = np.zeros_like(self._common)

    def add(self, event: PairDone) -> Progress:
        """Enter the valid voxels of a pair, as its first tile predicts them, and count the pair."""
        if self._masks is not None:
            self._enter(self._masks, event.pair, event.first)
        return self._steps.count()

    def _enter(self, masks: Array, pair: TilePair, values: Array) -> None:
        part = pair.valid.clip(Box.of_shape(masks.shape[1:]))
        found = values[(slice(None), *part.within(pair.valid))] >= self._threshold
        right = np.asarray(masks[(slice(None), *part.slices)], bool)
        axes = tuple(range(1, found.ndim))
        self._common = self._common + (found & right).sum(axes)
        self._sizes = self._sizes + found.sum(axes) + right.sum(axes)

    def dice(self) -> tuple[float, ...] | None:
        """Return Dice of each class; 1 where both are empty."""
        if self._masks is None:
            return None
        pairs = zip(self._common, self._sizes, strict=True)
        return tuple(float(2 * common / size) if size else 1.0 for common, size in pairs)
