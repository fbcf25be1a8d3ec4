"""Translating an exported graph into operations that have rules."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import fx

from napari_tileseg.graphs import rules
from napari_tileseg.graphs.call import Call, Made, Rule, name_of
from napari_tileseg.graphs.graph import Node, NoRuleError
from napari_tileseg.graphs.operations.operation import Operation
from napari_tileseg.graphs.operations.resizing import PixelShuffle
from napari_tileseg.graphs.operations.slicing import Padding
from napari_tileseg.graphs.sizes import size_of
from napari_tileseg.graphs.weights import Weights


@dataclass(frozen=True, slots=True)
class Apart:
    """Channels on the way into space: a feature map that has been reshaped, and perhaps permuted.

    Parameters
    ----------
    source : int
        The feature map.
    shape : tuple
        Its shape after reshaping.
    permuted : bool
        Whether each factor has been brought behind its axis.
    """

    source: int
    shape: tuple[Any, ...]
    permuted: bool = False


class Translation:
    """Takes the nodes of an exported graph one by one.

    Parameters
    ----------
    ndim : int
        Spatial axes.
    names : mapping of str to str
        Names of weights by the names of the placeholders that stand for them.
    """

    def __init__(self, ndim: int, names: Mapping[str, str]) -> None:
        self._ndim = ndim
        self.weights = Weights(names)
        self._values: dict[fx.Node, Any] = {}
        self._nodes: list[Node] = []
        # What shares memory: overwriting one changes all that have the same number.
        self._memory: dict[fx.Node, int] = {}
        self._views: set[int] = set()
        self.image: tuple[Any, ...] = ()

    def take(self, node: fx.Node) -> None:
        """Translate the next node.

        Raises
        ------
        NoRuleError
            If it has no rule.
        """
        if node.op == "placeholder":
            self._take_placeholder(node)
        elif node.op == "output":
            self._output = node.args[0]
        elif node.op == "call_function" and _makes_tensors(node):
            self._take_call(node)

    def _take_placeholder(self, node: fx.Node) -> None:
        if self.weights.take_placeholder(node):
            return
        self._values[node] = 0
        self._memory[node] = 0
        self.image = tuple(node.meta["val"].shape[-self._ndim :])

    def _take_call(self, node: fx.Node) -> None:
        if self.weights.take_call(node):
            return
        name = str(node.target).removeprefix("aten.")
        if name == "<built-in function getitem>":
            parts: Any = node.args[0]
            self._values[node] = self._values[parts][node.args[1]]
            self._memory[node] = self._memory[parts]
            return
        call = Call(node, self._values, self.weights.names, self._ndim)
        if name in rules.SAME:
            self._follow(node, call, copies=name in rules.COPIES)
        elif name in rules.CASTS and _are_floating(node, node.args[0]):
            self._follow(node, call, copies=False)
        elif name in rules.RESHAPES:
            self._reshape(node, call)
        elif name in rules.SPLITS:
            self._split(node, rules.SPLITS[name](call))
        else:
            self._make(node, call, rules.find(name))

    def _follow(self, node: fx.Node, call: Call, *, copies: bool) -> None:
        """Follow a node that computes nothing: the same feature map, in the same memory or in another."""
        source = next(iter(call.arguments.values()))
        self._values[node] = call.map_of(source)
        self._memory[node] = len(self._memory) if copies else self._memory[source]

    def _make(self, node: fx.Node, call: Call, rule: Rule | None) -> None:
        if rule is None:
            raise NoRuleError(f"there is no rule for its operation {call.name}")
        operation, inputs, weights = rule(call)
        if isinstance(operation, Padding) and _adds_nothing(operation, node):
            # Padding by nothing copies.
            self._follow(node, call, copies=True)
            return
        self._values[node] = self._add(node, operation, inputs, weights)
        overwrites = node.target._schema.is_mutable  # type: ignore[union-attr]
        if overwrites:
            self._overwrite(node.args[0], node, call.name)  # type: ignore[arg-type]
        else:
            self._memory[node] = len(self._memory)
            self._note_view(node)

    def _add(self, node: fx.Node, operation: Operation, inputs: Sequence[int], weights: Sequence[str]) -> int:
        value = node.meta["val"]
        extent = _extent(node)
        if len(extent) != self._ndim + 2:
            raise NoRuleError(f"its {name_of(node.target)} gives {len(extent)} axes")
        self._nodes.append(Node(operation, tuple(inputs), tuple(weights), int(value.shape[1]), extent[2:]))
        return len(self._nodes)

    def _note_view(self, node: fx.Node) -> None:
        """Note that a slice shares memory with what it is cut from, without being the same feature map."""
        if not self._nodes[-1].operation.fresh:
            self._views.update({self._memory[node], self._memory[node.args[0]]})  # type: ignore[index]

    def _overwrite(self, target: fx.Node, node: fx.Node, name: str) -> None:
        memory = self._memory[target]
        if memory in self._views:
            raise NoRuleError(f"its {name} overwrites a part of a feature map")
        self._memory[node] = memory
        for other, where in self._memory.items():
            if where == memory:
                self._values[other] = self._values[node]

    def _split(self, node: fx.Node, made: Sequence[Made]) -> None:
        parts = []
        for value, (operation, inputs, weights) in zip(node.meta["val"], made, strict=True):
            extent = tuple(map(size_of, value.shape))
            self._nodes.append(
                Node(operation, tuple(inputs), tuple(weights), int(value.shape[1]), extent[2:])
            )
            parts.append(len(self._nodes))
        self._values[node] = tuple(parts)
        self._memory[node] = self._memory[node.args[0]]  # type: ignore[index]
        self._views.add(self._memory[node])

    def _reshape(self, node: fx.Node, call: Call) -> None:
        """Follow a reshape, a permutation and a reshape, which together move channels into space."""
        source: Any = node.args[0]
        value, extent = self._values.get(source), _extent(node)
        if isinstance(value, int) and len(extent) == 2 * self._ndim + 2:
            self._values[node] = Apart(value, extent)
        elif isinstance(value, Apart) and not value.permuted and rules.is_shuffle(node, self._ndim):
            self._values[node] = replace(value, permuted=True)
        elif isinstance(value, Apart) and value.permuted and len(extent) == self._ndim + 2:
            factors = rules.factors_of(value.shape, extent, self._ndim)
            self._values[node] = self._add(node, PixelShuffle(factors), [value.source], [])
        else:
            raise NoRuleError(f"its {call.name} rearranges voxels")
        self._memory[node] = len(self._memory)

    def finish(self) -> tuple[Node, ...]:
        """Return the operations that the result needs, in order.

        Raises
        ------
        NoRuleError
            If the network does not give one tensor.
        """
        outputs = self._output if isinstance(self._output, (tuple, list)) else (self._output,)
        result = self._values.get(outputs[0]) if isinstance(outputs[0], fx.Node) else None
        if len(outputs) != 1 or not isinstance(result, int):
            raise NoRuleError("it gives something other than one tensor")
        return without_idle(self._nodes, result)


def _makes_tensors(node: fx.Node) -> bool:
    """Whether a call gives feature maps, and not a size or a check of one."""
    value = node.meta.get("val")
    return isinstance(value, torch.Tensor) or (
        isinstance(value, (tuple, list)) and any(isinstance(part, torch.Tensor) for part in value)
    )


def _adds_nothing(padding: Padding, node: fx.Node) -> bool:
    """Whether neither end changes; what is cut off at one end may have been added at the other."""
    return not any(padding.before) and _extent(node) == _extent(node.args[0])  # type: ignore[arg-type]


def _are_floating(*nodes: Any) -> bool:
    return all(node.meta["val"].is_floating_point() for node in nodes)


def _extent(node: fx.Node) -> tuple[Any, ...]:
    return tuple(map(size_of, node.meta["val"].shape))


def without_idle(nodes: Sequence[Node], result: int) -> tuple[Node, ...]:
    """Leave out what `result` does not need, and make it the last."""
    used = {result}
    for number in range(len(nodes), 0, -1):
        if number in used:
            used.update(nodes[number - 1].inputs)
    if result == 0:
        raise NoRuleError("it gives the image back")
    kept = [number for number in sorted(used) if 0 < number <= result]
    numbers = {0: 0} | {number: place for place, number in enumerate(kept, start=1)}
    return tuple(
        replace(nodes[number - 1], inputs=tuple(numbers[i] for i in nodes[number - 1].inputs))
        for number in kept
    )
