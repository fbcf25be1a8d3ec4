"""A tensor that a network computes from its weights alone: a constant, once the network is bound."""

from __future__ import annotations

import operator
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from napari_tileseg.graphs.operations.pointwise import operator as torch_operator

#: Takes one of several tensors that a function gives.
ITEM = "getitem"
#: Turn a tensor over along some of its axes, and put these in another order.
FLIP, PERMUTE = "flip.default", "permute.default"


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

    It is computed in float64, so that folding it changes no more than rounding; one that is only turned keeps
    its format.

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

    @property
    def sources(self) -> tuple[str, ...]:
        """Names of the tensors that it is computed from."""
        return tuple(_names((*self.arguments, *self.keywords.values())))

    def evaluate(self, find: Callable[[str], Any]) -> Any:
        """Compute it; `find` returns what stands behind a name."""

        def stored(name: str) -> Any:
            return find(name) if self.function in {FLIP, PERMUTE} else _precise(find(name))

        arguments = [_filled(each, stored) for each in self.arguments]
        if self.function == ITEM:
            return operator.getitem(*arguments)
        keywords = {name: _filled(value, stored) for name, value in self.keywords.items()}
        with torch.no_grad():
            return torch_operator(self.function)(*arguments, **keywords)


def _names(values: Iterable[Any]) -> Iterator[str]:
    for value in values:
        if isinstance(value, Stored):
            yield value.name
        elif isinstance(value, tuple):
            yield from _names(value)


def _filled(value: Any, find: Callable[[str], Any]) -> Any:
    """Return an argument with tensors where they stand, made in float64, on the CPU."""
    if isinstance(value, Stored):
        return find(value.name)
    if isinstance(value, tuple):
        return [_filled(each, find) for each in value]
    if isinstance(value, torch.dtype):
        return torch.float64 if value.is_floating_point else value
    return torch.device("cpu") if isinstance(value, torch.device) else value


def _precise(value: Any) -> Any:
    """Return a tensor in float64, on the CPU."""
    if not isinstance(value, Tensor):
        return value
    value = value.detach().cpu()
    return value.double() if value.is_floating_point() else value
