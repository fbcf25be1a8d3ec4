"""What an operation of a network is to the region engine: a rule, and how to run on a region."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Hashable, Sequence
from dataclasses import dataclass
from fractions import Fraction
from typing import Any, ClassVar, TypeAlias

import torch
from torch import Tensor

from napari_tileseg._types import Shape
from napari_tileseg.tiling import Box

#: Voxels from one to another along an axis, half-open; they may leave the feature map.
Span: TypeAlias = tuple[int, int]
#: Voxels to add before and after along each axis; negative where there are too many.
Pads: TypeAlias = tuple[tuple[int, int], ...]


@dataclass(frozen=True, slots=True)
class Need:
    """What an operation needs to compute a box of its result.

    Parameters
    ----------
    boxes : tuple of Box
        For each input, the box of that whole feature map; never empty.
    place : hashable
        All that running depends on beside the inputs: how much to pad at the border, where to cut. Two boxes
        with the same place and shapes are computed alike.
    """

    boxes: tuple[Box, ...]
    place: Hashable = None


class Operation(ABC):
    """Computes feature maps ``(batch, channels, *space)`` from others, on any box of the whole result.

    Coordinates are those of the whole feature map, from 0 to its shape. At its border, and nowhere else, an
    operation pads.
    """

    __slots__ = ()

    #: Whether the result is new memory, which nothing else looks at.
    fresh: ClassVar[bool] = True
    #: Why it cannot be computed region by region, as the end of a sentence; empty where it can.
    obstacle: str = ""

    @property
    def reusable(self) -> bool:
        """Whether it can write the result over its first input."""
        return False

    def sized(self, size: Callable[[Any], Any]) -> Operation:
        """Return the operation for an image at hand.

        Parameters
        ----------
        size : callable
            Returns the number that an expression in the image's sizes has.
        """
        del size
        return self

    @abstractmethod
    def need(self, box: Box, sources: Sequence[Shape], whole: Shape) -> Need:
        """Return what a box of the result needs.

        Parameters
        ----------
        box : Box
            Part of the result, not empty.
        sources : sequence of tuple of int
            Spatial shape of each whole input.
        whole : tuple of int
            Spatial shape of the whole result.
        """

    @abstractmethod
    def run(
        self, values: Sequence[Tensor], weights: Sequence[Tensor], place: Hashable, *, reuse: bool
    ) -> Tensor:
        """Compute a box of the result.

        Parameters
        ----------
        values : sequence of Tensor
            The needed box of each input.
        weights : sequence of Tensor
            The operation's own tensors.
        place : hashable
            As `need` gave it.
        reuse : bool
            Whether the first input may be overwritten.
        """

    def steps(self, source: Shape, whole: Shape) -> tuple[Fraction, ...]:
        """Return, along each axis, how many voxels of the first input lie between two of the result.

        Parameters
        ----------
        source, whole : tuple of int
            Spatial shapes of the whole first input and the whole result.
        """
        del source
        return (Fraction(1),) * len(whole)

    def is_even(self, source: Shape, whole: Shape) -> bool:
        """Whether voxels away from the border are computed alike, wherever in the image they lie.

        Parameters
        ----------
        source, whole : tuple of int
            Spatial shapes of the whole first input and the whole result.
        """
        del source, whole
        return True

    def flops(self, produced: int, taken: int) -> int:
        """Count the floating-point operations of convolutions, as `torch.utils.flop_counter` does.

        Parameters
        ----------
        produced, taken : int
            Voxels of the result, and of the first input.
        """
        del produced, taken
        return 0


class Local(Operation):
    """An operation that treats each voxel by itself: it needs the box that it gives.

    What was reduced to one voxel along an axis stands for all voxels there.
    """

    __slots__ = ()

    def need(self, box: Box, sources: Sequence[Shape], whole: Shape) -> Need:
        """See `Operation.need`."""
        return Need(tuple(box if source == whole else _spread(box, source, whole) for source in sources))


def _spread(box: Box, source: Shape, whole: Shape) -> Box:
    """Return the part of a reduced input that a box of the result needs."""
    single = [n == 1 != all_of_it for n, all_of_it in zip(source, whole, strict=True)]
    start = tuple(0 if one else a for one, a in zip(single, box.start, strict=True))
    return Box(start, tuple(1 if one else b for one, b in zip(single, box.stop, strict=True)))


def cut(spans: Sequence[Span], whole: Shape) -> tuple[Box, Pads]:
    """Clip `spans` to a feature map, to at least one voxel, and return what is missing of them, too.

    Examples
    --------
    >>> cut([(-1, 4)], (3,))
    (Box(start=(0,), stop=(3,)), ((1, 1),))
    """
    start = tuple(min(max(a, 0), n - 1) for (a, _), n in zip(spans, whole, strict=True))
    stop = tuple(max(min(b, n), a + 1) for (_, b), a, n in zip(spans, start, whole, strict=True))
    pads = tuple((a - lo, hi - b) for (lo, hi), a, b in zip(spans, start, stop, strict=True))
    return Box(start, stop), pads


def fit(value: Tensor, pads: Pads, fill: float = 0.0) -> Tensor:
    """Add `fill` around the spatial axes, or cut voxels off; the same tensor or a view where it can be."""
    fitted = (*value.shape[:2], *(n + sum(pad) for n, pad in zip(value.shape[2:], pads, strict=True)))
    for axis, (before, after) in enumerate(pads, start=2):
        first, last = max(0, -before), value.shape[axis] - max(0, -after)
        if last <= first:
            return value.new_full(fitted, fill)
        if last - first < value.shape[axis]:
            value = value.narrow(axis, first, last - first)
    more = [max(0, side) for pair in reversed(pads) for side in pair]
    return torch.constant_pad_nd(value, more, fill) if any(more) else value


def own(value: Tensor, sources: Sequence[Tensor]) -> Tensor:
    """Return a tensor that shares no memory with others, so that it can be overwritten."""
    held = {source.untyped_storage().data_ptr() for source in sources}
    return value.clone() if value.untyped_storage().data_ptr() in held else value


def united(one: Box | None, other: Box) -> Box:
    """Return the smallest box that holds both."""
    if one is None:
        return other
    return Box(
        tuple(map(min, one.start, other.start)),
        tuple(map(max, one.stop, other.stop)),
    )
