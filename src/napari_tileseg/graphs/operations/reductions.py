"""Operations that look at all of space: means, largest values, norms, and what is weighed by all voxels."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Hashable, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar, Literal, TypeAlias, final

import torch
from torch import Tensor

from napari_tileseg._types import Shape
from napari_tileseg.graphs.layouts.layout import Layout
from napari_tileseg.graphs.operations.operation import Need, Operation
from napari_tileseg.graphs.operations.voxelwise import Voxelwise
from napari_tileseg.tiling import Box

#: How values of parts of an image make up that of the whole: sums and counts are added, largest values are
#: compared, of means and variances follow those of the whole by the numbers of voxels.
Joined: TypeAlias = Literal["sum", "moments", "max", "min", "norm"]


class Global(Operation):
    """An operation each of whose results depends on all voxels along one or more axes.

    No region of its result follows from a region of its input. An engine for regions has to refuse it, or to
    compute what it makes of the whole image before.
    """

    __slots__ = ()

    @property
    @abstractmethod
    def over(self) -> tuple[bool, ...]:
        """Along each axis, whether all of it is looked at."""

    def need(self, box: Box, sources: Sequence[Shape], whole: Shape) -> Need:
        """See `Operation.need`: all of each axis that is looked at; the place is what of it is wanted."""
        del whole
        start = tuple(0 if every else a for every, a in zip(self.over, box.start, strict=True))
        ends = zip(self.over, sources[0], box.stop, strict=True)
        part = Box(start, tuple(n if every else b for every, n, b in ends))
        return Need((part,) * len(sources), box.within(part) if part.contains(box) else None)


@final
@dataclass(frozen=True, slots=True)
class Reduced(Global):
    """A function that makes one value of all voxels along some axes, which then stands for all of them.

    Parameters
    ----------
    function : Voxelwise
        What it computes; the axes that it goes over are among those of space.
    along : tuple of bool
        Along each axis, whether all of it is looked at.
    joined : {"sum", "moments", "max", "min", "norm"}
        How values of parts of the image make up that of the whole.
    obstacle : str
        As in `Operation`.
    freedom : float
        Of a spread, what is subtracted from the number of values that it divides by.
    """

    function: Voxelwise
    along: tuple[bool, ...]
    joined: Joined
    obstacle: str
    freedom: float = 0.0

    @property
    def over(self) -> tuple[bool, ...]:
        """See `Global.over`."""
        return self.along

    @property
    def layout(self) -> Layout:
        """Axes of what it gives."""
        return self.function.layout

    def run(
        self, values: Sequence[Tensor], weights: Sequence[Tensor], place: Hashable, *, reuse: bool
    ) -> Tensor:
        """See `Operation.run`."""
        del place, reuse
        pairs = zip(self.along, values[0].shape[2:], strict=True)
        return self.function.result(values, weights, None, tuple(1 if every else n for every, n in pairs))


@final
@dataclass(frozen=True, slots=True)
class GlobalNorm(Global):
    """Zero mean and unit variance over space, for each group of channels by itself.

    Parameters
    ----------
    groups : int
        Groups of channels, which have statistics of their own; as many as channels for an InstanceNorm.
    eps : float
        Added to the variance.
    scaled, shifted : bool
        Whether a scale, and a shift, for each channel are among the weights.
    ndim : int
        Spatial axes.
    obstacle : str
        As in `Operation`.
    """

    joined: ClassVar[Joined] = "moments"

    groups: int
    eps: float
    scaled: bool
    shifted: bool
    ndim: int
    obstacle: str

    @property
    def over(self) -> tuple[bool, ...]:
        """See `Global.over`."""
        return (True,) * self.ndim

    def moments(self, value: Tensor) -> tuple[Tensor, Tensor]:
        """Return variance and mean of each group, ``(batch, groups)``."""
        return torch.var_mean(value.reshape(len(value), self.groups, -1), dim=2, correction=0)

    def apply(self, value: Tensor, variance: Tensor, mean: Tensor, weights: Sequence[Tensor]) -> Tensor:
        """Normalize a region by the statistics of the whole."""
        ones = (1,) * self.ndim
        spread = [
            part.repeat_interleave(value.shape[1] // self.groups, dim=1).reshape(len(value), -1, *ones)
            for part in (mean, torch.rsqrt(variance + self.eps))
        ]
        output = (value - spread[0]) * spread[1]
        rest = [weight.reshape(-1, *ones) for weight in weights]
        if self.scaled:
            output = output * rest.pop(0)
        return output + rest.pop(0) if self.shifted else output

    def run(self, values: Sequence[Tensor], weights: Sequence[Tensor], place: Any, *, reuse: bool) -> Tensor:
        """See `Operation.run`."""
        del reuse
        region = values[0][(slice(None), slice(None), *place)]
        return self.apply(region, *self.moments(values[0]), weights)


@final
@dataclass(frozen=True, slots=True)
class Weighed(Global):
    """A function that gives as many voxels as it takes, each made from all along some axes.

    Parameters
    ----------
    function : Voxelwise
        What it computes, such as a softmax over an axis of space.
    along : tuple of bool
        Along each axis, whether all of it is looked at.
    obstacle : str
        As in `Operation`.
    """

    function: Voxelwise
    along: tuple[bool, ...]
    obstacle: str

    @property
    def over(self) -> tuple[bool, ...]:
        """See `Global.over`."""
        return self.along

    def run(self, values: Sequence[Tensor], weights: Sequence[Tensor], place: Any, *, reuse: bool) -> Tensor:
        """See `Operation.run`."""
        del reuse
        space = tuple(values[0].shape[2:])
        return self.function.result(values, weights, None, space)[(slice(None), slice(None), *place)]
