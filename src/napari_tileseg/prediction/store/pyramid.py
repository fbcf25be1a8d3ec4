"""Coarser levels of a stored prediction, by exact means of two voxels along each axis."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import pairwise, product
from typing import Any

import numpy as np

from napari_tileseg._types import Array, Shape
from napari_tileseg.prediction.input.scan import blocks
from napari_tileseg.tiling import Box
from napari_tileseg.tiling.rounding import ceil_div

#: Levels are added until no axis of space is longer than this.
SMALL_ENOUGH = 256
#: An axis is halved only while its voxels are not larger than the smallest times this.
ISOTROPY = 1.5


@dataclass(frozen=True, slots=True)
class Level:
    """One level of a pyramid, over all axes of the stored array.

    Parameters
    ----------
    shape : tuple of int
        Its shape.
    factors : tuple of int
        Voxels of level 0 along each axis that make one voxel.
    """

    shape: Shape
    factors: Shape


def plan_levels(shape: Shape, axes: str, voxel_size: tuple[float, ...]) -> tuple[Level, ...]:
    """Plan the levels of a pyramid, the full one first.

    Parameters
    ----------
    shape : tuple of int
        Shape of the stored array.
    axes : str
        Its axes.
    voxel_size : tuple of float
        Size along each axis, in one unit for all axes of space.

    Examples
    --------
    >>> [level.shape for level in plan_levels((2, 40, 700, 500), "czyx", (1, 4.0, 1.0, 1.0))]
    [(2, 40, 700, 500), (2, 40, 350, 250), (2, 40, 175, 125)]
    """
    levels = [Level(shape, (1,) * len(shape))]
    space = [i for i, axis in enumerate(axes) if axis in "zyx"]
    while True:
        last = levels[-1]
        sizes = {i: voxel_size[i] * last.factors[i] for i in space if last.shape[i] > 1}
        finest = min(sizes.values(), default=0.0)
        halved = {i for i, size in sizes.items() if size <= finest * ISOTROPY}
        if max(last.shape[i] for i in space) <= SMALL_ENOUGH or not halved:
            return tuple(levels)
        shape = tuple(ceil_div(n, 2) if i in halved else n for i, n in enumerate(last.shape))
        factors = tuple(f * 2 if i in halved else f for i, f in enumerate(last.factors))
        levels.append(Level(shape, factors))


def mean_of_pairs(values: Array, ratios: Shape) -> Array:
    """Average blocks of `ratios` (1 or 2 along each axis); a last odd voxel stands for itself.

    Examples
    --------
    >>> mean_of_pairs(np.array([0.0, 2.0, 5.0]), (2,)).tolist()
    [1.0, 5.0]
    """
    for axis, ratio in enumerate(ratios):
        if ratio > 1:
            size = values.shape[axis]
            starts = np.arange(0, size, ratio)
            counts = np.minimum(ratio, size - starts).astype(values.dtype)
            sums = np.add.reduceat(values, starts, axis=axis)
            values = sums / counts.reshape((-1,) + (1,) * (values.ndim - axis - 1))
    return values


def fill_level(finer: Any, coarser: Any, ratios: Shape) -> Iterator[float]:
    """Compute a level from the one before, chunk by chunk, and report the share that is done.

    Parameters
    ----------
    finer, coarser : zarr.Array
        The levels; `coarser` is written.
    ratios : tuple of int
        Voxels of `finer` along each axis that make one of `coarser`.
    """
    boxes = blocks(coarser.shape, coarser.chunks)
    for number, box in enumerate(boxes, start=1):
        chunk = np.empty(box.shape, coarser.dtype)
        for part in _parts(box, finer.chunks, ratios):
            source = tuple(
                slice(a * ratio, min(b * ratio, n))
                for a, b, ratio, n in zip(part.start, part.stop, ratios, finer.shape, strict=True)
            )
            chunk[part.within(box)] = mean_of_pairs(finer[source], ratios)
        coarser[box.slices] = chunk
        yield number / len(boxes)


def _parts(box: Box, chunk: Shape, ratios: Shape) -> Iterator[Box]:
    """Cut a box of a level where two chunks of the finer level meet, unless that is within a voxel."""
    steps = zip(box.start, box.stop, chunk, ratios, strict=True)
    edges = [
        [start, *(at for at in range(start + 1, stop) if at * ratio % size == 0), stop]
        for start, stop, size, ratio in steps
    ]
    for sides in product(*map(pairwise, edges)):
        yield Box(*zip(*sides, strict=True))
