"""Translating an exported graph into operations that have rules."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from math import prod
from typing import Any, TypeVar

import torch
from torch import fx

from napari_tileseg.graphs import rules
from napari_tileseg.graphs.call import Call, Made, name_of
from napari_tileseg.graphs.graph import Node, NoRuleError
from napari_tileseg.graphs.layouts.arranged import Arranged
from napari_tileseg.graphs.layouts.layout import Layout
from napari_tileseg.graphs.layouts.rearranging import REARRANGES, Rearranging
from napari_tileseg.graphs.operations.coordinates import Coordinates, Filled, Spread
from napari_tileseg.graphs.operations.operation import Operation
from napari_tileseg.graphs.operations.reductions import Reduced
from napari_tileseg.graphs.operations.slicing import Padding
from napari_tileseg.graphs.operations.voxelwise import Voxelwise
from napari_tileseg.graphs.reduction_rules import SPREADS
from napari_tileseg.graphs.refusals import REASONS, reason_for
from napari_tileseg.graphs.sizes import Size, evaluated, hint_of, size_of
from napari_tileseg.graphs.turning import without_turns
from napari_tileseg.graphs.weights.weights import Weights

_T = TypeVar("_T")


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
        # Feature maps of which one voxel is left that was made from all.
        self._pooled: set[int] = set()
        self._layer = ""
        self.image: tuple[Any, ...] = ()

    def take(self, node: fx.Node) -> None:
        """Translate the next node.

        Raises
        ------
        NoRuleError
            If it has no rule.
        """
        self._layer = _layer(node)
        if node.op == "placeholder":
            self._take_placeholder(node)
        elif node.op == "output":
            self._output = node.args[0]
        elif node.op == "call_function" and _makes_tensors(node):
            self._take_call(node)

    def _take_placeholder(self, node: fx.Node) -> None:
        if self.weights.take_placeholder(node):
            return
        shape = node.meta["val"].shape
        self._channels = int(shape[1])
        self._values[node] = Arranged(0, Layout.plain(self._channels, self._ndim))
        self._memory[node] = 0
        self.image = tuple(shape[2:])

    def _take_call(self, node: fx.Node) -> None:
        if self.weights.take_call(node):
            return
        name = str(node.target).removeprefix("aten.")
        if name == "<built-in function getitem>":
            parts: Any = node.args[0]
            self._values[node] = self._values[parts][node.args[1]]
            self._memory[node] = self._memory[parts]
            return
        if (
            name in rules.SAME
            or (name in rules.CASTS and _only_casts(node))
            or (name in rules.PARTS and self._takes_all(node))
        ):
            self._follow(node, copies=name in rules.COPIES)
        elif name in REARRANGES:
            self._rearrange(node)
        elif name in SPREADS and self._is_pooled(node.args[0]):
            channels = hint_of(node.meta["val"].shape[1])
            spread = Spread(Layout.plain(channels, self._ndim))
            self._make(node, (spread, [self._call(node).map_of(node.args[0])], []))
        elif isinstance(node.meta["val"], torch.Tensor):
            self._make(node, self._first_of(node, rules.find_all(name)))
        else:
            self._split(node, self._first_of(node, rules.find_several(name)))

    def _takes_all(self, node: fx.Node) -> bool:
        """Whether a slice, or a repetition, gives all of a tensor in another layout than the plain one."""
        value = self._values.get(node.args[0])  # type: ignore[arg-type]
        arranged = isinstance(value, Arranged) and not value.layout.is_plain
        return arranged and _extent(node) == _extent(node.args[0])  # type: ignore[arg-type]

    def _call(self, node: fx.Node) -> Call:
        return Call(node, self._values, self.weights.names, tuple(map(size_of, self.image)))

    def _first_of(self, node: fx.Node, found: Sequence[Callable[[Call], _T]]) -> _T:
        """Return what the first rule that fits makes of a call, or raise what keeps the first from it."""
        call = self._call(node)
        errors = []
        for rule in found:
            try:
                return rule(self._call(node))
            except NoRuleError as error:
                errors.append(error)
        if errors and call.name not in REASONS:
            raise errors[0]
        raise NoRuleError(reason_for(call.name))

    def _follow(self, node: fx.Node, *, copies: bool) -> None:
        """Follow a node that computes nothing: the same feature map, in the same memory or in another."""
        call = self._call(node)
        if call.arguments.get("train"):
            raise NoRuleError(f"its {call.name} gives another answer each time")
        source = next(iter(call.arguments.values()))
        self._values[node] = call.arranged(source)
        self._memory[node] = len(self._memory) if copies else self._memory[source]

    def _rearrange(self, node: fx.Node) -> None:
        """Follow a node that moves axes about."""
        call = self._call(node)
        source: Any = node.args[0]
        value = call.arranged(source)
        if value.source in self._pooled:
            # One voxel is as good as one channel, which can be moved about.
            axes = tuple(1 if isinstance(axis, tuple) else axis for axis in value.layout.axes)
            value = replace(value, layout=replace(value.layout, axes=axes))
        follow = Rearranging(self._emit, self._extent_of, self._hint)
        self._values[node] = follow.take(call, value)
        if value.source in self._pooled:
            self._values[node] = _with_space(self._values[node])
        self._memory[node] = self._memory[source]
        if self._values[node].source != value.source:
            self._views.add(self._memory[source])

    def _make(self, node: fx.Node, made: Made) -> None:
        operation = made[0]
        if isinstance(operation, Padding) and _adds_nothing(operation, node):
            # Padding by nothing copies.
            self._follow(node, copies=True)
            return
        schema = node.target._schema  # type: ignore[union-attr]
        self._values[node] = self._add(node.meta["val"], made, name_of(node.target))
        if schema.is_mutable:
            self._overwrite(node.args[0], node, name_of(node.target))  # type: ignore[arg-type]
            return
        self._memory[node] = len(self._memory)
        if made[1] and (not operation.fresh or schema.returns[0].alias_info is not None):
            # It may share memory with what it is cut from, without being the same feature map.
            self._views.update({self._memory[node], self._memory[node.args[0]]})  # type: ignore[index]

    def _add(self, value: torch.Tensor, made: Made, name: str) -> Arranged:
        operation, inputs, weights = made
        shape = tuple(map(size_of, value.shape))
        if isinstance(operation, (Voxelwise, Reduced, Coordinates, Filled, Spread)):
            layout = operation.layout
        elif len(shape) == self._ndim + 2:
            # Some functions of torch give channels as an expression whose value is always the same.
            layout = Layout.plain(hint_of(value.shape[1]), self._ndim)
        else:
            raise NoRuleError(f"its {name} gives {len(shape)} axes")
        extent = self._common(inputs)
        for axis, size in zip(layout.axes, shape, strict=True):
            if isinstance(axis, tuple) and len(axis) == 1:
                extent[axis[0]] = size
        if isinstance(operation, Reduced):
            extent = [1 if every else n for every, n in zip(operation.over, extent, strict=True)]
        channels = prod(layout.channels)
        self._nodes.append(
            Node(operation, tuple(inputs), tuple(weights), channels, tuple(extent), self._layer)
        )
        made_of_pooled = bool(inputs) and set(inputs) <= self._pooled and not isinstance(operation, Spread)
        if made_of_pooled or (isinstance(operation, Reduced) and all(operation.over)):
            self._pooled.add(len(self._nodes))
        return Arranged(len(self._nodes), layout)

    def _is_pooled(self, node: Any) -> bool:
        """Whether a tensor is a feature map of which one voxel is left that was made from all."""
        value = self._values.get(node)
        return isinstance(value, Arranged) and value.source in self._pooled

    def _common(self, inputs: Sequence[int]) -> list[Size]:
        """Return the extent of feature maps that are broadcast against each other."""
        extents = [self._extent_of(source) for source in inputs] or [(1,) * self._ndim]
        return [next((n for n in sizes if n != 1), 1) for sizes in zip(*extents, strict=True)]

    def _emit(self, operation: Operation, source: int, channels: int, extent: tuple[Size, ...]) -> int:
        self._nodes.append(Node(operation, (source,), (), channels, extent, self._layer))
        return len(self._nodes)

    def _extent_of(self, source: int) -> tuple[Size, ...]:
        return self._nodes[source - 1].extent if source else tuple(map(size_of, self.image))

    def _hint(self, size: Size) -> int:
        if isinstance(size, int):
            return size
        values = {size_of(each): hint_of(each) for each in self.image if not isinstance(size_of(each), int)}
        return int(evaluated(size, values))

    def _overwrite(self, target: fx.Node, node: fx.Node, name: str) -> None:
        if target not in self._memory:
            raise NoRuleError(f"its {name} overwrites a tensor of its own")
        memory, made = self._memory[target], self._values[node]
        if memory in self._views or self._values[target].layout != made.layout:
            raise NoRuleError(f"its {name} overwrites a part of a feature map")
        self._memory[node] = memory
        for other, where in self._memory.items():
            if where == memory:
                self._values[other] = replace(self._values[other], source=made.source)

    def _split(self, node: fx.Node, made: Sequence[Made]) -> None:
        parts = zip(node.meta["val"], made, strict=True)
        self._values[node] = tuple(self._add(value, each, name_of(node.target)) for value, each in parts)
        if node.target._schema.returns[0].alias_info is None:  # type: ignore[union-attr]
            self._memory[node] = len(self._memory)
        else:
            self._memory[node] = self._memory[node.args[0]]  # type: ignore[index]
        self._views.add(self._memory[node])

    def finish(self) -> tuple[Node, ...]:
        """Return the operations that the result needs, in order.

        Raises
        ------
        NoRuleError
            If the network does not give one tensor, or gives the image.
        """
        outputs = self._output if isinstance(self._output, (tuple, list)) else (self._output,)
        result = self._values.get(outputs[0]) if isinstance(outputs[0], fx.Node) else None
        if len(outputs) != 1 or not isinstance(result, Arranged):
            raise NoRuleError("it gives something other than one tensor")
        if not result.layout.is_plain:
            raise NoRuleError("it gives axes in another order than batch, channels and space")
        return without_turns(
            self._nodes, result.source, self._channels, self._extent_of(0), self.weights.turned
        )


def _with_space(value: Arranged) -> Arranged:
    """Return a feature map of one voxel whose axes of space were taken to be channels."""
    axes, ndim = value.layout.axes, value.layout.ndim
    if axes[0] is None and axes[2:] == (1,) * ndim and isinstance(axes[1], int):
        return replace(value, layout=Layout.plain(axes[1], ndim))
    return value


def _layer(node: fx.Node) -> str:
    """Return the path of the innermost layer that made a call."""
    stack = node.meta.get("nn_module_stack") or {}
    path = str(next(reversed(stack.values()), ("",))[0])
    return path.partition("@")[0]


def _makes_tensors(node: fx.Node) -> bool:
    """Whether a call gives feature maps, and not a size or a check of one."""
    value = node.meta.get("val")
    return isinstance(value, torch.Tensor) or (
        isinstance(value, (tuple, list)) and any(isinstance(part, torch.Tensor) for part in value)
    )


def _adds_nothing(padding: Padding, node: fx.Node) -> bool:
    """Whether neither end changes; what is cut off at one end may have been added at the other."""
    return not any(padding.before) and _extent(node) == _extent(node.args[0])  # type: ignore[arg-type]


def _only_casts(node: fx.Node) -> bool:
    """Whether a change of the number format leaves numbers as they are; all are floating here."""
    before, after = node.args[0].meta["val"].dtype, node.meta["val"].dtype  # type: ignore[union-attr]
    return bool(before == after or (after.is_floating_point and before != torch.bool))


def _extent(node: fx.Node) -> tuple[Any, ...]:
    return tuple(map(size_of, node.meta["val"].shape))
