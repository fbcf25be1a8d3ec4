"""Convolutions and poolings: operations that look through a window."""

from __future__ import annotations

from collections.abc import Hashable, Sequence
from dataclasses import dataclass, replace
from fractions import Fraction
from math import inf, prod
from typing import Any, final

import torch
from torch import Tensor
from torch.nn import functional

from napari_tileseg._types import Shape
from napari_tileseg.graphs.operations.convolve import convolve
from napari_tileseg.graphs.operations.operation import Need, Operation, Pads, Span, cut, fit
from napari_tileseg.graphs.operations.turn import Turn
from napari_tileseg.tiling import Box

_MAX_POOLS: tuple[Any, ...] = (functional.max_pool1d, functional.max_pool2d, functional.max_pool3d)
_AVERAGE_POOLS: tuple[Any, ...] = (functional.avg_pool1d, functional.avg_pool2d, functional.avg_pool3d)


@dataclass(frozen=True, slots=True)
class Window:
    """A window that moves over a feature map.

    Parameters
    ----------
    size, stride, before, dilation : tuple of int
        For each axis: taps, voxels between two results, padding at the near end, voxels between two taps. The
        padding at the far end follows from the shape of the whole result.
    mirrored : tuple of int
        Axes that run the other way, so that `before` is the padding at their far end.
    """

    size: Shape
    stride: Shape
    before: Shape
    dilation: Shape
    mirrored: Shape = ()

    @property
    def steps(self) -> tuple[Fraction, ...]:
        """Voxels of the feature map between two results, along each axis."""
        return tuple(map(Fraction, self.stride))

    def turned(self, turn: Turn) -> Window:
        """Return the window on feature maps that are turned."""
        size, stride, before, dilation = map(turn.of, (self.size, self.stride, self.before, self.dilation))
        return Window(size, stride, before, dilation, turn.mirrored)

    def along(self, many: Shape, few: Shape) -> Window:
        """Return the window with its padding at the near end of all axes.

        The first and the last of `few` positions, and the taps around them, lie as far from both ends of the
        feature map as is left of it.

        Parameters
        ----------
        many, few : tuple of int
            Voxels of the feature map that is looked at, and positions of the window; of a transposed
            convolution, voxels of its result and of what it is given.
        """
        if not self.mirrored:
            return self
        each = zip(many, few, self.size, self.stride, self.before, self.dilation, strict=True)
        before = tuple(
            (count - 1) * step + (taps - 1) * apart - (n - 1) - pad if axis in self.mirrored else pad
            for axis, (n, count, taps, step, pad, apart) in enumerate(each)
        )
        return replace(self, before=before, mirrored=())

    def spans(self, box: Box) -> tuple[Span, ...]:
        """Return what a box of the result looks at; it may reach beyond the feature map."""
        extents = zip(box.start, box.stop, self.size, self.stride, self.before, self.dilation, strict=True)
        return tuple(
            (a * step - pad, (b - 1) * step - pad + (taps - 1) * apart + 1)
            for a, b, taps, step, pad, apart in extents
        )

    def need(self, box: Box, source: Shape, whole: Shape) -> Need:
        """Return the part of it inside the feature map, and how much to pad."""
        part, pads = cut(self.along(source, whole).spans(box), source)
        return Need((part,), pads)


@dataclass(frozen=True, slots=True)
class AnyConvolution(Operation):
    """A convolution, transposed or not.

    Parameters
    ----------
    window : Window
        Its kernel. For a transposed one, `before` is what is cut off at the near end.
    groups : int
        Groups of channels.
    taps : int
        Numbers in its weight.
    biased : bool
        Whether a bias follows the weight.
    """

    window: Window
    groups: int
    taps: int
    biased: bool

    def bias(self, weights: Sequence[Tensor]) -> Tensor | None:
        """Return the bias among its own tensors, if it has one."""
        return weights[1] if self.biased else None


@final
@dataclass(frozen=True, slots=True)
class Convolution(AnyConvolution):
    """Convolution with zero padding."""

    def steps(self, source: Shape, whole: Shape) -> tuple[Fraction, ...]:
        """See `Operation.steps`."""
        del source, whole
        return self.window.steps

    def need(self, box: Box, sources: Sequence[Shape], whole: Shape) -> Need:
        """See `Operation.need`."""
        return self.window.need(box, sources[0], whole)

    def run(
        self, values: Sequence[Tensor], weights: Sequence[Tensor], place: Hashable, *, reuse: bool
    ) -> Tensor:
        """See `Operation.run`."""
        del reuse
        value, padding = _pad_evenly(values[0], place, 0.0)
        bias = self.bias(weights)
        return convolve(
            value, weights[0], bias, self.window.stride, padding, self.window.dilation, self.groups
        )

    def flops(self, produced: int, taken: int) -> int:
        """See `Operation.flops`."""
        del taken
        return 2 * produced * self.taps


def _pad_evenly(value: Tensor, place: Any, fill: float) -> tuple[Tensor, Shape]:
    """Leave padding to the operation where both sides are alike, which copies nothing; else do it here."""
    pads: Pads = place
    if all(before == after >= 0 for before, after in pads):
        return value, tuple(before for before, _ in pads)
    return fit(value, pads, fill), (0,) * len(pads)


@final
@dataclass(frozen=True, slots=True)
class TransposedConvolution(AnyConvolution):
    """Transposed convolution."""

    def steps(self, source: Shape, whole: Shape) -> tuple[Fraction, ...]:
        """See `Operation.steps`."""
        del source, whole
        return tuple(1 / step for step in self.window.steps)

    def need(self, box: Box, sources: Sequence[Shape], whole: Shape) -> Need:
        """See `Operation.need`; the place is what to cut off what the needed voxels give."""
        kernel = self.window.along(whole, sources[0])
        extents = zip(
            box.start, box.stop, kernel.size, kernel.stride, kernel.before, kernel.dilation, strict=True
        )
        spans = tuple(
            (-(((taps - 1) * apart - a - pad) // step), (b - 1 + pad) // step + 1)
            for a, b, taps, step, pad, apart in extents
        )
        part, _ = cut(spans, sources[0])
        given = zip(
            part.start, part.stop, kernel.size, kernel.stride, kernel.before, kernel.dilation, strict=True
        )
        reach = (
            (a * step - pad, (b - 1) * step - pad + (taps - 1) * apart + 1)
            for a, b, taps, step, pad, apart in given
        )
        pads = tuple((lo - a, b - hi) for (lo, hi), a, b in zip(reach, box.start, box.stop, strict=True))
        return Need((part,), pads)

    def run(self, values: Sequence[Tensor], weights: Sequence[Tensor], place: Any, *, reuse: bool) -> Tensor:
        """See `Operation.run`."""
        del reuse
        bias = self.bias(weights)
        kernel = self.window
        if not all(
            0 <= -before <= (taps - 1) * apart and after - before < max(step, apart)
            for (before, after), taps, step, apart in zip(
                place, kernel.size, kernel.stride, kernel.dilation, strict=True
            )
        ):
            return self._run_apart(values[0], weights[0], bias, place)
        # What is cut off before is cut off after, too; what that is too much, or too little, is put right.
        less = tuple(-before for before, _ in place)
        more = tuple(max(0, after - before) for before, after in place)
        output = torch.convolution(
            values[0], weights[0], bias, kernel.stride, less, kernel.dilation, True, more, self.groups
        )
        return fit(output, tuple((0, min(0, after - before)) for before, after in place))

    def _run_apart(self, value: Tensor, weight: Tensor, bias: Tensor | None, pads: Pads) -> Tensor:
        """Cut and fill by hand, where a box has voxels that no input reaches."""
        kernel, nothing = self.window, (0,) * len(pads)
        output = torch.convolution(
            value, weight, None, kernel.stride, nothing, kernel.dilation, True, nothing, self.groups
        )
        output = fit(output, pads)
        return output if bias is None else output + bias.reshape(-1, *(1,) * len(pads))

    def flops(self, produced: int, taken: int) -> int:
        """See `Operation.flops`."""
        del produced
        return 2 * taken * self.taps


@final
@dataclass(frozen=True, slots=True)
class MaxPool(Operation):
    """Largest value in a window; beyond the border there is nothing.

    Parameters
    ----------
    window : Window
        What it looks through.
    """

    window: Window

    def steps(self, source: Shape, whole: Shape) -> tuple[Fraction, ...]:
        """See `Operation.steps`."""
        del source, whole
        return self.window.steps

    def need(self, box: Box, sources: Sequence[Shape], whole: Shape) -> Need:
        """See `Operation.need`."""
        return self.window.need(box, sources[0], whole)

    def run(self, values: Sequence[Tensor], weights: Sequence[Tensor], place: Any, *, reuse: bool) -> Tensor:
        """See `Operation.run`."""
        del weights, reuse
        kernel = self.window
        output: Tensor = _MAX_POOLS[len(kernel.size) - 1](
            fit(values[0], place, -inf), kernel.size, kernel.stride, 0, kernel.dilation
        )
        return output


@final
@dataclass(frozen=True, slots=True)
class AveragePool(Operation):
    """Mean over a window.

    Parameters
    ----------
    window : Window
        What it looks through.
    counted : tuple of int
        Zeros of the padding on each side that count as values, along each axis.
    divisor : int, optional
        Divide by this number, and not by that of the values.
    """

    window: Window
    counted: Shape
    divisor: int | None

    def steps(self, source: Shape, whole: Shape) -> tuple[Fraction, ...]:
        """See `Operation.steps`."""
        del source, whole
        return self.window.steps

    def need(self, box: Box, sources: Sequence[Shape], whole: Shape) -> Need:
        """See `Operation.need`; the place is what to pad, and by what to correct the mean on each axis."""
        window = self.window.along(sources[0], whole)
        need = window.need(box, sources[0], whole)
        factors = tuple(self._factors(window, box, axis, sources[0][axis]) for axis in range(box.ndim))
        return Need(need.boxes, (need.place, factors))

    def _factors(self, window: Window, box: Box, axis: int, size: int) -> tuple[float, ...]:
        """Return taps over counted values for each position along an axis; empty where they are the same."""
        taps, step, pad, counted = (
            each[axis] for each in (window.size, window.stride, window.before, self.counted)
        )
        if self.divisor is not None:
            return ()
        counts = []
        for place in range(box.start[axis], box.stop[axis]):
            first = place * step - pad
            # A window of `ceil_mode` may go past the padding, which never counts.
            counts.append(min(first + taps, size + counted) - max(first, -counted))
        return () if set(counts) == {taps} else tuple(taps / count for count in counts)

    def run(self, values: Sequence[Tensor], weights: Sequence[Tensor], place: Any, *, reuse: bool) -> Tensor:
        """See `Operation.run`."""
        del weights, reuse
        pads, factors = place
        kernel = self.window
        output: Tensor = _AVERAGE_POOLS[len(kernel.size) - 1](
            fit(values[0], pads), kernel.size, kernel.stride
        )
        for axis, factor in enumerate(factors):
            if factor:
                shape = (-1, *(1,) * (len(factors) - axis - 1))
                output *= output.new_tensor(factor).reshape(shape)
        return output if self.divisor is None else output.mul_(prod(kernel.size) / self.divisor)
