"""Which box of every feature map a box of the result needs."""

from __future__ import annotations

from collections.abc import Hashable, Mapping, Sequence
from dataclasses import dataclass

from napari_tileseg._types import Shape
from napari_tileseg.engine.regions.program.bound import Bound
from napari_tileseg.graphs.operations.coordinates import Given
from napari_tileseg.graphs.operations.operation import united
from napari_tileseg.tiling import Box


@dataclass(frozen=True, slots=True)
class Step:
    """How one feature map is computed, on one box.

    Parameters
    ----------
    box : Box
        What is computed, in the coordinates of the whole feature map.
    taken : tuple of Box
        What is taken of each input.
    place : hashable
        What the operation's rule returned about where the box lies.
    """

    box: Box
    taken: tuple[Box, ...]
    place: Hashable


@dataclass(frozen=True, slots=True)
class Schedule:
    """What has to be computed for boxes of feature maps.

    Parameters
    ----------
    read : Box
        Box of the image; empty where that is not looked at.
    steps : tuple of Step
        One for each operation.
    """

    read: Box
    steps: tuple[Step, ...]

    @property
    def boxes(self) -> tuple[Box, ...]:
        """Box of every feature map, the image's first."""
        return (self.read, *(step.box for step in self.steps))


def plan_schedule(nodes: Sequence[Bound], wholes: Sequence[Shape], wanted: Mapping[int, Box]) -> Schedule:
    """Follow boxes of feature maps back to the image.

    Parameters
    ----------
    nodes : sequence of Bound
        The network, in order.
    wholes : sequence of tuple of int
        Shape of each whole feature map, as `Graph.wholes` gives it.
    wanted : mapping of int to Box
        By the number of a feature map in `nodes`, the part of it that is wanted. All that is computed should
        lead to one of them.

    Raises
    ------
    ValueError
        If the network does not look at the image, nor at what was computed of it before.
    """
    needed: list[Box | None] = [None] * (len(nodes) + 1)
    for number, box in wanted.items():
        needed[number] = box
    shapes = (wholes[0], *(wholes[node.number] for node in nodes))
    steps: list[Step] = []
    for number in range(len(nodes), 0, -1):
        node, part = nodes[number - 1], needed[number]
        assert part is not None
        need = node.operation.need(part, [shapes[i] for i in node.inputs], shapes[number])
        for source, box in zip(node.inputs, need.boxes, strict=True):
            needed[source] = united(needed[source], box)
        steps.append(Step(part, need.boxes, need.place))
    if needed[0] is None and not any(isinstance(node.operation, Given) for node in nodes):
        raise ValueError("the network does not look at the image")
    nothing = (0,) * len(wholes[0])
    return Schedule(needed[0] or Box(nothing, nothing), tuple(reversed(steps)))
