"""Which planes of every feature map are computed next, when a volume is computed slab by slab."""

from __future__ import annotations

from collections.abc import Hashable, Mapping, Sequence
from dataclasses import dataclass

from napari_tileseg._types import Shape
from napari_tileseg.engine.regions.program.bound import Bound
from napari_tileseg.engine.regions.program.schedule import plan_schedule
from napari_tileseg.tiling import Box


@dataclass(frozen=True, slots=True)
class Advance:
    """Planes that one operation computes next.

    Parameters
    ----------
    number : int
        Its feature map.
    box : Box
        The planes, in the coordinates of the whole feature map.
    taken : tuple of Box
        What it takes of its inputs: planes that are new, or that are still held.
    place : hashable
        What the operation's rule returned about where the box lies.
    """

    number: int
    box: Box
    taken: tuple[Box, ...]
    place: Hashable


@dataclass(frozen=True, slots=True)
class Slab:
    """All that is done for one slab.

    Parameters
    ----------
    read : Box, optional
        New planes of the image; None where all have been read.
    advances : tuple of Advance
        In the order in which they are computed.
    first : tuple of int
        For each feature map, the first plane that later slabs need.
    """

    read: Box | None
    advances: tuple[Advance, ...]
    first: tuple[int, ...]


class Front:
    """Moves along the first axis: with each slab of the image, every operation computes what it can.

    No plane is computed twice. Each operation advances by at most a slab on its own scale, so that the memory
    that is needed is the same at the beginning, in the middle and at the end.

    Parameters
    ----------
    nodes : sequence of Bound
        The network.
    wholes : sequence of tuple of int
        Shape of each whole feature map, the image's first, in the order of `nodes`.
    numbered : sequence of tuple of int
        The same as `Graph.wholes` gives it.
    wanted : mapping of int to Box
        By the numbers of feature maps in `nodes`, the parts to compute.
    planes : int
        Planes of the image at once, at least 1.
    """

    def __init__(
        self,
        nodes: Sequence[Bound],
        wholes: Sequence[Shape],
        numbered: Sequence[Shape],
        wanted: Mapping[int, Box],
        planes: int,
    ) -> None:
        self._nodes, self._wholes = nodes, wholes
        self._wanted = wanted
        # Of each feature map: what is needed of it, the first plane that is not computed yet, and the
        # most planes of one step. Without that limit, an operation that had to wait for its context would
        # compute all that it missed at once.
        self._boxes = plan_schedule(nodes, numbered, wanted).boxes
        self._done = [each.start[0] for each in self._boxes]
        self._most = [-(-planes * whole[0] // wholes[0][0]) for whole in wholes]
        # Of each feature map: the operations that take it, and as which of their inputs.
        self._consumers: list[list[tuple[int, int]]] = [[] for _ in wholes]
        for number, node in enumerate(nodes, start=1):
            for slot, source in enumerate(node.inputs):
                self._consumers[source].append((number, slot))

    @property
    def starts(self) -> Shape:
        """For each feature map, the first plane that is needed of it."""
        return tuple(each.start[0] for each in self._boxes)

    @property
    def extent(self) -> int:
        """Planes of the image that are read."""
        return self._boxes[0].shape[0]

    @property
    def finished(self) -> bool:
        """Whether all that is wanted has been computed."""
        return all(self._done[number] == box.stop[0] for number, box in self._wanted.items())

    def step(self) -> Slab:
        """Advance by one slab."""
        read = self._read()
        advances = []
        # In the order of the network: what an operation has just computed, the next ones may take.
        for number in range(1, len(self._boxes)):
            advance = self._advance(number)
            if advance is not None:
                advances.append(advance)
                self._done[number] = advance.box.stop[0]
        first = tuple(self._first_needed(number) for number in range(len(self._boxes)))
        return Slab(read, tuple(advances), first)

    def _read(self) -> Box | None:
        start, stop = self._done[0], min(self._boxes[0].stop[0], self._done[0] + self._most[0])
        self._done[0] = stop
        return self._planes(0, start, stop) if stop > start else None

    def _planes(self, number: int, start: int, stop: int) -> Box:
        box = self._boxes[number]
        return Box((start, *box.start[1:]), (stop, *box.stop[1:]))

    def _advance(self, number: int) -> Advance | None:
        """Return as many planes as the inputs allow; None where they allow none.

        Rules tell which inputs a box needs, and cannot be asked the other way round. The more planes, the
        further the inputs have to reach: the most that is possible is found by bisection.
        """
        start = self._done[number]
        low, high = start, min(self._boxes[number].stop[0], start + self._most[number])
        while low < high:
            middle = (low + high + 1) // 2
            if self._possible(number, start, middle):
                low = middle
            else:
                high = middle - 1
        if low == start:
            return None
        box = self._planes(number, start, low)
        need = self._nodes[number - 1].operation.need(box, self._sources(number), self._wholes[number])
        return Advance(number, box, need.boxes, need.place)

    def _sources(self, number: int) -> list[Shape]:
        return [self._wholes[source] for source in self._nodes[number - 1].inputs]

    def _needed(self, number: int, start: int, stop: int) -> tuple[Box, ...]:
        box = self._planes(number, start, stop)
        node = self._nodes[number - 1]
        return node.operation.need(box, self._sources(number), self._wholes[number]).boxes

    def _possible(self, number: int, start: int, stop: int) -> bool:
        inputs = self._nodes[number - 1].inputs
        needed = self._needed(number, start, stop)
        return all(part.stop[0] <= self._done[i] for i, part in zip(inputs, needed, strict=True))

    def _first_needed(self, number: int) -> int:
        """Return the first plane that what is left to do needs.

        It is asked of all planes that are left and not of the next ones alone: padding by reflection makes
        the last planes from ones further back.
        """
        first = self._done[number]
        for consumer, slot in self._consumers[number]:
            done, stop = self._done[consumer], self._boxes[consumer].stop[0]
            if done < stop:
                first = min(first, self._needed(consumer, done, stop)[slot].start[0])
        return first
