"""A half-open box of voxels."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from math import prod

from napari_tileseg._types import Halo, Shape
from napari_tileseg._words import as_typed
from napari_tileseg.errors import SettingsError


@dataclass(frozen=True, slots=True, order=True)
class Box:
    """The voxels ``start <= voxel < stop`` on each axis.

    Parameters
    ----------
    start, stop : tuple of int
        First voxel, and the one after the last, of each axis. Both have the same length.

    Raises
    ------
    SettingsError
        If the lengths differ or a stop lies before its start.

    Examples
    --------
    >>> box = Box((2, 0), (6, 3))
    >>> box.shape, box.size
    ((4, 3), 12)
    >>> box.grow(((1, 2), (0, 0))).clip(Box.of_shape((7, 9)))
    Box(start=(1, 0), stop=(7, 3))
    """

    start: Shape
    stop: Shape

    def __post_init__(self) -> None:
        if len(self.start) != len(self.stop):
            raise SettingsError(
                f"A box needs as many starts as stops; got {as_typed(self.start)} and {as_typed(self.stop)}."
            )
        if any(b < a for a, b in zip(self.start, self.stop, strict=True)):
            raise SettingsError(
                f"A box must not stop before it starts; got {as_typed(self.start)} to {as_typed(self.stop)}."
            )

    def __str__(self) -> str:
        """As a user types it, such as ``0:32,16:64``."""
        return as_typed(tuple(zip(self.start, self.stop, strict=True)))

    @classmethod
    def of_shape(cls, shape: Sequence[int]) -> Box:
        """Return the box from the origin with this shape."""
        return cls((0,) * len(shape), tuple(int(n) for n in shape))

    @property
    def ndim(self) -> int:
        """Number of axes."""
        return len(self.start)

    @property
    def shape(self) -> Shape:
        """Voxels along each axis."""
        return tuple(b - a for a, b in zip(self.start, self.stop, strict=True))

    @property
    def size(self) -> int:
        """Number of voxels."""
        return prod(self.shape)

    @property
    def slices(self) -> tuple[slice, ...]:
        """Slices that cut this box out of an array."""
        return tuple(slice(a, b) for a, b in zip(self.start, self.stop, strict=True))

    def drop_axes(self, count: int) -> Box:
        """Return the box on its last axes, without the first `count`.

        Examples
        --------
        >>> Box((0, 4, 8), (1, 6, 9)).drop_axes(1)
        Box(start=(4, 8), stop=(6, 9))
        """
        return Box(self.start[count:], self.stop[count:])

    def shift(self, offset: Sequence[int]) -> Box:
        """Return the box moved by `offset` voxels along each axis."""
        return Box(
            tuple(a + d for a, d in zip(self.start, offset, strict=True)),
            tuple(b + d for b, d in zip(self.stop, offset, strict=True)),
        )

    def grow(self, halo: Halo) -> Box:
        """Return the box with `halo` voxels added before and after along each axis."""
        return Box(
            tuple(a - h[0] for a, h in zip(self.start, halo, strict=True)),
            tuple(b + h[1] for b, h in zip(self.stop, halo, strict=True)),
        )

    def clip(self, other: Box) -> Box:
        """Return the part of this box inside `other`; empty, at its border, where they do not meet."""
        start = tuple(
            min(max(a, lo), hi) for a, lo, hi in zip(self.start, other.start, other.stop, strict=True)
        )
        stop = tuple(max(a, min(b, hi)) for a, b, hi in zip(start, self.stop, other.stop, strict=True))
        return Box(start, stop)

    def contains(self, other: Box) -> bool:
        """Return whether `other` lies wholly inside this box."""
        return all(a <= b for a, b in zip(self.start, other.start, strict=True)) and all(
            a >= b for a, b in zip(self.stop, other.stop, strict=True)
        )

    def meets(self, other: Box) -> bool:
        """Return whether the boxes share at least one voxel."""
        return self.clip(other).size > 0

    def without(self, other: Box) -> tuple[Box, ...]:
        """Return the boxes that partition the part of this box outside `other`.

        Examples
        --------
        >>> Box((0, 0), (4, 4)).without(Box((2, 2), (9, 9)))
        (Box(start=(0, 0), stop=(2, 4)), Box(start=(2, 0), stop=(4, 2)))
        """
        common = self.clip(other)
        if not common.size:
            return (self,)
        left, parts = self, []
        for axis, (a, b) in enumerate(zip(common.start, common.stop, strict=True)):
            before, left, after = left._cut(axis, a, b)
            parts += [before, after]
        return tuple(part for part in parts if part.size)

    def _cut(self, axis: int, a: int, b: int) -> tuple[Box, Box, Box]:
        """Return the parts before `a`, between, and from `b` on."""
        ends = (self.start[axis], a, b, self.stop[axis])
        first, middle, last = (
            Box(
                (*self.start[:axis], low, *self.start[axis + 1 :]),
                (*self.stop[:axis], high, *self.stop[axis + 1 :]),
            )
            for low, high in pairwise(ends)
        )
        return first, middle, last

    def within(self, outer: Box) -> tuple[slice, ...]:
        """Return the slices of this box in an array that holds `outer`.

        Raises
        ------
        SettingsError
            If the box does not lie inside `outer`.
        """
        if not outer.contains(self):
            raise SettingsError(f"{self} does not lie inside {outer}.")
        return self.shift(tuple(-a for a in outer.start)).slices
