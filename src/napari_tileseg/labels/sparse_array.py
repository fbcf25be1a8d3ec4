"""An array in memory that takes room only where something was written."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from math import prod
from typing import Any

import numpy as np

from napari_tileseg._types import Array, Shape
from napari_tileseg._words import by_axis
from napari_tileseg.tiling import Box
from napari_tileseg.tiling.chunks import chunk_box, chunks_of
from napari_tileseg.tiling.indexing import box_of_key


class SparseArray:
    """Voxels in chunks, of which those that hold nothing but the fill value need not exist.

    It is read and written as NumPy arrays are, by integers and slices, or by one array of integers for each
    axis; what is read is a copy. One thread may write while others read.

    Parameters
    ----------
    shape, chunks : tuple of int
        Voxels along each axis, of the array and of a chunk.
    dtype : numpy.dtype
        Type of the voxels.
    fill : number
        Value of voxels that were never written.
    """

    def __init__(self, shape: Shape, chunks: Shape, dtype: Any, fill: float = 0) -> None:
        self.shape = tuple(shape)
        self.chunks = tuple(chunks)
        self.dtype: np.dtype[Any] = np.dtype(dtype)
        self.fill = fill
        #: Called with each box that has been written.
        self.changed: Callable[[Box], None] | None = None
        self._kept: dict[Shape, Array] = {}

    @property
    def ndim(self) -> int:
        """Number of axes."""
        return len(self.shape)

    @property
    def size(self) -> int:
        """Number of voxels."""
        return prod(self.shape)

    @property
    def written(self) -> frozenset[Shape]:
        """Indices of the chunks that exist."""
        return frozenset(self._kept)

    def chunk_box(self, index: Shape) -> Box:
        """Return the voxels of a chunk."""
        return chunk_box(index, self.chunks, self.shape)

    def chunks_of(self, box: Box) -> Iterator[tuple[Shape, Box]]:
        """Return the index of each chunk that `box` meets, with the part of it inside the box."""
        return chunks_of(box, self.chunks, self.shape)

    def copy(self) -> SparseArray:
        """Return the same voxels in a new array, whose changes nothing follows yet."""
        copied = SparseArray(self.shape, self.chunks, self.dtype, self.fill)
        copied._kept = {index: chunk.copy() for index, chunk in self._kept.items()}
        return copied

    def __deepcopy__(self, memo: dict[int, Any]) -> SparseArray:
        return self.copy()

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> Array:
        del copy
        return np.asarray(self[...], dtype=dtype)

    def __getitem__(self, key: Any) -> Array:
        if _is_pointwise(key):
            return self._read_points(key)
        box, steps = box_of_key(key, self.shape)
        return self._read(box)[steps]

    def __setitem__(self, key: Any, value: Any) -> None:
        if _is_pointwise(key):
            self._write_points(key, value)
            return
        box, steps = box_of_key(key, self.shape)
        values = self._read(box)
        values[steps] = value
        self._write(box, values)

    def _read(self, box: Box) -> Array:
        values = self._filled(box.shape)
        for index, part in self.chunks_of(box):
            chunk = self._kept.get(index)
            if chunk is not None:
                values[part.within(box)] = chunk[part.within(self.chunk_box(index))]
        return values

    def _write(self, box: Box, values: Array) -> None:
        for index, part in self.chunks_of(box):
            piece = values[part.within(box)]
            if index in self._kept or not self._is_fill(piece):
                self._made(index)[part.within(self.chunk_box(index))] = piece
        self._report(box)

    def _filled(self, shape: Shape) -> Array:
        # Zeros cost nothing before they are looked at, however many they are.
        return np.full(shape, self.fill, self.dtype) if self.fill else np.zeros(shape, self.dtype)

    def _is_fill(self, values: Array) -> bool:
        return bool(
            np.array_equal(values, np.full_like(values, self.fill), equal_nan=values.dtype.kind == "f")
        )

    def _made(self, index: Shape) -> Array:
        if index not in self._kept:
            self._kept[index] = self._filled(self.chunk_box(index).shape)
        return self._kept[index]

    def _read_points(self, key: Any) -> Array:
        points = self._points(key)
        values = self._filled(points[0].shape)
        for index, here, within in self._by_chunk(points):
            if index in self._kept:
                values[here] = self._kept[index][within]
        return values

    def _write_points(self, key: Any, value: Any) -> None:
        points = self._points(key)
        values = np.broadcast_to(np.asarray(value, self.dtype), points[0].shape)
        for index, here, within in self._by_chunk(points):
            self._made(index)[within] = values[here]
            self._report(self.chunk_box(index))

    def _points(self, key: Any) -> tuple[Array, ...]:
        points = np.broadcast_arrays(*key)
        inside = all(((p >= 0) & (p < n)).all() for p, n in zip(points, self.shape, strict=True))
        if not inside:
            raise IndexError(f"Every index should lie in an array of the shape {by_axis(self.shape)}.")
        return tuple(points)

    def _by_chunk(self, points: tuple[Array, ...]) -> Iterator[tuple[Shape, Array, tuple[Array, ...]]]:
        """Yield the index of each chunk that points lie in, which points, and where in the chunk."""
        indices = np.stack([p // n for p, n in zip(points, self.chunks, strict=True)], axis=-1)
        for index in np.unique(indices.reshape(-1, self.ndim), axis=0):
            here = (indices == index).all(axis=-1)
            within = tuple(p[here] - i * n for p, i, n in zip(points, index, self.chunks, strict=True))
            yield tuple(int(i) for i in index), here, within

    def _report(self, box: Box) -> None:
        if self.changed is not None and box.size:
            self.changed(box)


def _is_pointwise(key: Any) -> bool:
    return isinstance(key, (tuple, list)) and bool(key) and all(isinstance(k, np.ndarray) for k in key)
