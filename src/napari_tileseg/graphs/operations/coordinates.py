"""Feature maps that are made without the image: places in it, numbers that are known."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from math import prod
from typing import Any, ClassVar, final

import torch
from torch import Tensor

from napari_tileseg._types import Shape
from napari_tileseg.graphs.layouts.layout import Layout
from napari_tileseg.graphs.operations.operation import Local, Need, Operation
from napari_tileseg.graphs.sizes import Size
from napari_tileseg.tiling import Box


@final
@dataclass(frozen=True, slots=True)
class Coordinates(Operation):
    """Numbers at equal distances along an axis of the whole image, in one channel.

    Its only weight is the number 1, for the device and the number format.

    Parameters
    ----------
    axis : int
        The spatial axis.
    start, step : Size
        The number at the first voxel, and what is added from one to the next.
    layout : Layout
        Axes of the tensor that the network makes.
    """

    axis: int
    start: Size
    step: Size
    layout: Layout

    def sized(self, size: Callable[[Size], Any]) -> Coordinates:
        """See `Operation.sized`."""
        return replace(self, start=size(self.start), step=size(self.step))

    def need(self, box: Box, sources: Sequence[Shape], whole: Shape) -> Need:
        """See `Operation.need`; the place is start, step and the voxels along the axis."""
        del sources, whole
        return Need((), (self.start, self.step, box.start[self.axis], box.stop[self.axis]))

    def run(self, values: Sequence[Tensor], weights: Sequence[Tensor], place: Any, *, reuse: bool) -> Tensor:
        """See `Operation.run`."""
        del values, reuse
        start, step, first, stop = place
        numbers = start + step * torch.arange(first, stop, dtype=torch.float64)
        shape = [1] * (2 + self.layout.ndim)
        shape[2 + self.axis] = stop - first
        placed: Tensor = numbers.reshape(shape).to(weights[0])
        return placed


@final
@dataclass(frozen=True, slots=True)
class Filled(Operation):
    """One number everywhere.

    Its only weight is the number 1, for the device and the number format.

    Parameters
    ----------
    value : Size
        The number.
    layout : Layout
        Axes of the tensor that the network makes.
    """

    value: Size
    layout: Layout

    def sized(self, size: Callable[[Size], Any]) -> Filled:
        """See `Operation.sized`."""
        return replace(self, value=size(self.value))

    def need(self, box: Box, sources: Sequence[Shape], whole: Shape) -> Need:
        """See `Operation.need`; the place is the number and how many voxels."""
        del sources, whole
        return Need((), (self.value, box.shape))

    def run(self, values: Sequence[Tensor], weights: Sequence[Tensor], place: Any, *, reuse: bool) -> Tensor:
        """See `Operation.run`."""
        del values, reuse
        value, shape = place
        filled: Tensor = weights[0].new_full((1, prod(self.layout.channels), *shape), value)
        return filled


@final
@dataclass(frozen=True, slots=True)
class Held(Operation):
    """One voxel that stands for all, with numbers that are known: its only weight."""

    def need(self, box: Box, sources: Sequence[Shape], whole: Shape) -> Need:
        """See `Operation.need`."""
        del box, sources, whole
        return Need(())

    def run(self, values: Sequence[Tensor], weights: Sequence[Tensor], place: Any, *, reuse: bool) -> Tensor:
        """See `Operation.run`."""
        del values, place, reuse
        # Others may overwrite it.
        return weights[0].clone()


@final
@dataclass(frozen=True, slots=True)
class Given(Operation):
    """A feature map that has been computed before.

    Parameters
    ----------
    read : callable
        Returns a box of it, ``(batch, channels, *box.shape)``, as new memory on the device and in the number
        format of the network.
    """

    read: Callable[[Box], Tensor]

    def need(self, box: Box, sources: Sequence[Shape], whole: Shape) -> Need:
        """See `Operation.need`; the place is the box."""
        del sources, whole
        return Need((), box)

    def run(self, values: Sequence[Tensor], weights: Sequence[Tensor], place: Any, *, reuse: bool) -> Tensor:
        """See `Operation.run`."""
        del values, weights, reuse
        return self.read(place)


@final
@dataclass(frozen=True, slots=True)
class Spread(Local):
    """What is the same along an axis, at each voxel of it.

    Parameters
    ----------
    layout : Layout
        Axes of the tensor that the network makes.
    """

    fresh: ClassVar[bool] = False

    layout: Layout

    def need(self, box: Box, sources: Sequence[Shape], whole: Shape) -> Need:
        """See `Operation.need`; the place is how many voxels."""
        return replace(super(Spread, self).need(box, sources, whole), place=box.shape)

    def run(self, values: Sequence[Tensor], weights: Sequence[Tensor], place: Any, *, reuse: bool) -> Tensor:
        """See `Operation.run`."""
        del weights, reuse
        return values[0].expand(-1, -1, *place)
