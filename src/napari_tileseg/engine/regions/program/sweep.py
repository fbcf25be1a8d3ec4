"""Computing a volume slab by slab, each plane of each feature map once."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, nullcontext
from typing import TYPE_CHECKING, TypeAlias, final

import torch
from torch import Tensor

from napari_tileseg._types import Shape
from napari_tileseg.engine.regions.program.sweep_schedule import Advance, Slab
from napari_tileseg.tiling import Box

if TYPE_CHECKING:
    from napari_tileseg.engine.regions.program.program import Program

#: Reads a box of the image: ``(batch, channels, *box.shape)``, as `Program.to_device` gives it.
Read: TypeAlias = Callable[[Box], Tensor]
#: A feature map, a box of it, and its values.
_Made: TypeAlias = tuple[int, Box, Tensor]


@final
class Strip:
    """The planes of one feature map that are held: new ones, and those that later slabs still need.

    They stay in the pieces in which they were computed; only what an operation takes across two pieces is
    copied.
    """

    def __init__(self) -> None:
        self._pieces: list[tuple[Box, Tensor]] = []

    def add(self, box: Box, value: Tensor) -> None:
        """Hold new planes, which follow those that are held."""
        self._pieces.append((box, value))

    def take(self, box: Box) -> Tensor:
        """Return the planes of `box`, cropped to it on the other axes: a view where they are in one piece."""
        parts = []
        for held, value in self._pieces:
            part = _common(held, box)
            if part is not None:
                parts.append(_part(value, held, part))
        return parts[0] if len(parts) == 1 else torch.cat(parts, dim=2)

    def drop(self, first: int) -> None:
        """Release the planes before `first`."""
        left = [(box, value) for box, value in self._pieces if box.stop[0] > first]
        if left and left[0][0].start[0] < first:
            box, value = left[0]
            part = Box((first, *box.start[1:]), box.stop)
            # A view would hold the memory of the whole piece.
            left[0] = (part, value[(slice(None), slice(None), *part.within(box))].clone())
        self._pieces = left


def _common(one: Box, other: Box) -> Box | None:
    start, stop = max(one.start[0], other.start[0]), min(one.stop[0], other.stop[0])
    return None if stop <= start else Box((start, *other.start[1:]), (stop, *other.stop[1:]))


def sweep(
    program: Program,
    shape: Shape,
    box: Box,
    planes: int,
    read: Read,
    alone: Callable[[], AbstractContextManager[None]] = nullcontext,
) -> Iterator[tuple[Box, Tensor]]:
    """Compute a box of the result, slab by slab along its first axis.

    Parameters
    ----------
    program : Program
        The network.
    shape : tuple of int
        Shape of the whole image.
    box : Box
        Part of the result.
    planes : int
        Planes of the image at once, at least 1. Operations on coarser scales compute accordingly fewer.
    read : callable
        Reads the image. Each voxel is read once.
    alone : callable, optional
        Returns a context in which each slab is computed, such as one that holds a lock.

    Yields
    ------
    tuple of Box and Tensor
        Next part of the result, and its values ``(batch, classes, *part.shape)``, not activated. The first
        slabs may yield none, as they only gather context.
    """
    for _, part, value in sweep_maps(program, shape, {len(program.nodes): box}, planes, read, alone):
        yield part, value


def sweep_maps(
    program: Program,
    shape: Shape,
    wanted: Mapping[int, Box],
    planes: int,
    read: Read,
    alone: Callable[[], AbstractContextManager[None]] = nullcontext,
) -> Iterator[_Made]:
    """Compute boxes of several feature maps together, slab by slab along their first axis.

    Parameters
    ----------
    program, shape, planes, read, alone
        As for `sweep`.
    wanted : mapping of int to Box
        By its number among the operations, what is wanted of each of the program's `ends`.

    Yields
    ------
    tuple of int, Box and Tensor
        A feature map, its next part, and the values ``(batch, channels, *part.shape)``, which are not to be
        changed.
    """
    front = program.front(shape, wanted, planes)
    strips = [Strip() for _ in range(len(program.nodes) + 1)]
    while not front.finished:
        slab = front.step()
        if slab.read is not None:
            strips[0].add(slab.read, read(slab.read))
        with alone():
            made = _compute(program, slab, strips, wanted)
        while made:
            yield made.pop(0)


def _compute(program: Program, slab: Slab, strips: list[Strip], wanted: Mapping[int, Box]) -> list[_Made]:
    """Compute one slab; returns new parts of what is wanted."""
    made: list[_Made] = []
    taken = {source for node in program.nodes for source in node.inputs}
    todo = {advance.number: advance for advance in slab.advances}
    for number in range(1, len(strips)):
        advance = todo.get(number)
        if advance is not None:
            value = _run(program, advance, strips)
            if number in wanted:
                # Others may need more of it.
                part = advance.box.clip(wanted[number])
                if part.size:
                    made.append((number, part, _part(value, advance.box, part)))
            # What nobody takes goes to the caller and is not held.
            if number in taken:
                strips[number].add(advance.box, value)
            # Another name for it would hold its memory while planes are dropped and the next one is computed.
            del value
        # Planes are dropped even where this operation had nothing to compute: others before it have advanced.
        for source in program.releases[number - 1]:
            strips[source].drop(slab.first[source])
    return made


def _part(value: Tensor, box: Box, part: Box) -> Tensor:
    return value if part == box else value[(slice(None), slice(None), *part.within(box))]


def _run(program: Program, advance: Advance, strips: list[Strip]) -> Tensor:
    sources = zip(program.nodes[advance.number - 1].inputs, advance.taken, strict=True)
    values = [strips[source].take(part) for source, part in sources]
    return program.run_one(advance.number, values, advance.place)
