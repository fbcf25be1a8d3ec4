"""Where the chunks of an array lie."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import product

from napari_tileseg._types import Shape
from napari_tileseg.tiling.box import Box
from napari_tileseg.tiling.rounding import ceil_div, round_up


def chunk_box(index: Shape, chunks: Shape, shape: Shape) -> Box:
    """Return the voxels of a chunk, cut at the far end of the array.

    Examples
    --------
    >>> chunk_box((0, 2), (4, 4), (6, 10))
    Box(start=(0, 8), stop=(4, 10))
    """
    start = tuple(i * n for i, n in zip(index, chunks, strict=True))
    stop = tuple(a + n for a, n in zip(start, chunks, strict=True))
    return Box(start, stop).clip(Box.of_shape(shape))


def chunks_of(box: Box, chunks: Shape, shape: Shape) -> Iterator[tuple[Shape, Box]]:
    """Yield the index of each chunk that `box` meets, with the part of it inside the box."""
    if box.size == 0:
        return
    extents = zip(box.start, box.stop, chunks, strict=True)
    for index in product(*(range(a // n, ceil_div(b, n)) for a, b, n in extents)):
        yield index, chunk_box(index, chunks, shape).clip(box)


def whole_chunks(box: Box, chunks: Shape, shape: Shape) -> Box:
    """Return the voxels of all chunks that `box` meets.

    Examples
    --------
    >>> whole_chunks(Box((1, 5), (3, 9)), (4, 4), (6, 10))
    Box(start=(0, 4), stop=(4, 10))
    """
    start = tuple(a // n * n for a, n in zip(box.start, chunks, strict=True))
    stop = tuple(round_up(b, n) for b, n in zip(box.stop, chunks, strict=True))
    return Box(start, stop).clip(Box.of_shape(shape))
