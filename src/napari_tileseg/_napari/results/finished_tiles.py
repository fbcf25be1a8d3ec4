"""Layer data that shows the finished tiles of a store, and never waits for a network."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections import Counter, OrderedDict
from collections.abc import Callable, Iterable, Iterator
from math import prod
from threading import Lock
from typing import Any, Protocol

import numpy as np
import psutil

from napari_tileseg._types import Array, Shape
from napari_tileseg.tiling import Box
from napari_tileseg.tiling.chunks import chunk_box, chunks_of
from napari_tileseg.tiling.indexing import box_of_key

_MOST_BYTES = 2 * 2**30


class ChunkedArray(Protocol):
    """What is read of a zarr array."""

    @property
    def shape(self) -> Shape: ...

    @property
    def dtype(self) -> np.dtype[Any]: ...

    @property
    def chunks(self) -> Shape: ...

    def __getitem__(self, key: tuple[slice, ...], /) -> Any: ...


class FinishedChunks:
    """Cache of decoded chunks of an array that is being written; those used last stay within a limit.

    A prediction's thread calls `refresh` for each finished tile, so that the interface, which reads through
    `__getitem__`, finds them in memory; for what is not written yet, no file is looked at.

    Parameters
    ----------
    array : ChunkedArray
        ``(classes, *grid)``; voxels not yet written read as its fill value.
    limit : int, optional
        Bytes to cache; an eighth of the machine's memory by default, at most 2 GiB.
    written : iterable of Box, optional
        Where the array is written already; all other chunks are NaN until refreshed. All of it by default.
    """

    def __init__(
        self, array: ChunkedArray, limit: int | None = None, written: Iterable[Box] | None = None
    ) -> None:
        self.array = array
        self._written: set[Shape] | None = None if written is None else set()
        for box in written or ():
            self.mark_written(box)
        self._limit = min(psutil.virtual_memory().total // 8, _MOST_BYTES) if limit is None else limit
        self._kept: OrderedDict[Shape, Array] = OrderedDict()
        self._bytes = 0
        self._versions: Counter[Shape] = Counter()
        self._lock = Lock()

    def __getitem__(self, box: Box) -> Array:
        """Return the values of a box over all axes of the array."""
        values: Array = np.empty(box.shape, self.array.dtype)
        for index, part in self._chunks_of(box):
            there = self._written is None or index in self._written
            values[part.within(box)] = self._chunk(index)[part.within(self._box(index))] if there else np.nan
        return values

    def mark_written(self, box: Box) -> None:
        """Take the chunks that a box meets as written; they are read when asked for."""
        if self._written is not None:
            self._written.update(index for index, _ in self._chunks_of(box))

    def refresh(self, box: Box) -> None:
        """Read the chunks that a box meets again, because they have just been written."""
        for index, _ in self._chunks_of(box):
            with self._lock:
                self._versions[index] += 1
                self._forget(index)
            self._chunk(index)
        self.mark_written(box)

    def _chunk(self, index: Shape) -> Array:
        with self._lock:
            if index in self._kept:
                self._kept.move_to_end(index)
                return self._kept[index]
            version = self._versions[index]
        values = np.asarray(self.array[self._box(index).slices])
        with self._lock:
            # A chunk that was written while it was read here may be stale: it is not cached.
            if self._versions[index] == version and index not in self._kept:
                self._keep(index, values)
        return values

    def _keep(self, index: Shape, values: Array) -> None:
        self._kept[index] = values
        self._bytes += values.nbytes
        while self._bytes > self._limit and self._kept:
            self._forget(next(iter(self._kept)))

    def _forget(self, index: Shape) -> None:
        values = self._kept.pop(index, None)
        self._bytes -= 0 if values is None else values.nbytes

    def _box(self, index: Shape) -> Box:
        return chunk_box(index, self.array.chunks, self.array.shape)

    def _chunks_of(self, box: Box) -> Iterator[tuple[Shape, Box]]:
        return chunks_of(box, self.array.chunks, self.array.shape)


class BoxSource(Protocol):
    """Gives the values of boxes of a ``(classes, *grid)`` array."""

    @property
    def array(self) -> ChunkedArray: ...

    def __getitem__(self, box: Box, /) -> Array: ...


class _LayerData(ABC):
    """What napari asks of a layer's data, over the grid axes of a ``(classes, *grid)`` array.

    Slicing it gives plain arrays. It never computes and, where tiles are in the cache, never reads a file.
    """

    def __init__(self, cache: BoxSource) -> None:
        self.cache = cache

    @property
    def shape(self) -> Shape:
        """Voxels along each axis of the grid."""
        return tuple(int(n) for n in self.cache.array.shape[1:])

    @property
    @abstractmethod
    def dtype(self) -> np.dtype[Any]:
        """Type of the values."""

    @property
    def ndim(self) -> int:
        """Number of axes."""
        return len(self.shape)

    @property
    def size(self) -> int:
        """Number of voxels."""
        return prod(self.shape)

    def __getitem__(self, key: Any) -> Array:
        box, steps = box_of_key(key, self.shape)
        return np.asarray(self._read(box)[steps])

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> Array:
        del copy
        return np.asarray(self[...], dtype=dtype)

    @abstractmethod
    def _read(self, box: Box) -> Array:
        """Return the values of a box of the grid."""


class ClassTiles(_LayerData):
    """One class of a prediction as the data of a napari layer; NaN where no tile is done.

    Parameters
    ----------
    cache : BoxSource
        Of the store's ``(classes, *grid)`` array.
    channel : int
        The class to show.
    """

    def __init__(self, cache: BoxSource, channel: int) -> None:
        super().__init__(cache)
        self.channel = channel

    @property
    def dtype(self) -> np.dtype[Any]:
        """Type of the values."""
        return np.dtype(self.cache.array.dtype)

    def _read(self, box: Box) -> Array:
        return np.asarray(self.cache[Box((self.channel, *box.start), (self.channel + 1, *box.stop))][0])


class LabelledTiles(_LayerData):
    """Labels of a prediction as the data of a napari layer; 0 where no tile is done.

    Parameters
    ----------
    cache : BoxSource
        Of the store's ``(classes, *grid)`` array.
    decide : callable
        Turns ``(classes, *box)`` values into ``(*box)`` labels of type uint8.
    """

    def __init__(self, cache: BoxSource, decide: Callable[[Array], Array]) -> None:
        super().__init__(cache)
        self.decide = decide

    @property
    def dtype(self) -> np.dtype[Any]:
        """Type of the labels."""
        return np.dtype(np.uint8)

    def _read(self, box: Box) -> Array:
        classes = int(self.cache.array.shape[0])
        return self.decide(self.cache[Box((0, *box.start), (classes, *box.stop))])
