"""Which nodes of an exported graph are weights, or are computed from weights alone."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from torch import fx

from napari_tileseg.graphs.call import name_of
from napari_tileseg.graphs.graph import NoRuleError
from napari_tileseg.graphs.operations.turn import Turn
from napari_tileseg.graphs.weights.derived import FLIP, ITEM, PERMUTE, Derived, Stored

#: Name of the number 1, for the number format and the device of what is made without any tensor.
ONE = "computed one"
#: Functions whose result is whatever lies in memory.
_UNINITIALIZED = ("empty", "new_empty", "empty_like")


class Weights:
    """Follows what is computed from weights alone.

    Parameters
    ----------
    placeholders : mapping of str to str
        Names of weights by the names of the placeholders that stand for them.
    """

    def __init__(self, placeholders: Mapping[str, str]) -> None:
        self._placeholders = placeholders
        #: Names of weights by node; those of computed ones are theirs alone.
        self.names: dict[fx.Node, str] = {}
        #: How to compute those that the network does not hold.
        self.derived: dict[str, Derived] = {ONE: Derived("ones.default", ((),), {})}

    def take_placeholder(self, node: fx.Node) -> bool:
        """Take a placeholder, if it stands for a weight."""
        if node.name not in self._placeholders:
            return False
        self.names[node] = self._placeholders[node.name]
        return True

    def take_call(self, node: fx.Node) -> bool:
        """Take a call, if all that it takes are weights and numbers.

        Raises
        ------
        NoRuleError
            If what it gives does not follow from these.
        """
        if any(source not in self.names for source in node.all_input_nodes):
            return False
        name = name_of(node.target)
        if name != ITEM:
            _check(node, name)
        derived = Derived(
            str(node.target).removeprefix("aten.") if name != ITEM else ITEM,
            tuple(map(self._argument, node.args)),
            {key: self._argument(value) for key, value in node.kwargs.items()},
        )
        # Not the name of a module's tensor: these hold no spaces.
        self.names[node] = f"computed {len(self.derived)}"
        self.derived[self.names[node]] = derived
        return True

    def turned(self, name: str, turn: Turn) -> str:
        """Return the name of a convolution's weight, turned as the feature maps that it is for."""
        if turn.reorders:
            order = (0, 1, *(axis + 2 for axis in turn.order))
            name = self._moved(name, PERMUTE, order)
        if turn.mirrored:
            name = self._moved(name, FLIP, tuple(axis + 2 for axis in turn.mirrored))
        return name

    def _moved(self, name: str, function: str, axes: tuple[int, ...]) -> str:
        known = f"{name} {function.partition('.')[0]} {axes}"
        self.derived[known] = Derived(function, (Stored(name), axes), {})
        return known

    def _argument(self, value: Any) -> Any:
        if isinstance(value, fx.Node):
            return Stored(self.names[value])
        return tuple(map(self._argument, value)) if isinstance(value, (list, tuple)) else value


def _check(node: fx.Node, name: str) -> None:
    """Raise where a function changes what it takes, or gives something else each time."""
    target: Any = node.target
    if not isinstance(target, torch._ops.OpOverload) or target.namespace != "aten":
        raise NoRuleError(f"there is no rule for its operation {name}")
    if torch.Tag.nondeterministic_seeded in target.tags:
        raise NoRuleError(f"its {name} gives another answer each time")
    if (target._schema.is_mutable and name != "detach") or name in _UNINITIALIZED:
        raise NoRuleError(f"its {name} overwrites a tensor of its own")
