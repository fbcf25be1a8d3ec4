"""Computing a volume slab by slab, each plane of each feature map once."""

from __future__ import annotations

from collections.abc import Callable, Iterator
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
                inside = value if part == held else value[(slice(None), slice(None), *part.within(held))]
                parts.append(inside)
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
    front = program.front(shape, box, planes)
    strips = [Strip() for _ in range(len(program.nodes) + 1)]
    while not front.finished:
        slab = front.step()
        if slab.read is not None:
            strips[0].add(slab.read, read(slab.read))
        with alone():
            result = _compute(program, slab, strips)
        if result is not None:
            yield result


def _compute(program: Program, slab: Slab, strips: list[Strip]) -> tuple[Box, Tensor] | None:
    """Compute one slab; returns the new part of the result, if there is one."""
    made: tuple[Box, Tensor] | None = None
    todo = {advance.number: advance for advance in slab.advances}
    for number in range(1, len(strips)):
        advance = todo.get(number)
        if advance is not None:
            value = _run(program, advance, strips)
            # The result goes to the caller and is never held.
            if number == len(strips) - 1:
                made = (advance.box, value)
            else:
                strips[number].add(advance.box, value)
            # Another name for it would hold its memory while planes are dropped and the next one is computed.
            del value
        # Planes are dropped even where this operation had nothing to compute: others before it have advanced.
        for source in program.releases[number - 1]:
            strips[source].drop(slab.first[source])
    return made


def _run(program: Program, advance: Advance, strips: list[Strip]) -> Tensor:
    sources = zip(program.nodes[advance.number - 1].inputs, advance.taken, strict=True)
    values = [strips[source].take(part) for source, part in sources]
    return program.run_one(advance.number, values, advance.place)
