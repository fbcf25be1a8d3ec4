"""What computing a box costs: operations, voxels read, memory."""

from __future__ import annotations

from collections.abc import Container, Mapping
from dataclasses import dataclass
from fractions import Fraction
from math import ceil
from typing import TYPE_CHECKING

from napari_tileseg._types import Shape
from napari_tileseg.engine.regions.program.schedule import Step
from napari_tileseg.engine.regions.program.sweep_schedule import Slab
from napari_tileseg.tiling import Box
from napari_tileseg.tiling.rounding import ceil_div

if TYPE_CHECKING:
    from napari_tileseg.engine.regions.program.program import Program

#: Floating-point operations that take as long as moving one byte, on common processors and accelerators.
_BALANCE = 10.0
#: Slabs of a sweep between those in which it gathers context, and those at its end.
_STEADY = 4


@dataclass(frozen=True, slots=True)
class Cost:
    """What computing a box of the result costs.

    Parameters
    ----------
    flops : int
        Floating-point operations of convolutions, as `torch.utils.flop_counter` counts them.
    read : Box
        What is read of the image.
    peak : int
        Bytes of the tensors that are held at the same time at most, the image's part included, weights and
        what the device's own kernels need left out.
    largest : int
        Numbers in the largest tensor.
    moved : int
        Bytes of all results together.
    """

    flops: int
    read: Box
    peak: int
    largest: int
    moved: int

    @property
    def work(self) -> float:
        """Predicted time, in floating-point operations."""
        return self.flops + _BALANCE * self.moved


def cost_of(program: Program, shape: Shape, box: Box) -> Cost:
    """Return the cost of one box, for one sample.

    Parameters
    ----------
    program : Program
        The network.
    shape : tuple of int
        Shape of the whole image.
    box : Box
        Part of the result.
    """
    schedule = program.schedule(shape, box)
    sizes = [
        each.size * channels * program.itemsize
        for each, channels in zip(schedule.boxes, program.channels, strict=True)
    ]
    flops = sum(
        node.operation.flops(step.box.size, step.taken[0].size if step.taken else 0)
        for node, step in zip(program.nodes, schedule.steps, strict=True)
    )
    peak = _peak(program, schedule.steps, sizes, schedule.boxes)
    return Cost(flops, schedule.read, peak, max(sizes) // program.itemsize, sum(sizes))


def _peak(program: Program, steps: tuple[Step, ...], sizes: list[int], boxes: tuple[Box, ...]) -> int:
    """Run through the steps as the program does, and count what is held."""
    # Whose memory each feature map lies in: a view, and what overwrites, lie in another's.
    owner = list(range(len(sizes)))
    held, alive = {0}, {0}
    peak = 0
    for number, (node, step) in enumerate(zip(program.nodes, steps, strict=True), start=1):
        if program.reuse[number - 1] or not node.operation.fresh:
            owner[number] = owner[node.inputs[0]]
        held.add(owner[number])
        alive.add(number)
        working = sum(sizes[each] for each in held) + _copied(program, node.inputs, step, boxes)
        peak = max(peak, working)
        alive.difference_update(program.releases[number - 1])
        held = {owner[each] for each in alive}
    return peak


def _copied(program: Program, inputs: tuple[int, ...], step: Step, boxes: tuple[Box, ...]) -> int:
    """Return the bytes of what is cut out of larger feature maps, which kernels copy."""
    taken = {source: part for source, part in zip(inputs, step.taken, strict=True) if part != boxes[source]}
    return sum(part.size * program.channels[source] * program.itemsize for source, part in taken.items())


def peak_of_sweep(program: Program, shape: Shape, wanted: Mapping[int, Box], planes: int) -> int:
    """Return the bytes of the tensors that a sweep holds at the same time at most, for one sample.

    Parameters
    ----------
    program, shape, wanted, planes
        As for `napari_tileseg.engine.regions.program.sweep.sweep_maps`.
    """
    wanted = _shortened(program, shape, wanted, planes)
    front = program.front(shape, wanted, planes)
    bytes_of = [channels * program.itemsize for channels in program.channels]
    # Voxels that are held of each feature map, and in one plane of it.
    held, plane = [0] * len(bytes_of), [0] * len(bytes_of)
    stops = list(front.starts)
    taken = {source for node in program.nodes for source in node.inputs}
    peak = 0
    while not front.finished:
        peak = max(peak, _peak_of_slab(program, front.step(), held, plane, stops, bytes_of, taken))
    return peak


def _shortened(program: Program, shape: Shape, wanted: Mapping[int, Box], planes: int) -> dict[int, Box]:
    """Return shorter boxes whose sweep begins, continues and ends as that of `wanted`."""
    wholes = program.wholes(shape)
    # Planes of each feature map for a plane of the image.
    share = {number: Fraction(wholes[number][0], shape[0]) for number in wanted}
    covered = max(ceil(box.shape[0] / share[number]) for number, box in wanted.items())
    context = max(0, program.front(shape, wanted, planes).extent - covered)
    length = (ceil_div(context, planes) + _STEADY) * planes
    return {
        number: Box(box.start, (min(box.stop[0], box.start[0] + ceil(length * share[number])), *box.stop[1:]))
        for number, box in wanted.items()
    }


def _peak_of_slab(
    program: Program,
    slab: Slab,
    held: list[int],
    plane: list[int],
    stops: list[int],
    bytes_of: list[int],
    taken: Container[int],
) -> int:
    """Run through one slab as `sweep` does; `held`, `plane` and `stops` are updated."""

    def add(number: int, box: Box) -> None:
        plane[number] = box.size // box.shape[0]
        held[number] += box.size
        stops[number] = box.stop[0]

    if slab.read is not None:
        add(0, slab.read)
    todo = {advance.number: advance for advance in slab.advances}
    peak = 0
    for number, node in enumerate(program.nodes, start=1):
        advance = todo.get(number)
        if advance is not None:
            reused = program.reuse[number - 1] or not node.operation.fresh
            parts = zip(node.inputs, advance.taken, strict=True)
            copied = sum(part.size * bytes_of[source] for source, part in parts if not reused)
            made = 0 if reused else advance.box.size * bytes_of[number]
            working = sum(count * each for count, each in zip(held, bytes_of, strict=True)) + copied + made
            peak = max(peak, working)
            add(number, advance.box)
        for source in program.releases[number - 1]:
            held[source] = max(0, stops[source] - slab.first[source]) * plane[source]
        if number not in taken:
            held[number] = 0
    return peak
