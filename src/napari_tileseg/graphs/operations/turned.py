"""Feature maps that are turned, and operations between these."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Sequence
from dataclasses import dataclass, replace
from fractions import Fraction
from typing import Any, final

from torch import Tensor

from napari_tileseg._types import Shape
from napari_tileseg.graphs.operations.coordinates import Filled
from napari_tileseg.graphs.operations.operation import Local, Need, Operation, own
from napari_tileseg.graphs.operations.reductions import GlobalNorm, Reduced
from napari_tileseg.graphs.operations.turn import Turn
from napari_tileseg.graphs.operations.voxelwise import Voxelwise
from napari_tileseg.graphs.operations.windows import AnyConvolution, AveragePool, MaxPool
from napari_tileseg.tiling import Box


@final
@dataclass(frozen=True, slots=True)
class Turning(Operation):
    """A feature map turned.

    Parameters
    ----------
    turn : Turn
        How.
    """

    obstacle = "it turns the image, and not all that it makes of it back"

    turn: Turn

    def need(self, box: Box, sources: Sequence[Shape], whole: Shape) -> Need:
        """See `Operation.need`."""
        del sources
        return Need((self.turn.back.box(box, whole),))

    def run(
        self, values: Sequence[Tensor], weights: Sequence[Tensor], place: Hashable, *, reuse: bool
    ) -> Tensor:
        """See `Operation.run`."""
        del weights, place, reuse
        return own(self.turn.tensor(values[0]), values)


@final
@dataclass(frozen=True, slots=True)
class Turned(Operation):
    """What makes an operation's result, turned, from its inputs, turned in the same way.

    Parameters
    ----------
    operation : Operation
        Any one.
    turn : Turn
        How.
    obstacle : str
        That of the operation.
    """

    operation: Operation
    turn: Turn
    obstacle: str

    def sized(self, size: Callable[[Any], Any]) -> Turned:
        """See `Operation.sized`."""
        return replace(self, operation=self.operation.sized(size))

    def need(self, box: Box, sources: Sequence[Shape], whole: Shape) -> Need:
        """See `Operation.need`; the place is the operation's."""
        back = self.turn.back
        shapes = [back.of(source) for source in sources]
        need = self.operation.need(back.box(box, whole), shapes, back.of(whole))
        parts = zip(need.boxes, shapes, strict=True)
        return replace(need, boxes=tuple(self.turn.box(part, shape) for part, shape in parts))

    def run(self, values: Sequence[Tensor], weights: Sequence[Tensor], place: Any, *, reuse: bool) -> Tensor:
        """See `Operation.run`."""
        del reuse
        back = self.turn.back
        result = self.operation.run([back.tensor(value) for value in values], weights, place, reuse=False)
        return own(self.turn.tensor(result), values)

    def steps(self, source: Shape, whole: Shape) -> tuple[Fraction, ...]:
        """See `Operation.steps`."""
        back = self.turn.back
        return self.turn.of(self.operation.steps(back.of(source), back.of(whole)))

    def is_even(self, source: Shape, whole: Shape) -> bool:
        """See `Operation.is_even`."""
        back = self.turn.back
        return self.operation.is_even(back.of(source), back.of(whole))

    def flops(self, produced: int, taken: int) -> int:
        """See `Operation.flops`."""
        return self.operation.flops(produced, taken)


def turned(operation: Operation, turn: Turn) -> Operation:
    """Return what makes an operation's result, turned, from its inputs, turned in the same way.

    Parameters
    ----------
    operation : Operation
        Any one. The kernel of a convolution, which is among its weights, has to be turned besides.
    turn : Turn
        How.
    """
    if turn.is_none or _is_alike(operation, turn):
        return operation
    if isinstance(operation, AveragePool):
        return replace(operation, window=operation.window.turned(turn), counted=turn.of(operation.counted))
    if isinstance(operation, (AnyConvolution, MaxPool)):
        return replace(operation, window=operation.window.turned(turn))
    return Turned(operation, turn, operation.obstacle)


def _is_alike(operation: Operation, turn: Turn) -> bool:
    """Whether an operation computes the same of what is turned, because all voxels are alike to it."""
    if isinstance(operation, Reduced):
        # Some functions say where a value is, and not which.
        return not operation.function.part and (all(operation.over) or not turn.reorders)
    if isinstance(operation, Voxelwise):
        return not turn.reorders
    return isinstance(operation, (Local, GlobalNorm, Filled))
