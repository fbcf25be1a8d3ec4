"""How tiles of pairs lie along each axis, and which of their voxels are valid."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from math import prod

import numpy as np

from napari_tileseg.tiling import Box
from napari_tileseg.tiling.rounding import round_up

#: Least voxels of a valid overlap along the axis of the shift.
LEAST_OVERLAP = 16


@dataclass(frozen=True, slots=True)
class TilePair:
    """Two tiles that overlap, in the coordinates of the padded image.

    Parameters
    ----------
    axis : int or None
        Axis along which the second is moved; None where it is moved along several.
    first, second : Box
        What each of the two predictions reads.
    valid : Box
        Voxels that are compared: in both tiles, with all their context.
    cores : tuple of Box, optional
        The core of each of the two, where they are tiles of a prediction.
    """

    axis: int | None
    first: Box
    second: Box
    valid: Box
    cores: tuple[Box, Box] | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class PairAxis:
    """One axis of the padded image, and how tiles lie on it.

    Parameters
    ----------
    size : int
        Voxels of the padded image.
    stride : int
        Tiles start on its multiples.
    halo : tuple of int
        Context before and after, on the stride.
    tile : int
        Voxels of a tile.
    shift : int
        Voxels by which the second tile is moved, and between one pair and the next.
    least_tile : int
        Least voxels of a tile of a pair that is moved along the axis.
    """

    size: int
    stride: int
    halo: tuple[int, int]
    tile: int
    shift: int
    least_tile: int

    @property
    def least(self) -> int:
        """Voxels that the axis needs for two tiles."""
        return self.least_tile + self.shift

    @property
    def has_room(self) -> bool:
        """Whether two tiles fit, with enough of a valid overlap."""
        return self.least_tile <= self.tile <= self.size - self.shift

    @property
    def why_not(self) -> str:
        """Why no tile is moved along the axis."""
        if self.tile < self.least_tile <= self.size - self.shift:
            return (
                f"tiles of {self.tile} voxels leave no valid overlap of {LEAST_OVERLAP} when moved by "
                f"{self.shift}"
            )
        return f"it has {self.size} voxels, and two tiles need {self.least}"

    def starts(self, moved: bool, low: int, high: int) -> list[int]:
        """List starts of first tiles whose valid voxels meet ``low <= voxel < high``, one shift apart."""
        room = self.size - self.tile - (self.shift if moved else 0)
        back = self.halo[0] + (self.shift if moved else 0)
        first = min(max((low - back) // self.stride * self.stride, 0), room)
        last = min(max(round_up(high + self.halo[1] - self.tile, self.stride), first), room)
        starts = [*range(first, last, self.shift), last]
        return [a for a in starts if self.valid(a, moved)[0] < high and self.valid(a, moved)[1] > low]

    def valid(self, start: int, moved: bool) -> tuple[int, int]:
        """Return the first valid voxel, and the one after the last, of an overlap that begins at `start`."""
        begin, end = start + (self.shift if moved else 0), start + self.tile
        before = self.halo[0] if begin > 0 else 0
        after = self.halo[1] if end < self.size else 0
        return begin + before, end - after


def leading_axis(size: int) -> PairAxis:
    """Return an axis that the network does not know: each position is a tile by itself."""
    return PairAxis(size=size, stride=1, halo=(0, 0), tile=1, shift=1, least_tile=1)


def pair_axis(
    size: int, stride: int, halo: tuple[int, int], minimum: int, want: int, shift: int, fixed: bool
) -> PairAxis:
    """Return an axis with the shift and the tile that fit it."""
    step = max(shift // stride * stride, stride)
    if fixed:
        # A read of fixed length leaves what it leaves: the shift gives way.
        room = (minimum - sum(halo) - LEAST_OVERLAP) // stride * stride
        step = max(min(step, room), stride)
    least = max(round_up(step + sum(halo) + LEAST_OVERLAP, stride), round_up(minimum, stride))
    tile = minimum if fixed else max(least, round_up(want, stride))
    if least <= size - step < tile and not fixed:
        tile = size - step
    return PairAxis(size=size, stride=stride, halo=halo, tile=min(tile, size), shift=step, least_tile=least)


class AxisPairs:
    """All pairs moved along one axis, by number. That axis varies fastest: neighbours share a tile.

    Parameters
    ----------
    axis : int
        The axis.
    lines : sequence of PairAxis
        All axes.
    part : Box
        Voxels to compare.
    """

    def __init__(self, axis: int, lines: Sequence[PairAxis], part: Box) -> None:
        self._axis, self._lines, self._part = axis, lines, part
        ends = zip(lines, part.start, part.stop, strict=True)
        self._starts = [line.starts(n == axis, low, high) for n, (line, low, high) in enumerate(ends)]
        self._order = [n for n in range(len(lines)) if n != axis] + [axis]

    def __len__(self) -> int:
        return prod(len(starts) for starts in self._starts)

    def __getitem__(self, number: int) -> TilePair:
        ranks = np.unravel_index(number, [len(self._starts[n]) for n in self._order])
        chosen = {n: self._starts[n][int(rank)] for n, rank in zip(self._order, ranks, strict=True)}
        start = tuple(chosen[n] for n in range(len(self._lines)))
        first = Box(start, tuple(a + line.tile for a, line in zip(start, self._lines, strict=True)))
        step = tuple(line.shift if n == self._axis else 0 for n, line in enumerate(self._lines))
        ends = [line.valid(start[n], n == self._axis) for n, line in enumerate(self._lines)]
        valid = Box(tuple(a for a, _ in ends), tuple(b for _, b in ends))
        return TilePair(self._axis, first, first.shift(step), valid.clip(self._part))
