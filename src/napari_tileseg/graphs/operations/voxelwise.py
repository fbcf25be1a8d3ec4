"""Functions over the channels of each voxel by itself, in whatever order of axes they are written."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Sequence
from dataclasses import dataclass, replace
from typing import Any, final

import torch
from torch import Tensor

from napari_tileseg._types import Shape
from napari_tileseg.graphs.layouts.layout import Layout
from napari_tileseg.graphs.operations.operation import Local, Need, own
from napari_tileseg.graphs.operations.pointwise import Slot, operator
from napari_tileseg.graphs.sizes import Size
from napari_tileseg.tiling import Box


@dataclass(frozen=True, slots=True)
class Number:
    """A number among the arguments of a function that depends on the size of the image.

    Parameters
    ----------
    size : Size
        The number, as an expression until an image is at hand.
    """

    size: Size


@final
@dataclass(frozen=True, slots=True)
class Voxelwise(Local):
    """A function of torch that treats voxels alike and by themselves, on tensors with axes in any order.

    Parameters
    ----------
    function : str
        Its name in ``torch.ops.aten``, such as ``layer_norm.default``.
    arguments : tuple
        Its arguments; `Slot` where a tensor stands, `Number` for what depends on the image's size, tuples for
        lists.
    keywords : tuple of (str, value)
        Arguments by name.
    layouts : tuple of Layout
        Axes of the inputs, as the function takes them.
    layout : Layout
        Axes of what it gives.
    part : int, optional
        Which of several tensors that it gives.
    taps : int
        Multiplications for each voxel.
    """

    function: str
    arguments: tuple[Any, ...]
    keywords: tuple[tuple[str, Any], ...]
    layouts: tuple[Layout, ...]
    layout: Layout
    part: int | None = None
    taps: int = 0

    def sized(self, size: Callable[[Size], Any]) -> Voxelwise:
        """See `Operation.sized`."""
        return replace(self, arguments=_sized(self.arguments, size))

    def need(self, box: Box, sources: Sequence[Shape], whole: Shape) -> Need:
        """See `Operation.need`; the place is the numbers among its arguments."""
        need = super(Voxelwise, self).need(box, sources, whole)
        return replace(need, place=self.arguments if _has_numbers(self.arguments) else None)

    def run(self, values: Sequence[Tensor], weights: Sequence[Tensor], place: Any, *, reuse: bool) -> Tensor:
        """See `Operation.run`."""
        del reuse
        # All inputs lie on the same box, but for axes along which one voxel stands for all.
        space = tuple(max(sizes) for sizes in zip(*(value.shape[2:] for value in values), strict=True))
        return self.result(values, weights, place, space)

    def result(self, values: Sequence[Tensor], weights: Sequence[Tensor], place: Any, space: Shape) -> Tensor:
        """Compute what the function gives.

        Parameters
        ----------
        values, weights, place
            As for `run`.
        space : tuple of int
            Voxels of the result.
        """
        batch = max((len(value) for value in values), default=1)
        opened = [
            layout.opened(_of_batch(value, batch) if None in layout.axes else value)
            for layout, value in zip(self.layouts, values, strict=True)
        ]
        given = [_filled(each, opened, weights) for each in place or self.arguments]
        named = {name: _filled(value, opened, weights) for name, value in self.keywords}
        result = operator(self.function)(*given, **named)
        return own(self.layout.closed(result if self.part is None else result[self.part], space), values)

    def flops(self, produced: int, taken: int) -> int:
        """See `Operation.flops`."""
        del taken
        return 2 * produced * self.taps


def _of_batch(value: Tensor, batch: int) -> Tensor:
    """Return a feature map with so many samples; one that does not depend on the image has a single one."""
    return value if len(value) == batch else value.expand(batch, *value.shape[1:])


def _sized(value: Any, size: Callable[[Size], Any]) -> Any:
    if isinstance(value, tuple):
        return tuple(_sized(each, size) for each in value)
    return Number(size(value.size)) if isinstance(value, Number) else value


def _has_numbers(value: Hashable) -> bool:
    return any(map(_has_numbers, value)) if isinstance(value, tuple) else isinstance(value, Number)


def _filled(value: Any, inputs: Sequence[Tensor], weights: Sequence[Tensor]) -> Any:
    """Return an argument with tensors and numbers where they stand."""
    if isinstance(value, Slot):
        return (weights if value.weight else inputs)[value.number]
    if isinstance(value, tuple):
        return [_filled(each, inputs, weights) for each in value]
    if isinstance(value, torch.dtype) and value.is_floating_point:
        return (inputs[0] if inputs else weights[0]).dtype
    return value.size if isinstance(value, Number) else value
