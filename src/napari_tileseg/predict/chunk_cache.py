"""Keeping decoded chunks of an image, so that neighbouring tiles do not read them again."""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Iterable
from dataclasses import replace
from itertools import groupby, product
from math import prod
from typing import Any, final

import numpy as np

from napari_tileseg._types import Array, ImageSource, Shape
from napari_tileseg.engine.device import free_memory
from napari_tileseg.images.image import Image
from napari_tileseg.images.source import Key, chunk_of, split_key
from napari_tileseg.tiling import Box

#: Part of an image that may be kept, and bytes that may be kept of any image.
SHARE = 0.005
FLOOR = 2**28
#: Bytes that are kept at most, where an image's chunks are large or flat and there is as much memory.
MOST = 2**31


def room(image: Image) -> int:
    """Bytes of decoded chunks that may be kept of an image: `SHARE` of it, and at least `FLOOR`."""
    return max(FLOOR, int(SHARE * prod(image.data.shape) * image.dtype.itemsize))


def most_kept(image: Image) -> int:
    """Bytes of decoded chunks that may be kept of an image at most, where that spares much reading."""
    return max(room(image), min(MOST, free_memory("cpu") // 4))


def bytes_of_chunk(image: Image) -> int:
    """Bytes that one chunk of an image takes when it is decoded; 0 where it is not stored in chunks."""
    return prod(chunk_of(image.data) or (0,)) * image.dtype.itemsize


def keep_chunks(image: Image, limit: int | None = None) -> Image:
    """The same image, with chunks that were read kept for those who read beside them.

    Parameters
    ----------
    image : Image
        Over any source.
    limit : int, optional
        Bytes that may be kept; `room` of the image by default.

    Returns
    -------
    Image
        Over a `ChunkCache`; as it was where its source is not stored in chunks, or one exceeds the limit.
    """
    chunk = chunk_of(image.data)
    if chunk is None or bytes_of_chunk(image) > (MOST if limit is None else limit):
        return image
    return replace(image, data=ChunkCache(image.data, chunk, room(image) if limit is None else limit))


@final
class ChunkCache:
    """A source of voxels that keeps decoded chunks, as many as it may.

    Chunks that no expected box needs any more are let go first, then those that were not used for longest.
    It may be read from several threads; one at a time reads the source.

    Parameters
    ----------
    source : ImageSource
        Voxels.
    chunk : tuple of int
        Shape of a chunk.
    limit : int
        Bytes that may be kept.
    """

    def __init__(self, source: ImageSource, chunk: Shape, limit: int) -> None:
        self.shape: Shape = tuple(int(n) for n in source.shape)
        self.dtype: np.dtype[Any] = np.dtype(source.dtype)
        self.chunks = chunk
        self._source = source
        self._limit = limit
        self._bytes = 0
        self._kept: OrderedDict[Shape, Array] = OrderedDict()
        self._awaited: Array | None = None
        self._lock = threading.Lock()

    @property
    def ndim(self) -> int:
        """Number of axes."""
        return len(self.shape)

    @property
    def kept_bytes(self) -> int:
        """Bytes of the chunks that are kept now."""
        return self._bytes

    def expect(self, boxes: Iterable[Box], kept: int = 0) -> None:
        """Say which boxes of the source will be read; each is needed until it is released.

        Parameters
        ----------
        boxes : iterable of Box
            In the order in which they will be read.
        kept : int, optional
            Bytes to keep so that few chunks are read twice. More than the limit is kept only as far as it is
            a quarter of the memory that is free, and at most `MOST`.
        """
        if kept > self._limit:
            self._limit = max(self._limit, min(kept, MOST, free_memory("cpu") // 4))
        counts = (-(-n // c) for n, c in zip(self.shape, self.chunks, strict=True))
        awaited = np.zeros(tuple(counts), np.int32)
        for box in boxes:
            awaited[self._touched(box).slices] += 1
        with self._lock:
            self._awaited = awaited

    def release(self, box: Box) -> None:
        """Say that an expected box will not be read any more."""
        touched = self._touched(box)
        with self._lock:
            if self._awaited is None:
                return
            left = self._awaited[touched.slices]
            left -= 1
            for offset in np.argwhere(left <= 0):
                index = tuple(int(a + b) for a, b in zip(touched.start, offset, strict=True))
                if index in self._kept:
                    self._bytes -= self._kept.pop(index).nbytes

    def __getitem__(self, key: Key) -> Array:
        parts, picked = split_key(key, self.ndim)
        asked = [range(n)[part] for part, n in zip(parts, self.shape, strict=True)]
        box = Box(*zip(*map(_bounds, asked), strict=True))
        values = np.empty(box.shape, self.dtype)
        if box.size:
            with self._lock:
                self._fill(values, box)
        return values[tuple(slice(None, None, r.step) for r in asked)][picked]

    def _touched(self, box: Box) -> Box:
        """Indices of the chunks that a box meets."""
        start = tuple(a // c for a, c in zip(box.start, self.chunks, strict=True))
        return Box(start, tuple(-(-b // c) for b, c in zip(box.stop, self.chunks, strict=True)))

    def _place(self, index: Shape, count: int = 1) -> Box:
        """Voxels of `count` chunks along the last axis, the first at `index`."""
        stop = (*index[:-1], index[-1] + count - 1)
        return Box(
            tuple(i * c for i, c in zip(index, self.chunks, strict=True)),
            tuple(min((i + 1) * c, n) for i, c, n in zip(stop, self.chunks, self.shape, strict=True)),
        )

    def _fill(self, values: Array, box: Box) -> None:
        *rows, last = self._touched(box).slices
        for row in product(*(range(part.start, part.stop) for part in rows)):
            row_indices = [(*row, i) for i in range(last.start, last.stop)]
            fresh = self._read([index for index in row_indices if index not in self._kept])
            for index in row_indices:
                chunk = fresh[index] if index in fresh else self._kept[index]
                place = self._place(index)
                part = place.clip(box)
                values[part.within(box)] = chunk[part.within(place)]
            self._keep(row_indices, fresh)

    def _read(self, indices: list[Shape]) -> dict[Shape, Array]:
        """Chunks of one row, those that lie side by side in one go."""
        fresh = {}
        for _, run in groupby(enumerate(indices), key=lambda each: each[1][-1] - each[0]):
            beside = [index for _, index in run]
            whole = self._place(beside[0], len(beside))
            values = np.asarray(self._source[whole.slices])
            # Copies, as a view would keep all of what was read.
            fresh.update({index: values[self._place(index).within(whole)].copy() for index in beside})
        return fresh

    def _keep(self, used: list[Shape], fresh: dict[Shape, Array]) -> None:
        self._kept.update(fresh)
        self._bytes += sum(chunk.nbytes for chunk in fresh.values())
        for index in used:
            self._kept.move_to_end(index)
        while self._bytes > self._limit:
            self._bytes -= self._kept.popitem(last=False)[1].nbytes


def _bounds(indices: range) -> tuple[int, int]:
    """The least index and one past the largest, whichever way they run."""
    if not indices:
        return 0, 0
    return min(indices[0], indices[-1]), max(indices[0], indices[-1]) + 1
