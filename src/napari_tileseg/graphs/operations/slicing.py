"""Padding by itself, slices of space, and slices of channels."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Sequence
from dataclasses import dataclass, replace
from fractions import Fraction
from typing import Any, ClassVar, Literal, TypeAlias, final

from torch import Tensor

from napari_tileseg._types import Shape
from napari_tileseg.graphs.operations.operation import Local, Need, Operation, cut, fit, own
from napari_tileseg.graphs.sizes import Size
from napari_tileseg.tiling import Box

Mode: TypeAlias = Literal["constant", "reflect", "replicate", "circular"]


@final
@dataclass(frozen=True, slots=True)
class Padding(Operation):
    """Voxels added around a feature map, or cut off it.

    Parameters
    ----------
    before : tuple
        Voxels added at the near end of each axis; negative where they are cut off. They may depend on the
        size of the image.
    mode : {"constant", "reflect", "replicate", "circular"}
        What they are.
    value : float
        Their value under "constant".
    """

    fresh: ClassVar[bool] = False

    before: tuple[Size, ...]
    mode: Mode
    value: float

    def sized(self, size: Callable[[Size], Any]) -> Padding:
        """See `Operation.sized`."""
        return replace(self, before=tuple(map(size, self.before)))

    def is_even(self, source: Shape, whole: Shape) -> bool:
        """See `Operation.is_even`: what lies beyond one border is taken from the other."""
        del source, whole
        return self.mode != "circular"

    def need(self, box: Box, sources: Sequence[Shape], whole: Shape) -> Need:
        """See `Operation.need`; the place is what to pad, or for each axis which voxels to take."""
        del whole
        inner = box.shift(tuple(-n for n in self.before))
        spans = tuple(zip(inner.start, inner.stop, strict=True))
        if self.mode == "constant":
            part, pads = cut(spans, sources[0])
            return Need((part,), pads)
        taken = [self._taken(a, b, n) for (a, b), n in zip(spans, sources[0], strict=True)]
        start = tuple(min(indices) for indices in taken)
        part = Box(start, tuple(max(indices) + 1 for indices in taken))
        return Need(
            (part,), tuple(_relative(i, a, b) for i, a, b in zip(taken, start, part.stop, strict=True))
        )

    def _taken(self, start: int, stop: int, size: int) -> list[int]:
        """Return the voxel that each position is a copy of."""
        if self.mode == "circular":
            return [place % size for place in range(start, stop)]
        if self.mode == "replicate":
            return [min(max(place, 0), size - 1) for place in range(start, stop)]
        return [place if place < size else 2 * (size - 1) - place for place in map(abs, range(start, stop))]

    def run(self, values: Sequence[Tensor], weights: Sequence[Tensor], place: Any, *, reuse: bool) -> Tensor:
        """See `Operation.run`."""
        del weights, reuse
        (value,) = values
        if self.mode == "constant":
            return fit(value, place, self.value)
        for axis, indices in enumerate(place, start=2):
            if indices is not None:
                value = value[(slice(None),) * axis + (list(indices),)]
        return value


def _relative(indices: Sequence[int], start: int, stop: int) -> tuple[int, ...] | None:
    """Count voxels from the first needed one; None where they are just those."""
    return None if list(indices) == list(range(start, stop)) else tuple(i - start for i in indices)


@final
@dataclass(frozen=True, slots=True)
class Slice(Operation):
    """Strided slice along each axis, from `start`.

    Parameters
    ----------
    start : tuple
        For each axis; a negative one counts from the end. They may depend on the size of the image.
    step : tuple of int
        For each axis.
    """

    fresh: ClassVar[bool] = False

    start: tuple[Size, ...]
    step: Shape

    def sized(self, size: Callable[[Size], Any]) -> Slice:
        """See `Operation.sized`."""
        return replace(self, start=tuple(map(size, self.start)))

    def steps(self, source: Shape, whole: Shape) -> tuple[Fraction, ...]:
        """See `Operation.steps`."""
        del source, whole
        return tuple(map(Fraction, self.step))

    def need(self, box: Box, sources: Sequence[Shape], whole: Shape) -> Need:
        """See `Operation.need`."""
        del whole
        first = (a if a >= 0 else max(0, n + a) for a, n in zip(self.start, sources[0], strict=True))
        ends = tuple(zip(first, self.step, box.start, box.stop, strict=True))
        start = tuple(origin + a * step for origin, step, a, _ in ends)
        return Need((Box(start, tuple(origin + (b - 1) * step + 1 for origin, step, _, b in ends)),))

    def run(
        self, values: Sequence[Tensor], weights: Sequence[Tensor], place: Hashable, *, reuse: bool
    ) -> Tensor:
        """See `Operation.run`."""
        del weights, place, reuse
        every = tuple(slice(None, None, step) for step in self.step)
        return values[0][(slice(None), slice(None), *every)]


@final
@dataclass(frozen=True, slots=True)
class Channels(Local):
    """Some of the channels.

    Parameters
    ----------
    start, stop, step : int
        Which.
    """

    fresh: ClassVar[bool] = False

    start: int
    stop: int
    step: int = 1

    def run(
        self, values: Sequence[Tensor], weights: Sequence[Tensor], place: Hashable, *, reuse: bool
    ) -> Tensor:
        """See `Operation.run`."""
        del weights, place, reuse
        return values[0][:, self.start : self.stop : self.step]


@final
@dataclass(frozen=True, slots=True)
class ChannelOrder(Local):
    """The channels in another order.

    Parameters
    ----------
    sizes : tuple of int
        Numbers of channels, as if they lay on several axes.
    order : tuple of int
        Of these axes.
    """

    sizes: Shape
    order: Shape

    def run(
        self, values: Sequence[Tensor], weights: Sequence[Tensor], place: Hashable, *, reuse: bool
    ) -> Tensor:
        """See `Operation.run`."""
        del weights, place, reuse
        (value,) = values
        count, space = len(self.sizes), value.shape[2:]
        apart = value.reshape(len(value), *self.sizes, *space)
        behind = range(1 + count, apart.ndim)
        return own(apart.permute(0, *(1 + i for i in self.order), *behind).reshape(value.shape), values)
