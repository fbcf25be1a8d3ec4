"""A network as a small graph of operations that have rules."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from torch import Tensor, nn

from napari_tileseg._types import Shape
from napari_tileseg.graphs.operations.operation import Operation
from napari_tileseg.graphs.sizes import Size, evaluated
from napari_tileseg.graphs.weights.derived import FLIP, Derived

#: Steps by which an image is taken to be larger: a multiple of all strides that there are.
_MANY = 2**8 * 3**3 * 5 * 7


@dataclass(frozen=True, slots=True)
class Node:
    """One feature map, and what computes it.

    Parameters
    ----------
    operation : Operation
        What computes it.
    inputs : tuple of int
        Numbers of the feature maps that it is computed from; 0 is the image.
    weights : tuple of str
        Names of the operation's own tensors.
    channels : int
        Channels of the result.
    extent : tuple
        Voxels along each axis of the whole result: numbers, or expressions in the graph's symbols.
    layer : str
        Path of the innermost layer of the network that computes it; empty for the network itself.
    """

    operation: Operation
    inputs: tuple[int, ...]
    weights: tuple[str, ...]
    channels: int
    extent: tuple[Any, ...]
    layer: str = ""


@dataclass(frozen=True, slots=True, eq=False, weakref_slot=True)
class Graph:
    """A network without its weights: what is computed from what, in order.

    Parameters
    ----------
    channels : int
        Channels of the image.
    nodes : tuple of Node
        Feature maps 1, 2, ... in an order in which they can be computed; the last is the result.
    symbols : tuple
        For each axis, the symbol that stands for the image's voxels in the nodes' extents.
    step : tuple of int
        Sizes of images are multiples of this.
    conditions : tuple
        What has to hold of the image's size, so that the network computes this and nothing else: export
        follows the branch of its example, and notes under which conditions it is taken.
    constants : mapping of str to Tensor
        Tensors that are neither parameters nor buffers.
    derived : mapping of str to Derived
        Tensors that the network computes from others, whatever the image.
    ends : tuple of int
        Feature maps that are wanted; the result alone where none is named.
    """

    channels: int
    nodes: tuple[Node, ...]
    symbols: tuple[Any, ...]
    step: Shape
    conditions: tuple[Any, ...]
    constants: Mapping[str, Tensor]
    derived: Mapping[str, Derived] = field(default_factory=dict)
    ends: tuple[int, ...] = ()

    @property
    def wanted(self) -> tuple[int, ...]:
        """Feature maps that are wanted, by their numbers."""
        return self.ends or (len(self.nodes),)

    @property
    def obstacle(self) -> str:
        """Why it cannot be computed region by region, as the end of a sentence; empty where it can."""
        return next((node.operation.obstacle for node in self.nodes if node.operation.obstacle), "")

    def broken_condition(self, shape: Shape) -> str | None:
        """Return a condition that an image of `shape` breaks, if there is one.

        It is taken to be larger, by many steps: many conditions say no more than that an axis of a feature
        map is longer than one voxel, on which nothing depends.
        """
        large = (n + _MANY * step for n, step in zip(shape, self.step, strict=True))
        values = dict(zip(self.symbols, large, strict=True))
        broken = (each for each in self.conditions if each.subs(values) == False)  # noqa: E712 - symbolic
        return next((str(each) for each in broken), None)

    def wholes(self, shape: Shape) -> tuple[Shape, ...]:
        """Return the spatial shape of every whole feature map for an image of `shape`, the image's first."""
        size = self.sizes(shape)
        return (shape, *(tuple(map(size, node.extent)) for node in self.nodes))

    def sizes(self, shape: Shape) -> Callable[[Size], Any]:
        """Return what gives the number for a size, on an image of `shape`."""
        values = dict(zip(self.symbols, shape, strict=True))
        known: dict[Any, Any] = {}

        def size(extent: Size) -> Any:
            if isinstance(extent, (int, float)):
                return extent
            if extent not in known:
                known[extent] = evaluated(extent, values)
            return known[extent]

        return size

    def tensor(self, module: nn.Module, name: str) -> Tensor:
        """Return the tensor of `name` as the network has it now."""
        if name in self.derived:
            computed: Tensor = self.derived[name].evaluate(lambda other: self.tensor(module, other))
            return computed
        if name in self.constants:
            return self.constants[name]
        path, _, attribute = name.rpartition(".")
        found: Tensor = getattr(module.get_submodule(path), attribute)
        return found

    def closed(self, module: nn.Module) -> Graph:
        """Return the same with its weights as constants, as the network has them now: it needs no module.

        Kernels of mirrored copies are turned over anew each time, so that none is held more than once.
        """
        names = {name for node in self.nodes for name in node.weights}
        turned = {
            name: self.derived[name]
            for name in names
            if name in self.derived and self.derived[name].function == FLIP
        }
        held = names.difference(turned).union(*(each.sources for each in turned.values()))
        return replace(self, constants={name: self.tensor(module, name) for name in held}, derived=turned)


class NoRuleError(Exception):
    """A network cannot be computed region by region; the message says why, as the end of a sentence."""
