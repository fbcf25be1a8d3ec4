"""A cache of decoded chunks, so that neighbouring tiles do not decode them again."""

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
from napari_tileseg.prediction.input.slots import Slots
from napari_tileseg.tiling import Box
from napari_tileseg.tiling.rounding import ceil_div

#: Bytes that are cached before it is known what will be read.
EARLY = 2**25
#: Part of an image that may be cached then, and bytes that may be cached of any image.
SHARE = 0.005
FLOOR = 2**28
#: Bytes that are cached at most, where an image's chunks are large or flat and there is as much memory.
MOST = 2**31


def room(image: Image) -> int:
    """Return the bytes of decoded chunks that may be cached: `SHARE` of the image, and at least `FLOOR`."""
    return max(FLOOR, int(SHARE * prod(image.data.shape) * image.dtype.itemsize))


def most_cached(image: Image) -> int:
    """Return the bytes of decoded chunks that may be cached at most, where that spares much reading."""
    return max(room(image), min(MOST, free_memory("cpu") // 4))


def bytes_of_chunk(image: Image) -> int:
    """Return the bytes of one decoded chunk of an image; 0 where it is not stored in chunks."""
    return prod(chunk_of(image.data) or (0,)) * image.dtype.itemsize


def cache_chunks(image: Image, limit: int = EARLY) -> Image:
    """Return the same image over a cache of the chunks that were read, for reads beside them.

    Parameters
    ----------
    image : Image
        Over any source.
    limit : int
        Bytes that may be cached, until `ChunkCache.expect` changes that.

    Returns
    -------
    Image
        Over a `ChunkCache`; as it was where its source is not stored in chunks, or one is more than
        `most_cached`.
    """
    chunk = chunk_of(image.data)
    if chunk is None or bytes_of_chunk(image) > most_cached(image):
        return image
    return replace(image, data=ChunkCache(image.data, chunk, limit))


@final
class ChunkCache:
    """A source of voxels that caches decoded chunks, as many as it may.

    Chunks that no expected box needs any more are dropped first, then those that were not used for longest.
    It may be read from several threads; one at a time reads the source.

    Parameters
    ----------
    source : ImageSource
        Voxels.
    chunk : tuple of int
        Shape of a chunk.
    limit : int
        Bytes that may be cached.
    """

    def __init__(self, source: ImageSource, chunk: Shape, limit: int) -> None:
        self.shape: Shape = tuple(int(n) for n in source.shape)
        self.dtype: np.dtype[Any] = np.dtype(source.dtype)
        self.chunks = chunk
        self._source = source
        self._limit = limit
        self._slots = Slots(tuple(map(min, chunk, self.shape)), self.dtype)
        self._cached: OrderedDict[Shape, Array] = OrderedDict()
        self._awaited: Array | None = None
        self._lock = threading.Lock()

    @property
    def ndim(self) -> int:
        """Number of axes."""
        return len(self.shape)

    @property
    def cached_bytes(self) -> int:
        """Bytes of the chunks that are cached now."""
        return len(self._cached) * self._slots.nbytes

    def expect(self, boxes: Iterable[Box], limit: int | None = None) -> None:
        """Announce which boxes of the source will be read; each is needed until it is released.

        Parameters
        ----------
        boxes : iterable of Box
            In the order in which they will be read.
        limit : int, optional
            Bytes that may be cached from now on; as many as before by default.
        """
        counts = (ceil_div(n, c) for n, c in zip(self.shape, self.chunks, strict=True))
        awaited = np.zeros(tuple(counts), np.int32)
        for box in boxes:
            awaited[self._touched(box).slices] += 1
        with self._lock:
            self._awaited = awaited
            if limit is not None:
                self._limit = limit
                self._make_room(0)

    def release(self, box: Box) -> None:
        """Announce that an expected box will not be read any more."""
        touched = self._touched(box)
        with self._lock:
            if self._awaited is None:
                return
            left = self._awaited[touched.slices]
            left -= 1
            for offset in np.argwhere(left <= 0):
                index = tuple(int(a + b) for a, b in zip(touched.start, offset, strict=True))
                if index in self._cached:
                    self._slots.give_back(self._cached.pop(index))

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
        """Return the indices of the chunks that a box meets."""
        start = tuple(a // c for a, c in zip(box.start, self.chunks, strict=True))
        return Box(start, tuple(ceil_div(b, c) for b, c in zip(box.stop, self.chunks, strict=True)))

    def _voxels_of(self, index: Shape, count: int = 1) -> Box:
        """Return the voxels of `count` chunks along the last axis, the first at `index`."""
        stop = (*index[:-1], index[-1] + count - 1)
        return Box(
            tuple(i * c for i, c in zip(index, self.chunks, strict=True)),
            tuple(min((i + 1) * c, n) for i, c, n in zip(stop, self.chunks, self.shape, strict=True)),
        )

    def _fill(self, values: Array, box: Box) -> None:
        *rows, last = self._touched(box).slices
        for row in product(*(range(part.start, part.stop) for part in rows)):
            missing = []
            for index in ((*row, i) for i in range(last.start, last.stop)):
                if index in self._cached:
                    self._cached.move_to_end(index)
                    voxels = self._voxels_of(index)
                    _copy(_held(self._cached[index], voxels), voxels, values, box)
                else:
                    missing.append(index)
            self._read(missing, values, box)

    def _read(self, indices: list[Shape], values: Array, box: Box) -> None:
        """Read chunks of one row and cache them; those that lie side by side are read in one go."""
        for _, run in groupby(enumerate(indices), key=lambda each: each[1][-1] - each[0]):
            beside = [index for _, index in run]
            whole = self._voxels_of(beside[0], len(beside))
            read = np.asarray(self._source[whole.slices])
            _copy(read, whole, values, box)
            for index in beside:
                self._cache(index, read, whole)

    def _cache(self, index: Shape, read: Array, whole: Box) -> None:
        """Cache a chunk of what was read, if there is room for any."""
        self._make_room(self._slots.nbytes)
        if self.cached_bytes + self._slots.nbytes <= self._limit:
            slot, voxels = self._slots.take(), self._voxels_of(index)
            _copy(read, whole, _held(slot, voxels), voxels)
            self._cached[index] = slot

    def _make_room(self, nbytes: int) -> None:
        while self._cached and self.cached_bytes + nbytes > self._limit:
            self._slots.give_back(self._cached.popitem(last=False)[1])


def _held(slot: Array, box: Box) -> Array:
    """Return the chunk that covers a box, in its slot."""
    return slot[: box.size].reshape(box.shape)


def _copy(source: Array, covered: Box, target: Array, box: Box) -> None:
    """Copy what an array at `covered` and one at `box` have in common."""
    part = covered.clip(box)
    target[part.within(box)] = source[part.within(covered)]


def _bounds(indices: range) -> tuple[int, int]:
    """Return the smallest index and one past the largest, whichever way they run."""
    if not indices:
        return 0, 0
    return min(indices[0], indices[-1]), max(indices[0], indices[-1]) + 1
