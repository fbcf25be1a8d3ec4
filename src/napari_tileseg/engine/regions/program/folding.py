"""Folding stored-statistics normalization into the convolution before it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import TypeAlias

import torch
from torch import Tensor

from napari_tileseg.graphs.graph import Graph, Node
from napari_tileseg.graphs.operations.operation import Operation
from napari_tileseg.graphs.operations.pointwise import StoredNorm
from napari_tileseg.graphs.operations.windows import Convolution, TransposedConvolution

#: From the name of a tensor to the tensor.
Find: TypeAlias = Callable[[str], Tensor]


@dataclass(frozen=True, slots=True, eq=False)
class Bound:
    """An operation with its weights, and the feature maps it takes.

    Parameters
    ----------
    operation : Operation
        What it computes.
    inputs : tuple of int
        As in `Node`.
    weights : tuple of Tensor
        Float64 or what the network holds; none once they have been placed on a device.
    channels : int
        Channels of the result.
    number : int
        The node's number in the graph, for the shape of its whole.
    """

    operation: Operation
    inputs: tuple[int, ...]
    weights: tuple[Tensor, ...]
    channels: int
    number: int


def fold(graph: Graph, find: Find) -> tuple[Bound, ...]:
    """Bind nodes to weights; a normalization that is the only one to use a convolution becomes part of it.

    The weights are multiplied in float64, so that what changes is rounding only.
    """
    nodes = graph.nodes
    uses = Counter(source for node in nodes for source in node.inputs)
    bound: list[Bound] = []
    place = {0: 0}
    for number, node in enumerate(nodes, start=1):
        weights = tuple(find(name).detach() for name in node.weights)
        inputs = tuple(place[source] for source in node.inputs)
        before = bound[inputs[0] - 1] if inputs[0] else None
        if before is not None and _foldable(before, node, uses[node.inputs[0]]):
            bound[inputs[0] - 1] = replace(_folded(before, node, weights), number=number)
            place[number] = inputs[0]
            continue
        bound.append(Bound(node.operation, inputs, weights, node.channels, number))
        place[number] = len(bound)
    return tuple(bound)


def _foldable(before: Bound, node: Node, uses: int) -> bool:
    convolves = isinstance(before.operation, (Convolution, TransposedConvolution))
    return isinstance(node.operation, StoredNorm) and convolves and uses == 1


def _folded(before: Bound, node: Node, statistics: Sequence[Tensor]) -> Bound:
    assert isinstance(node.operation, StoredNorm)
    assert isinstance(before.operation, (Convolution, TransposedConvolution))
    parts = node.operation.parts(statistics)
    mean, variance, scale, shift = (None if part is None else part.double() for part in parts)
    assert mean is not None
    assert variance is not None
    factor = torch.rsqrt(variance + node.operation.eps)
    factor = factor if scale is None else factor * scale
    offset = -mean * factor if shift is None else shift - mean * factor
    weight = before.weights[0].double()
    if before.operation.biased:
        offset = offset + before.weights[1].double() * factor
    operation = replace(before.operation, biased=True)
    return replace(before, operation=operation, weights=(_scaled(weight, factor, operation), offset))


def _scaled(weight: Tensor, factor: Tensor, operation: Convolution | TransposedConvolution) -> Tensor:
    """Return a weight with each of its output channels multiplied."""
    ones = (1,) * (weight.ndim - 2)
    if isinstance(operation, Convolution):
        return weight * factor.reshape(-1, 1, *ones)
    # Inputs come first, and each group of them has output channels of its own.
    groups = operation.groups
    apart = weight.reshape(groups, weight.shape[0] // groups, *weight.shape[1:])
    return (apart * factor.reshape(groups, 1, -1, *ones)).reshape(weight.shape)
