"""Operations on each voxel by itself: activations, sums, concatenation."""

from __future__ import annotations

from collections.abc import Hashable, Sequence
from dataclasses import dataclass
from typing import Any, final

import torch
from torch import Tensor

from napari_tileseg.graphs.operations.operation import Local


@dataclass(frozen=True, slots=True)
class Slot:
    """Place of a tensor among the arguments of a function.

    Parameters
    ----------
    number : int
        Which of the inputs, or of the weights.
    weight : bool
        Whether it is a weight.
    """

    number: int
    weight: bool


@final
@dataclass(frozen=True, slots=True)
class Pointwise(Local):
    """A function of torch that treats voxels alike and by themselves.

    Parameters
    ----------
    function : str
        Its name in ``torch.ops.aten``, such as ``relu.default``.
    arguments : tuple
        Its arguments, `Slot` where a tensor stands.
    keywords : tuple of (str, value)
        Arguments by name.
    in_place : str
        Name of the function that overwrites its first argument; empty where there is none.
    """

    function: str
    arguments: tuple[Any, ...]
    keywords: tuple[tuple[str, Any], ...] = ()
    in_place: str = ""

    @property
    def reusable(self) -> bool:
        """See `Operation.reusable`."""
        return bool(self.in_place)

    def run(
        self, values: Sequence[Tensor], weights: Sequence[Tensor], place: Hashable, *, reuse: bool
    ) -> Tensor:
        """See `Operation.run`."""
        del place
        filled = [
            (weights if part.weight else values)[part.number] if isinstance(part, Slot) else part
            for part in self.arguments
        ]
        output: Tensor = operator(self.in_place if reuse else self.function)(*filled, **dict(self.keywords))
        return output


def operator(name: str) -> Any:
    """Return the function of torch with a name such as ``relu.default``."""
    packet, _, overload = name.partition(".")
    return getattr(getattr(torch.ops.aten, packet), overload)


@final
@dataclass(frozen=True, slots=True)
class Concatenation(Local):
    """Channels of all inputs, one after the other."""

    def run(
        self, values: Sequence[Tensor], weights: Sequence[Tensor], place: Hashable, *, reuse: bool
    ) -> Tensor:
        """See `Operation.run`."""
        del weights, place, reuse
        batch = max(map(len, values))
        # What does not depend on the image is there once.
        alike = [each if len(each) == batch else each.expand(batch, *each.shape[1:]) for each in values]
        return torch.cat(alike, dim=1)
