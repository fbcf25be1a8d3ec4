"""A network bound to a device and a number format, which runs on regions."""

from __future__ import annotations

from collections import Counter
from collections.abc import Hashable, Mapping, Sequence
from dataclasses import replace
from functools import lru_cache
from typing import TypeAlias, final

import torch
from torch import Tensor, nn

from napari_tileseg._types import Shape
from napari_tileseg.engine.regions.program.bound import Bound
from napari_tileseg.engine.regions.program.schedule import Schedule, plan_schedule
from napari_tileseg.engine.regions.program.sweep_schedule import Front
from napari_tileseg.engine.regions.program.unrolling import unrolled
from napari_tileseg.graphs.graph import Graph
from napari_tileseg.graphs.operations.windows import AnyConvolution
from napari_tileseg.graphs.stored_norm import StoredNorm, folded
from napari_tileseg.tiling import Box

#: Order of a tensor's axes in memory.
Layout: TypeAlias = torch.memory_format
_CHANNELS_LAST = {4: torch.channels_last, 5: torch.channels_last_3d}
#: Schedules that are cached: a grid has few kinds of tiles, at many positions.
_CACHED = 512


@final
class Program:
    """Computes any box of a network's result on a whole image.

    Parameters
    ----------
    graph : Graph
        The network.
    module : torch.nn.Module
        Holds its weights, which are copied; it is not changed.
    device : str
        Device.
    dtype : torch.dtype
        Number format.
    channels_last : bool
        Whether channels come last in memory.
    """

    def __init__(
        self, graph: Graph, module: nn.Module, device: str, dtype: torch.dtype, *, channels_last: bool = False
    ) -> None:
        self._graph = graph
        self._device, self._dtype, self._channels_last = device, dtype, channels_last
        bound = _bound(graph, module, device, dtype)
        if channels_last and len(graph.step) > 1:
            bound = unrolled(bound, graph.channels)
        self._weights = tuple(tuple(self.to_device(w) for w in node.weights) for node in bound)
        nodes = self._nodes = tuple(replace(node, weights=()) for node in bound)
        self._ends = _places(bound, graph)
        self._last_use, self._reuse = _lives(nodes, self._ends)
        wholes = self._wholes = lru_cache(_CACHED)(graph.wholes)
        # None of these refers to the program: with its last user its weights are gone from the device.
        sized = self._sized = lru_cache(_CACHED)(lambda shape: _sized(nodes, graph, shape))
        ends = self._ends
        self._schedules = lru_cache(_CACHED)(
            lambda shape, boxes: plan_schedule(
                sized(shape), wholes(shape), dict(zip(ends, boxes, strict=True))
            )
        )
        self._broken = lru_cache(_CACHED)(graph.broken_condition)

    @property
    def nodes(self) -> tuple[Bound, ...]:
        """The operations, in order, without their weights."""
        return self._nodes

    @property
    def ends(self) -> tuple[int, ...]:
        """Numbers, among its operations, of the feature maps that the graph wants."""
        return self._ends

    @property
    def reuse(self) -> tuple[bool, ...]:
        """For each operation, whether it overwrites its first input."""
        return self._reuse

    @property
    def releases(self) -> tuple[tuple[int, ...], ...]:
        """For each operation, the feature maps that nothing needs after it."""
        return self._last_use

    @property
    def itemsize(self) -> int:
        """Bytes of a number."""
        return self._dtype.itemsize

    @property
    def channels(self) -> tuple[int, ...]:
        """Channels of every feature map, the image's first."""
        return (self._graph.channels, *(node.channels for node in self._nodes))

    def fits(self, shape: Shape) -> bool:
        """Whether it computes what the network computes on an image of `shape`."""
        return self._broken(shape) is None

    def wholes(self, shape: Shape) -> tuple[Shape, ...]:
        """Return the shape of every whole feature map, the image's first."""
        wholes = self._wholes(shape)
        return (wholes[0], *(wholes[node.number] for node in self._nodes))

    def schedule(self, shape: Shape, box: Box) -> Schedule:
        """Return what to compute for a box of the result, on an image of `shape`."""
        return self._schedules(shape, (box,))

    def schedule_of_maps(self, shape: Shape, boxes: tuple[Box, ...]) -> Schedule:
        """Return what to compute for a box of each of the `ends`, on an image of `shape`."""
        return self._schedules(shape, boxes)

    def in_format(self, graph: Graph, module: nn.Module, dtype: torch.dtype) -> Program:
        """Return the same network in another number format."""
        return Program(graph, module, self._device, dtype, channels_last=self._channels_last)

    def to_device(self, tensor: Tensor) -> Tensor:
        """Bring a tensor to the device, in the number format and the order of axes."""
        moved = tensor.to(self._device, self._dtype)
        layout = _CHANNELS_LAST.get(moved.ndim) if self._channels_last else None
        return moved.contiguous() if layout is None else moved.contiguous(memory_format=layout)

    def run(self, image: Tensor, schedule: Schedule) -> Tensor:
        """Compute a box of the result.

        Parameters
        ----------
        image : Tensor
            ``(batch, channels, *schedule.read.shape)``, as `to_device` gives it.
        schedule : Schedule
            As `schedule` gave it.

        Returns
        -------
        Tensor
            ``(batch, classes, *box.shape)``, not activated.
        """
        held: list[Tensor | None] = [image]
        del image
        return self._computed(held, schedule)[-1]

    def run_maps(self, image: Tensor, schedule: Schedule) -> list[Tensor]:
        """Compute what a schedule has of each of the `ends`; takes what `run` does."""
        held: list[Tensor | None] = [image]
        del image
        return self._computed(held, schedule)

    def _computed(self, held: list[Tensor | None], schedule: Schedule) -> list[Tensor]:
        """Compute the feature maps after the image, the only one held; each goes after its last use."""
        boxes = schedule.boxes
        for number, (node, step) in enumerate(zip(self._nodes, schedule.steps, strict=True)):
            sources = zip(node.inputs, step.taken, strict=True)
            values = [_part(held[source], boxes[source], part) for source, part in sources]
            held.append(self.run_one(number + 1, values, step.place))
            del values
            for source in self._last_use[number]:
                if source not in self._ends:
                    held[source] = None
        wanted = [held[end] for end in self._ends]
        return [each for each in wanted if each is not None]

    def run_one(self, number: int, values: Sequence[Tensor], place: Hashable) -> Tensor:
        """Run the operation that gives feature map `number`."""
        operation, weights = self._nodes[number - 1].operation, self._weights[number - 1]
        return operation.run(values, weights, place, reuse=self._reuse[number - 1])

    def front(self, shape: Shape, wanted: Mapping[int, Box], planes: int) -> Front:
        """Order in which boxes of feature maps are computed slab by slab, on an image of `shape`.

        Parameters
        ----------
        shape : tuple of int
            Shape of the image.
        wanted : mapping of int to Box
            By its number among the operations, what is wanted of each of the `ends`.
        planes : int
            Planes of the image at once, at least 1.
        """
        return Front(self._sized(shape), self.wholes(shape), self._wholes(shape), wanted, planes)


def _sized(nodes: Sequence[Bound], graph: Graph, shape: Shape) -> tuple[Bound, ...]:
    """Return the operations for an image of `shape`."""
    size = graph.sizes(shape)
    return tuple(replace(node, operation=node.operation.sized(size)) for node in nodes)


def _bound(graph: Graph, module: nn.Module, device: str, dtype: torch.dtype) -> tuple[Bound, ...]:
    """Bind nodes to weights; a normalization that is the only one to use a convolution becomes part of it."""
    uses = Counter(source for node in graph.nodes for source in node.inputs)
    uses.update(graph.wanted)
    bound: list[Bound] = []
    # Of each feature map of the graph, which of those that are left.
    number_of = {0: 0}
    for number, node in enumerate(graph.nodes, start=1):
        weights = tuple(graph.tensor(module, name).detach() for name in node.weights)
        inputs = tuple(number_of[source] for source in node.inputs)
        before = bound[inputs[0] - 1] if inputs and inputs[0] else None
        if before is not None and isinstance(node.operation, StoredNorm) and uses[node.inputs[0]] == 1:
            convolution = before.operation
            if isinstance(convolution, AnyConvolution):
                both, precise = folded(convolution, before.weights, node.operation, weights)
                # At once: those of many copies of a network in float64 would take more memory than all else.
                weights = tuple(each.to(device, dtype) for each in precise)
                bound[inputs[0] - 1] = replace(before, operation=both, weights=weights, number=number)
                number_of[number] = inputs[0]
                continue
        bound.append(Bound(node.operation, inputs, weights, node.channels, number))
        number_of[number] = len(bound)
    return tuple(bound)


def _part(value: Tensor | None, box: Box, part: Box) -> Tensor:
    """Cut a part out of a feature map's box; a view."""
    assert value is not None
    return value if part == box else value[(slice(None), slice(None), *part.within(box))]


def _places(bound: Sequence[Bound], graph: Graph) -> tuple[int, ...]:
    """Return where among the operations the wanted feature maps are."""
    places = {node.number: place for place, node in enumerate(bound, start=1)}
    return tuple(places[number] for number in graph.wanted)


def _lives(
    nodes: Sequence[Bound], ends: Sequence[int]
) -> tuple[tuple[tuple[int, ...], ...], tuple[bool, ...]]:
    """Find after which operation each feature map is needed no more, and which may be overwritten."""
    uses: dict[int, list[int]] = {}
    for number, node in enumerate(nodes):
        for source in set(node.inputs):
            uses.setdefault(source, []).append(number)
    last = [[source for source in uses if uses[source][-1] == number] for number in range(len(nodes))]

    def reuses(node: Bound) -> bool:
        source = node.inputs[0] if node.inputs else 0
        if not source or source in ends or not node.operation.reusable or node.inputs.count(source) > 1:
            return False
        before = nodes[source - 1]
        return before.operation.fresh and len(uses[source]) == 1 and before.channels == node.channels

    return tuple(map(tuple, last)), tuple(map(reuses, nodes))
