"""Pairs made of the tiles of two grids over one image."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from math import prod
from typing import overload

import numpy as np

from napari_tileseg._words import as_typed
from napari_tileseg.diagnosis.pairs.pair_axes import TilePair
from napari_tileseg.errors import SettingsError
from napari_tileseg.tiling import Box, TileGrid
from napari_tileseg.tiling.rounding import ceil_div

#: Pairs up to which their numbers are shuffled as a list.
_LISTED = 2**16


class GridPairs(Sequence[TilePair]):
    """Every pair of a tile of one grid and a tile of another whose cores share voxels, by number.

    Nothing is made before it is asked for: an image may have millions of them.

    Parameters
    ----------
    grid, other : TileGrid
        Grids over one image and one box that differ in where their cores begin, or in their size.
    part : Box, optional
        Voxels to compare; the box of the grids by default.
    """

    def __init__(self, grid: TileGrid, other: TileGrid, part: Box | None = None) -> None:
        self._grids = grid, other
        self._part = grid.box if part is None else part.clip(grid.box)
        self._lines = [_meeting(grid, other, self._part, axis) for axis in range(grid.ndim)]

    def __len__(self) -> int:
        return prod(len(line) for line in self._lines)

    def __iter__(self) -> Iterator[TilePair]:
        return (self._pair(number) for number in range(len(self)))

    @overload
    def __getitem__(self, number: int) -> TilePair: ...
    @overload
    def __getitem__(self, number: slice) -> Sequence[TilePair]: ...
    def __getitem__(self, number: int | slice) -> TilePair | Sequence[TilePair]:
        """Return the pair of a number, or those of several."""
        if isinstance(number, slice):
            return [self._pair(each) for each in range(len(self))[number]]
        return self._pair(range(len(self))[number])

    def sample(self, count: int, seed: int = 0) -> tuple[TilePair, ...]:
        """Draw pairs at random, in order: of those whose tiles see different voxels, as others must agree.

        Near a border a tile and a moved one may read the very same box. There are fewer than `count` where
        fewer see different voxels, and one that must agree where none do.
        """
        chosen: dict[int, TilePair] = {}
        for number in _shuffled(len(self), seed):
            pair = self._pair(number)
            if pair.first != pair.second:
                chosen[number] = pair
            if len(chosen) == count:
                break
        return tuple(chosen[number] for number in sorted(chosen)) or (self._pair(0),)

    @property
    def tiles(self) -> tuple[int, int]:
        """Tiles of each grid that are in any pair."""
        first, second = (
            prod(len({pair[which] for pair in line}) for line in self._lines) for which in (0, 1)
        )
        return first, second

    def _pair(self, number: int) -> TilePair:
        ranks = np.unravel_index(number, [len(line) for line in self._lines])
        chosen = [line[int(rank)] for line, rank in zip(self._lines, ranks, strict=True)]
        grid, other = self._grids
        first, second = grid[[a for a, _ in chosen]], other[[b for _, b in chosen]]
        return TilePair(
            _moved_along(first.read, second.read),
            first.read,
            second.read,
            second.core.clip(grid.kept(first)).clip(self._part),
            (first.core, second.core),
        )


def _shuffled(total: int, seed: int) -> Iterator[int]:
    """Yield all numbers below `total` in a random order, without a list of them where that would be long."""
    random = np.random.default_rng(seed)
    if total <= _LISTED:
        yield from random.permutation(total).tolist()
        return
    seen: set[int] = set()
    while len(seen) < total:
        number = int(random.integers(total))
        if number not in seen:
            seen.add(number)
            yield number


def moved_grid(grid: TileGrid, lead: int = 0, *, fixed: bool = False) -> TileGrid | None:
    """Move the tiles of a grid by half a core along each axis on which tiles meet.

    A core of one stride cannot be halved: the tiles that it is compared with are two strides long.

    Parameters
    ----------
    grid : TileGrid
        The tiles of a prediction.
    lead : int
        Axes at the front that the network does not know: tiles do not meet along them.
    fixed : bool
        Whether the network takes reads of one shape only, so that cores cannot be longer.

    Returns
    -------
    TileGrid or None
        None where no two tiles meet that see different voxels: there can be no seam.

    Raises
    ------
    SettingsError
        If tiles meet and cannot be moved.

    Examples
    --------
    >>> moved_grid(TileGrid((64, 20), (24, 20), ((4, 4), (4, 4)), (4, 4))).offset
    (12, 0)
    """
    meet = [axis for axis in range(lead, grid.ndim) if tiles_meet(grid, axis)]
    core, offset = list(grid.core), [0] * grid.ndim
    for axis in meet:
        step = grid.stride[axis]
        if core[axis] == step and not fixed:
            core[axis] = 2 * step
        offset[axis] = core[axis] // 2 // step * step
    if meet and not any(offset):
        raise SettingsError(
            f"To compare tiles that lie differently, the core should be two strides {as_typed(grid.stride)} "
            "long or "
            f"longer; it is {as_typed(grid.core)}. Set another core."
        )
    return replace(grid, core=tuple(core), offset=tuple(offset)) if meet else None


def tiles_meet(grid: TileGrid, axis: int) -> bool:
    """Return whether there are two tiles along an axis, and they see different voxels."""
    return grid.counts[axis] > 1 and grid.read_shape[axis] < grid.padded_shape[axis]


def _meeting(grid: TileGrid, other: TileGrid, part: Box, axis: int) -> list[tuple[int, int]]:
    """Return the numbers of the tiles along an axis whose cores share voxels of a part."""
    low, high = part.start[axis], part.stop[axis]
    found = []
    for number in _numbers(grid, axis, low, high):
        start = grid.box.start[axis] - grid.offset[axis] + number * grid.core[axis]
        begin, end = max(low, start), min(high, start + grid.core[axis])
        found += [(number, each) for each in _numbers(other, axis, begin, end)]
    return found


def _numbers(grid: TileGrid, axis: int, low: int, high: int) -> range:
    """Return the tiles along an axis whose cores hold voxels from `low` to before `high`."""
    if low >= high:
        return range(0)
    origin, core = grid.box.start[axis] - grid.offset[axis], grid.core[axis]
    return range((low - origin) // core, ceil_div(high - origin, core))


def _moved_along(first: Box, second: Box) -> int | None:
    moved = [axis for axis, (a, b) in enumerate(zip(first.start, second.start, strict=True)) if a != b]
    return moved[0] if len(moved) == 1 else None
