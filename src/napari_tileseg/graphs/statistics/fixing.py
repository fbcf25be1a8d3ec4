"""A network whose statistics are numbers: a graph in which every operation is local."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import TypeAlias

from torch import Tensor

from napari_tileseg.graphs.graph import Graph, Node
from napari_tileseg.graphs.operations.coordinates import Held
from napari_tileseg.graphs.operations.operation import Operation
from napari_tileseg.graphs.operations.reductions import GlobalNorm
from napari_tileseg.graphs.statistics.statistic import Statistic
from napari_tileseg.graphs.stored_norm import StoredNorm

#: By the number of a statistic's feature map, what `Statistic.numbers` returns.
Numbers: TypeAlias = Mapping[int, Sequence[Tensor]]
_NAMES = ("mean", "variance")


def fixed(graph: Graph, statistics: Sequence[Statistic], numbers: Numbers) -> Graph:
    """Return a graph with numbers in place of statistics.

    Parameters
    ----------
    graph : Graph
        The network.
    statistics : sequence of Statistic
        What it computes over all of space; those without numbers stay.
    numbers : mapping
        What they are.
    """
    nodes, constants = list(graph.nodes), dict(graph.constants)
    for statistic in statistics:
        values = numbers.get(statistic.number)
        if values is None:
            continue
        node = graph.nodes[statistic.number - 1]
        names = tuple(f"{_NAMES[i]} of {statistic.number}" for i in range(len(values)))
        if isinstance(node.operation, GlobalNorm):
            constants |= dict(zip(names, values, strict=True))
            norm = StoredNorm(node.operation.eps, node.operation.scaled, node.operation.shifted)
            nodes[statistic.number - 1] = replace(node, operation=norm, weights=(*names, *node.weights))
        else:
            ones = (1,) * len(node.extent)
            constants[names[0]] = values[0].reshape(1, -1, *ones)
            nodes[statistic.number - 1] = replace(node, operation=Held(), inputs=(), weights=names)
    return replace(graph, nodes=tuple(nodes), constants=constants)


def ending_at(
    graph: Graph, ends: Sequence[int], kept: Mapping[int, Operation]
) -> tuple[Graph, tuple[int, ...]]:
    """Return the part of a graph that computes some feature maps.

    Parameters
    ----------
    graph : Graph
        The network.
    ends : sequence of int
        Feature maps that are wanted.
    kept : mapping of int to Operation
        Feature maps that need not be computed, and what gives them instead, without inputs.

    Returns
    -------
    graph : Graph
        Its `ends` are those that are wanted.
    numbers : tuple of int
        Of each of its operations, the number that it has in `graph`.
    """
    used = set(ends)
    for number in range(len(graph.nodes), 0, -1):
        if number in used and number not in kept:
            used.update(graph.nodes[number - 1].inputs)
    numbers = tuple(sorted(used - {0}))
    place = {0: 0} | {number: i for i, number in enumerate(numbers, start=1)}

    def shortened(number: int) -> Node:
        node = graph.nodes[number - 1]
        if number in kept:
            return replace(node, operation=kept[number], inputs=(), weights=())
        return replace(node, inputs=tuple(place[source] for source in node.inputs))

    nodes = tuple(map(shortened, numbers))
    return replace(graph, nodes=nodes, ends=tuple(place[end] for end in ends)), numbers
