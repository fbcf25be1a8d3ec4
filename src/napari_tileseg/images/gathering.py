"""Reading many small boxes of an image, of which several may lie in the same stored chunk."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import Any, final

import numpy as np

from napari_tileseg._types import Array, ImageSource, Shape
from napari_tileseg.images.image import Image
from napari_tileseg.images.source import Key, chunk_of, split_key
from napari_tileseg.tiling.box import Box
from napari_tileseg.tiling.chunks import chunks_of, whole_chunks

#: Bytes that are held at most, of boxes that are read together and of what is read at once for them.
MOST = 2**28


def read_boxes(image: Image, boxes: Sequence[Box], most: int = MOST) -> Iterator[Array]:
    """Yield the voxels of boxes, reading each stored chunk once for all of them.

    What later boxes need of a chunk is copied when it is read, not the chunk: that is little, however large
    chunks are. Where they differ in size, as those of a dask array may, some are read more than once.

    Parameters
    ----------
    image : Image
        Over any source.
    boxes : sequence of Box
        Over the grid axes; no two are equal.
    most : int
        Bytes that may be held of boxes that wait, and as many again of what is read at once. More boxes are
        read in groups, and a chunk from which more is needed is read for each box.

    Yields
    ------
    ndarray
        What `Image.read` gives for each box, in their order.

    Raises
    ------
    ImageError
        If the source cannot be read or decoded there.
    DeviceError
        If that takes more memory than is free.
    """
    chunk = chunk_of(image.data)
    if chunk is None:
        yield from map(image.read, boxes)
        return
    stored = [image.stored_box(box) for box in boxes]
    count = max(1, most // max((box.size * image.dtype.itemsize for box in stored), default=1))
    for first in range(0, len(boxes), count):
        group = slice(first, first + count)
        source = _Gathered(image.data, chunk, stored[group], most)
        yield from map(replace(image, data=source).read, boxes[group])


@final
class _Gathered:
    """Voxels of known boxes of a source, each of which is asked for once."""

    def __init__(self, source: ImageSource, chunk: Shape, boxes: Sequence[Box], most: int) -> None:
        self.shape: Shape = tuple(int(n) for n in source.shape)
        self.dtype: np.dtype[Any] = np.dtype(source.dtype)
        self._source, self._chunk, self._most = source, chunk, most
        self._awaited = {box: np.empty(box.shape, self.dtype) for box in boxes}
        self._read: list[Box] = []

    def __getitem__(self, key: Key) -> Array:
        parts, _ = split_key(key, len(self.shape))
        box = Box(tuple(part.start for part in parts), tuple(part.stop for part in parts))
        chunks = whole_chunks(box, self._chunk, self.shape)
        missing: tuple[Box, ...] = (chunks,)
        for before in self._read:
            missing = tuple(part for each in missing for part in each.without(before))
        for part in missing:
            self._gather(part)
        self._read.append(chunks)
        return self._awaited.pop(box)

    def _gather(self, chunks: Box) -> None:
        """Read what all that wait need of some chunks: at once, or chunk by chunk where that is much."""
        if self._fits(chunks):
            self._fetch(self._needed(chunks), tuple(self._awaited))
            return
        for _, chunk in chunks_of(chunks, self._chunk, self.shape):
            if self._fits(chunk):
                self._fetch(self._needed(chunk), tuple(self._awaited))
            else:
                for box in self._awaited:
                    self._fetch(box.clip(chunk), (box,))

    def _needed(self, chunks: Box) -> Box:
        """Return the smallest box around what those that wait need of some chunks."""
        parts = [box.clip(chunks) for box in self._awaited if box.meets(chunks)]
        starts, stops = zip(*((part.start, part.stop) for part in parts), strict=True)
        return Box(tuple(map(min, *starts, starts[0])), tuple(map(max, *stops, stops[0])))

    def _fits(self, chunks: Box) -> bool:
        return self._needed(chunks).size * self.dtype.itemsize <= self._most

    def _fetch(self, region: Box, boxes: Sequence[Box]) -> None:
        """Read a part of the source, and hand each box what it has of it."""
        if not region.size:
            return
        values = np.asarray(self._source[region.slices])
        for box in boxes:
            common = box.clip(region)
            if common.size:
                self._awaited[box][common.within(box)] = values[common.within(region)]
