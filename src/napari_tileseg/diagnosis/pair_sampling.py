"""Which tiles a diagnosis looks at, and what that may cost."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from math import prod
from typing import TYPE_CHECKING

import numpy as np

from napari_tileseg._words import by_axis
from napari_tileseg.diagnosis.heatmap import heatmap_pairs
from napari_tileseg.diagnosis.pairs.grid_pairs import GridPairs
from napari_tileseg.diagnosis.pairs.pair_plan import PairPlan, fitting_pairs
from napari_tileseg.prediction.plan.cores import derive_core
from napari_tileseg.settings import DiagnoseSettings
from napari_tileseg.tiling import Box, TileGrid
from napari_tileseg.tiling.rounding import ceil_div

if TYPE_CHECKING:
    from napari_tileseg.prediction.plan.layout import TilePlan
    from napari_tileseg.prediction.plan.plan import Plan

#: Parts of the effort that pairs and disparity may take; the audit gets what is left.
_FOR_PAIRS, _FOR_DISPARITY = 0.5, 0.25
#: Pairs that are compared whatever they cost.
LEAST_PAIRS = 3


class Budget:
    """Voxels that a diagnosis may put through the network, as a part of what the prediction takes.

    Parameters
    ----------
    plan : Plan
        The prediction.
    settings : DiagnoseSettings
        How it is diagnosed.
    part : Box, optional
        Voxels that are looked at.
    """

    def __init__(self, plan: Plan, settings: DiagnoseSettings, part: Box | None = None) -> None:
        grid = plan.grid
        box = grid.box if part is None else part.clip(grid.box)
        tiles = prod(
            len(range((a - start) // n, ceil_div(b - start, n)))
            for a, b, start, n in zip(box.start, box.stop, grid.box.start, grid.core, strict=True)
        )
        #: Voxels of one tile.
        self.tile = prod(grid.core if plan.tiles.regions is not None else grid.read_shape)
        #: Voxels of all tiles that the prediction of that part takes.
        self.prediction = tiles * self.tile
        self.allowed = int(settings.effort * self.prediction)
        self.spent = 0
        self._everything = settings.everything

    def spend(self, boxes: Sequence[Box]) -> None:
        """Note boxes that were predicted."""
        self.spent += sum(box.size for box in boxes)

    @property
    def left(self) -> int:
        """Voxels not spent yet; the whole budget where comparing everything was asked for."""
        return self.allowed if self._everything else max(0, self.allowed - self.spent)


def choose_pairs(
    plan: Plan, settings: DiagnoseSettings, budget: Budget, part: Box | None = None
) -> PairPlan | None:
    """Choose tiles to compare: the prediction's own with the same moved, or, with a shift, overlapping ones.

    Overlapping tiles are moved by less than the shift where that has no room.

    Parameters
    ----------
    plan : Plan
        The prediction.
    settings : DiagnoseSettings
        How many, and which.
    budget : Budget
        What they may cost, and where that is noted.
    part : Box, optional
        Voxels that are looked at.

    Returns
    -------
    PairPlan or None
        None where no two tiles meet.

    Raises
    ------
    SettingsError
        If tiles meet and cannot be moved, or the part holds nothing of what is predicted.
    """
    fixed = plan.tiles.lattice.fixed

    def draw(count: int | None) -> PairPlan | None:
        if settings.shift is not None:
            found = fitting_pairs(plan, settings.shift, sample=count, seed=settings.seed, fixed=fixed)
            if found is not None:
                return found
        return heatmap_pairs(plan.tiles, sample=count, seed=settings.seed, part=part)

    count = None if settings.everything else settings.sample
    pairs = draw(count or 1)
    if pairs is None:
        return None
    if count is None:
        cost = 2 * _cost(pairs, budget)
        pairs = draw(
            None if settings.everything else max(LEAST_PAIRS, int(_FOR_PAIRS * budget.allowed / cost))
        )
    if pairs is not None:
        budget.spent += _tiles(pairs) * _cost(pairs, budget)
    return pairs


def _cost(pairs: PairPlan, budget: Budget) -> int:
    """Return the voxels of one tile of a pair."""
    return budget.tile if pairs.pairs[0].cores else prod(pairs.tile)


def _tiles(pairs: PairPlan) -> int:
    """Count the tiles that are predicted, at most."""
    if isinstance(pairs.pairs, GridPairs):
        return sum(pairs.pairs.tiles)
    return len({box for pair in pairs.pairs for box in (pair.first, pair.second)})


def disparity_tiles(plan: Plan, pairs: PairPlan | None, budget: Budget, seed: int = 0) -> tuple[Box, ...]:
    """Choose tiles for the statistics: of the pairs or, where whole ones are too large, smaller ones.

    Parameters
    ----------
    plan, network, pairs, budget
        As `choose_pairs` takes and gives them.
    seed : int
        Same seed, same tiles.
    """
    grid = plan.grid
    if pairs is None or plan.tiles.regions is not None:
        grid = plain_grid(plan)
        count = _affordable(budget, prod(grid.read_shape))
        chosen = np.random.default_rng(seed).choice(len(grid), min(count, len(grid)), replace=False)
        indices = [np.unravel_index(int(number), grid.counts) for number in sorted(chosen)]
        return tuple(grid[[int(n) for n in index]].read for index in indices)
    count = _affordable(budget, _cost(pairs, budget))
    step = max(1, len(pairs.pairs) // count)
    return tuple(dict.fromkeys(pair.first for pair in pairs.pairs[::step]))[:count]


def _affordable(budget: Budget, tile: int) -> int:
    """Count the tiles that the budget allows for the disparity; each is predicted twice."""
    return max(1, int(_FOR_DISPARITY * budget.allowed / (2 * tile)))


def plain_grid(plan: Plan) -> TileGrid:
    """Lay tiles over the same box that fit into memory when they are computed whole."""
    grid = plan.grid
    lattice = plan.tiles.lattice
    core, _ = derive_core(grid.shape, grid.box, grid.halo, lattice)
    fitting = tuple(min(a, b) for a, b in zip(core, grid.core, strict=True))
    return replace(grid, core=core if lattice.fixed else fitting)


def why_no_seam(tiles: TilePlan) -> str:
    """Return why no two tiles can be compared, as the beginning of a sentence."""
    grid, lead = tiles.grid, tiles.lead
    at = " at each " + " and ".join(tiles.image.grid_axes[:lead]) if len(grid) > 1 and lead else ""
    what = "image" if grid.box == Box.of_shape(grid.shape) else "box"
    if all(count == 1 for count in grid.counts[lead:]):
        return f"one tile holds the whole {what}{at} ({by_axis(grid.box.shape[lead:])} voxels)"
    return f"every tile sees the whole {what}{at} ({by_axis(grid.box.shape[lead:])} voxels)"
