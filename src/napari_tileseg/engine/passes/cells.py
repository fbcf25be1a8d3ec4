"""Parts of a feature map that depend on its shape alone, and what is gathered of each."""

from __future__ import annotations

from dataclasses import dataclass
from math import prod
from typing import final

from torch import Tensor

from napari_tileseg._types import Shape
from napari_tileseg.graphs.statistics.gathered import Extremes, Gathered, Moments
from napari_tileseg.tiling import Box

#: Voxels of a plane that one cell holds, at least.
_AREA = 2**14
#: Planes of a cell.
_PLANES = 16


@final
@dataclass(frozen=True, slots=True)
class Columns:
    """Cuts across the second axis, at the same places of an image and of all its feature maps.

    Sums over a feature map are rounded in an order that neither memory nor the number of processors may
    change. So the cuts depend on the shape of the image alone.

    Parameters
    ----------
    count : int
        How many columns there are.
    """

    count: int

    @classmethod
    def of_image(cls, shape: Shape) -> Columns:
        """Return those of an image of `shape`."""
        area = prod(shape[1:])
        return cls(max(1, min(shape[1], area // _AREA)) if len(shape) > 1 else 1)

    def box(self, whole: Shape, first: int, last: int) -> Box:
        """Return the columns from `first` up to `last` of a feature map with shape `whole`."""
        if len(whole) == 1:
            return Box.of_shape(whole)
        start, stop = (whole[1] * at // self.count for at in (first, last))
        return Box((0, start, *(0,) * (len(whole) - 2)), (whole[0], stop, *whole[2:]))


@final
class Collector:
    """Gathers something of one feature map, whose planes come column by column and in their order.

    Parameters
    ----------
    kind : type
        What is gathered.
    whole : tuple of int
        Shape of the feature map.
    columns : Columns
        Its columns.
    """

    def __init__(self, kind: type[Moments] | type[Extremes], whole: Shape, columns: Columns) -> None:
        self._kind, self._whole, self._columns = kind, whole, columns
        # Of each column: blocks that are complete, and the planes of the next one.
        self._blocks: dict[int, list[Gathered]] = {}
        self._planes: dict[int, list[Gathered]] = {}

    def add(self, box: Box, values: Tensor) -> None:
        """Add new planes of one or more whole columns.

        Parameters
        ----------
        box : Box
            Where they are.
        values : Tensor
            ``(1, channels, *box.shape)``.
        """
        for column in range(self._columns.count):
            part = self._columns.box(self._whole, column, column + 1)
            part = Box((box.start[0], *part.start[1:]), (box.stop[0], *part.stop[1:]))
            if part.size and box.contains(part):
                of_part = values[0][(slice(None), *part.within(box))]
                self._take(column, box.start[0], self._kind.of_planes(of_part))

    def _take(self, column: int, first: int, planes: Gathered) -> None:
        """Hold planes; those of a block are joined at once, so that slabs of any thickness do the same."""
        held = self._planes.setdefault(column, [])
        done = 0
        count = planes.number
        while done < count:
            room = _PLANES - (first + done) % _PLANES
            held.append(planes.part(done, min(count, done + room)))
            done = min(count, done + room)
            if (first + done) % _PLANES == 0 or first + done == self._whole[0]:
                block = self._kind.together(held).joined()  # type: ignore[arg-type]
                self._blocks.setdefault(column, []).append(block)
                held.clear()

    def result(self) -> Gathered:
        """Return what was gathered of the whole feature map."""
        blocks = [block for column in sorted(self._blocks) for block in self._blocks[column]]
        return self._kind.together(blocks).joined()  # type: ignore[arg-type]
