"""Networks that turn images, and results back, on the image as it lies: with their kernels turned.

Where a feature map is wanted turned, the operation that computes it is turned in its place, and so are those
before it, until one is met that turned it the other way.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import TypeAlias

from napari_tileseg.graphs.graph import Node, NoRuleError
from napari_tileseg.graphs.operations.turn import Turn
from napari_tileseg.graphs.operations.turned import Turning, turned
from napari_tileseg.graphs.operations.windows import AnyConvolution
from napari_tileseg.graphs.sizes import Size

#: A feature map, by its number, and how it is turned.
_View: TypeAlias = tuple[int, Turn]


def without_turns(
    nodes: Sequence[Node],
    result: int,
    channels: int,
    extent: tuple[Size, ...],
    kernel: Callable[[str, Turn], str],
) -> tuple[Node, ...]:
    """Return the operations that a result needs, in order, none of which turns what another one computes.

    Parameters
    ----------
    nodes : sequence of Node
        Operations, some of which are `Turning`.
    result : int
        Number of the feature map that is wanted. It becomes the last.
    channels : int
        Channels of the image.
    extent : tuple
        Its voxels, as `Node` has them.
    kernel : callable
        Returns the name of the turned form of a convolution's weight.

    Returns
    -------
    tuple of Node
        Some turn the image where that is wanted in several ways at once.

    Raises
    ------
    NoRuleError
        If the result is the image.
    """
    none = Turn.none(len(extent))
    wanted = _wanted(nodes, (result, none))
    made: list[Node] = []
    places: dict[_View, int] = {(0, none): 0}
    for turn in sorted(wanted[0] - {none}):
        made.append(Node(Turning(turn), (0,), (), channels, turn.of(extent)))
        places[0, turn] = len(made)
    for number, node in enumerate(nodes, start=1):
        for turn in sorted(wanted[number]):
            inputs = tuple(places[view] for view in _sources(node, turn))
            if isinstance(node.operation, Turning):
                (places[number, turn],) = inputs
                continue
            made.append(_turned(node, turn, inputs, kernel))
            places[number, turn] = len(made)
    if not places[result, none]:
        raise NoRuleError("it gives the image back")
    return tuple(made)


def _wanted(nodes: Sequence[Node], result: _View) -> dict[int, set[Turn]]:
    """Return, by its number, how each feature map is wanted."""
    wanted: dict[int, set[Turn]] = defaultdict(set)
    wanted[result[0]].add(result[1])
    for number in range(result[0], 0, -1):
        for turn in wanted[number]:
            for source, its in _sources(nodes[number - 1], turn):
                wanted[source].add(its)
    return wanted


def _sources(node: Node, turn: Turn) -> list[_View]:
    """Return what a feature map that is turned is made of."""
    if isinstance(node.operation, Turning):
        turn = turn.after(node.operation.turn)
    return [(source, turn) for source in node.inputs]


def _turned(node: Node, turn: Turn, inputs: tuple[int, ...], kernel: Callable[[str, Turn], str]) -> Node:
    weights = node.weights
    if isinstance(node.operation, AnyConvolution) and not turn.is_none:
        weights = (kernel(weights[0], turn), *weights[1:])
    return replace(
        node,
        operation=turned(node.operation, turn),
        inputs=inputs,
        weights=weights,
        extent=turn.of(node.extent),
    )
