"""A tensor that a network computes from its weights alone: a constant, once the network is bound."""

from __future__ import annotations

import operator
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from napari_tileseg.graphs.operations.pointwise import operator as torch_operator

#: Takes one of several tensors that a function gives.
ITEM = "getitem"


@dataclass(frozen=True, slots=True)
class Stored:
    """Stands for a tensor of the network among the arguments of a function.

    Parameters
    ----------
    name : str
        Its name.
    """

    name: str


@dataclass(frozen=True, slots=True)
class Derived:
    """A function of torch, applied to tensors that the network holds.

    It is computed in float64, so that folding it changes no more than rounding.

    Parameters
    ----------
    function : str
        Its name in ``torch.ops.aten``, such as ``std_mean.correction``, or `ITEM`.
    arguments : tuple
        Its arguments; `Stored`, also within tuples, where a tensor stands.
    keywords : mapping of str to value
        Arguments by name.
    """

    function: str
    arguments: tuple[Any, ...]
    keywords: Mapping[str, Any]

    def evaluate(self, find: Callable[[str], Any]) -> Any:
        """Compute it; `find` returns what stands behind a name."""
        arguments = [_filled(each, find) for each in self.arguments]
        if self.function == ITEM:
            return operator.getitem(*arguments)
        keywords = {name: _filled(value, find) for name, value in self.keywords.items()}
        with torch.no_grad():
            return torch_operator(self.function)(*arguments, **keywords)


def _filled(value: Any, find: Callable[[str], Any]) -> Any:
    """Return an argument with tensors where they stand, numbers in float64, on the CPU."""
    if isinstance(value, Stored):
        return _precise(find(value.name))
    if isinstance(value, tuple):
        return [_filled(each, find) for each in value]
    if isinstance(value, torch.dtype):
        return torch.float64 if value.is_floating_point else value
    return torch.device("cpu") if isinstance(value, torch.device) else value


def _precise(value: Any) -> Any:
    if not isinstance(value, Tensor):
        return value
    value = value.detach().cpu()
    return value.double() if value.is_floating_point() else value
