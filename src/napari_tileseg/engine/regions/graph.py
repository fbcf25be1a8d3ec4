"""A network as a small graph of operations that have rules."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from torch import Tensor, nn

from napari_tileseg._types import Shape
from napari_tileseg.engine.regions.operation import Operation


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
    """

    operation: Operation
    inputs: tuple[int, ...]
    weights: tuple[str, ...]
    channels: int
    extent: tuple[Any, ...]


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
    constants : mapping of str to Tensor
        Tensors that are neither parameters nor buffers.
    """

    channels: int
    nodes: tuple[Node, ...]
    symbols: tuple[Any, ...]
    constants: Mapping[str, Tensor]

    def wholes(self, shape: Shape) -> tuple[Shape, ...]:
        """Spatial shape of every whole feature map for an image of `shape`, the image's first."""
        values = dict(zip(self.symbols, shape, strict=True))
        known: dict[Any, int] = {}

        def size(extent: Any) -> int:
            if isinstance(extent, int):
                return extent
            if extent not in known:
                known[extent] = int(extent.subs(values))
            return known[extent]

        return (shape, *(tuple(size(extent) for extent in node.extent) for node in self.nodes))

    def tensor(self, module: nn.Module, name: str) -> Tensor:
        """Tensor of `name` as the network has it now."""
        if name in self.constants:
            return self.constants[name]
        path, _, attribute = name.rpartition(".")
        found: Tensor = getattr(module.get_submodule(path), attribute)
        return found


class NoRuleError(Exception):
    """A network cannot be computed region by region; the message says why, as the end of a sentence."""
