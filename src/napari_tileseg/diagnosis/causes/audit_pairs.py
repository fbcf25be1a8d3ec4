"""Pairs of tiles that lie to each other as neighbours of the tiling under audit do."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from math import prod

import numpy as np

from napari_tileseg._types import Shape
from napari_tileseg._words import by_axis
from napari_tileseg.diagnosis.measured import Mismatch
from napari_tileseg.diagnosis.pairs.foreign_tiling import Tiling
from napari_tileseg.diagnosis.pairs.pair_plan import LEAST_OVERLAP, SHIFT, TilePair
from napari_tileseg.errors import ImageError
from napari_tileseg.tiling import Box, Lattice
from napari_tileseg.tiling.rounding import round_up


@dataclass(frozen=True, slots=True, kw_only=True)
class PairRule:
    """What pairs of an audit may look like.

    Parameters
    ----------
    tiling : Tiling
        The tiling under audit.
    lattice : Lattice
        Strides and reads that the network accepts.
    padded_shape : tuple of int
        Voxels of the padded image along each axis.
    axes : str
        Their names, for messages.
    shift : int
        Voxels between two tiles of a pair, about.
    limit : int
        Voxels of a read above which it is made smaller than the tiling's, where the pair allows it.
    """

    tiling: Tiling
    lattice: Lattice
    padded_shape: Shape
    axes: str
    shift: int = SHIFT
    limit: int = 2**18

    def choose(self, count: int, seed: int) -> tuple[TilePair, ...]:
        """Draw pairs at random; axes that are cut, and distances off the stride, take turns.

        Raises
        ------
        ImageError
            If no axis has room for two overlapping tiles, with the length that one needs.
        """
        rng = np.random.default_rng(seed)
        kinds = [kind for kind in self._kinds() if self._line(*kind) is not None]
        if not kinds:
            raise self._too_small()
        return tuple(self._pair(*kinds[number % len(kinds)], rng) for number in range(count))

    def _kinds(self) -> list[tuple[int, int]]:
        """Return the axes along which tiles meet, with how far off the stride they do so; far off first."""
        lead, ndim = self.lattice.lead, len(self.padded_shape)
        axes = [axis for axis in range(lead, ndim) if len(self.tiling.starts[axis]) > 1]
        kinds = [(axis, r) for axis in axes for r in self.tiling.remainders(axis, self.lattice.stride[axis])]
        kinds = kinds or [(axis, 0) for axis in range(lead, ndim)]
        return sorted(kinds, key=lambda kind: kind[1] == 0)

    def _line(self, axis: int, remainder: int) -> tuple[int, int] | None:
        """Return the length of the tiles, and their distance, along the axis on which they differ."""
        step, size = self.lattice.stride[axis], self.padded_shape[axis]
        halo = sum(self.tiling.halo[axis])
        if self.lattice.fixed:
            tile = self.lattice.minimum[axis]
            room = tile - halo - step
        else:
            tile = round_up(min(self.tiling.read[axis], self.shift + halo + max(LEAST_OVERLAP, step)), step)
            room = (tile - halo) // 2
        far = max(min(room, self.shift) // step * step, step) + remainder
        if not self.lattice.fixed:
            least = max(far + halo + max(LEAST_OVERLAP, step), self.lattice.minimum[axis])
            tile = round_up(max(tile, least), step)
        fits = size >= tile + far and tile - far - halo >= step
        return (tile, far) if fits else None

    def _pair(self, axis: int, remainder: int, rng: np.random.Generator) -> TilePair:
        line = self._line(axis, remainder)
        assert line is not None  # only such kinds are chosen
        tile, far = line
        shape = self._shape(axis, tile)
        step, tiling = self.lattice.stride[axis], self.tiling
        starts = tiling.neighbours(axis, step, remainder) or tiling.starts[axis]
        first = [self._start(n, shape[n], self.tiling.starts[n], rng) for n in range(len(shape))]
        first[axis] = self._start(axis, tile + far, starts, rng)
        box = Box(tuple(first), tuple(a + n for a, n in zip(first, shape, strict=True)))
        second = box.shift(tuple(far if n == axis else 0 for n in range(len(shape))))
        return TilePair(axis, box, second, self._valid(axis, box, second))

    def _shape(self, axis: int, tile: int) -> Shape:
        shape = list(self.tiling.read)
        shape[axis] = tile
        shape[: self.lattice.lead] = (1,) * self.lattice.lead
        small = [self._least(n) for n in range(len(shape))]
        for n in sorted(range(len(shape)), key=lambda n: small[n] - shape[n]):
            if n != axis and n >= self.lattice.lead and prod(shape) > self.limit and not self.lattice.fixed:
                shape[n] = min(shape[n], small[n])
        return tuple(shape)

    def _least(self, axis: int) -> int:
        """Return the length of a tile along an axis on which both lie alike."""
        step = self.lattice.stride[axis]
        wanted = max(sum(self.tiling.halo[axis]) + LEAST_OVERLAP, self.lattice.minimum[axis])
        return min(round_up(wanted, step), self.padded_shape[axis])

    def _start(self, axis: int, length: int, starts: Shape, rng: np.random.Generator) -> int:
        """Return one of `starts`, lowered by strides to where `length` voxels fit."""
        start, step = int(rng.choice(starts)), self.lattice.stride[axis]
        over = max(0, start + length - self.padded_shape[axis])
        start -= round_up(over, step)
        return start if start >= 0 else 0

    def _valid(self, axis: int, first: Box, second: Box) -> Box:
        """Return the overlap without the halo, except at the image's border; on the first tile's stride."""
        both = second.clip(first)
        start, stop = list(both.start), list(both.stop)
        for n, (before, after) in enumerate(self.tiling.halo):
            step = self.lattice.stride[n]
            if start[n] > 0:
                start[n] = first.start[n] + round_up(start[n] + before - first.start[n], step)
            if stop[n] < self.padded_shape[n]:
                stop[n] = first.start[n] + (stop[n] - after - first.start[n]) // step * step
            if n == axis:
                stop[n] = max(stop[n], start[n] + step)
        return Box(tuple(start), tuple(stop))

    def _too_small(self) -> ImageError:
        lead = self.lattice.lead
        least = ", ".join(
            f"{self.axes[axis]} {self._needed(axis)}" for axis in range(lead, len(self.padded_shape))
        )
        return ImageError(
            f"To find why tiles disagree, the image should be at least this long along one axis: {least} "
            f"voxels; it has {by_axis(self.padded_shape[lead:])} with its padding. Take a larger image."
        )

    def _needed(self, axis: int) -> int:
        step = self.lattice.stride[axis]
        tile = round_up(step + sum(self.tiling.halo[axis]) + max(LEAST_OVERLAP, step), step)
        return max(tile, self.lattice.minimum[axis]) + step


def worst_pairs(mismatch: Mismatch, count: int) -> tuple[TilePair, ...]:
    """Return the pairs of tiles in which the largest differences are, the largest first."""
    pairs = dict.fromkeys(place.pair for place in mismatch.worst)
    return tuple(pairs)[:count]


def voxels_of(pairs: Sequence[TilePair]) -> int:
    """Return the voxels that the network sees to predict all pairs once."""
    return sum(box.size for pair in pairs for box in _reads(pair))


def _reads(pair: TilePair) -> Iterator[Box]:
    yield pair.first
    yield pair.second
