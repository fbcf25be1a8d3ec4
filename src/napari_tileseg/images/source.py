"""Sources of voxels that close their file, travel to other processes, and turn their axes lazily."""

from __future__ import annotations

import os
import threading
import weakref
from abc import ABC, abstractmethod
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np

from napari_tileseg._types import Array, ImageSource, Indices, Shape
from napari_tileseg._words import by_axis
from napari_tileseg.errors import ImageError, answering

Key: TypeAlias = tuple[slice | int, ...]


class FileSource(ABC):
    """Voxels of a file, which is opened again wherever the source is unpickled.

    Parameters
    ----------
    path : Path
        The file.
    place : str or int
        Where in the file.

    Raises
    ------
    ImageError
        If the file cannot be opened.
    """

    def __init__(self, path: Path, place: str | int = 0) -> None:
        self.path = path
        self.place = place
        self._guard = threading.Lock()
        self._reopen()
        self.shape: Shape = tuple(int(n) for n in self._array.shape)
        self.dtype: np.dtype[Any] = np.dtype(self._array.dtype)

    @abstractmethod
    def _open(self) -> tuple[ImageSource, Callable[[], None]]:
        """Return the voxels, and what closes the file."""

    def _reopen(self) -> None:
        self._array, close = self._open()
        self._process = os.getpid()
        weakref.finalize(self, close)

    @property
    def ndim(self) -> int:
        """Number of axes."""
        return len(self.shape)

    @property
    def chunks(self) -> Shape | None:
        """Shape of the pieces that are decoded as a whole; None where the file has none."""
        return getattr(self._array, "chunks", None)

    def __getitem__(self, key: Any) -> Array:
        # A forked process shares its parent's position in the file, and must not read through it.
        if self._process != os.getpid():
            with self._guard:
                self._reopen()
        what = f"{self.path} should hold voxels of {self.dtype}"
        with answering(ImageError, what, "See that it is still there and whole; copy it again."):
            return np.asarray(self._array[key])

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> Array:
        return np.array(self[(slice(None),) * self.ndim], dtype=dtype, copy=copy)

    def __repr__(self) -> str:
        return f"{type(self).__name__}({str(self.path)!r}, {self.place!r})"

    def __reduce__(self) -> tuple[Any, ...]:
        return _unpickle, (type(self), self.path, self.place, self.shape, self.dtype)


def _unpickle(
    kind: type[FileSource], path: Path, place: str | int, shape: Shape, dtype: np.dtype[Any]
) -> FileSource:
    source = kind(path, place)
    if (source.shape, source.dtype) != (shape, dtype):
        raise ImageError(
            f"{path} should still hold {by_axis(shape)} voxels of {dtype}; it now holds "
            f"{by_axis(source.shape)} of "
            f"{source.dtype}. Open the image again."
        )
    return source


class Transposed:
    """A source with its axes in another order; nothing is read before it is asked for.

    Parameters
    ----------
    source : ImageSource
        Voxels.
    order : tuple of int
        Axis of `source` that becomes each axis.

    Examples
    --------
    >>> turned = Transposed(np.arange(6).reshape(2, 3), (1, 0))
    >>> turned.shape, turned[1:3, 0].tolist()
    ((3, 2), [1, 2])
    """

    def __init__(self, source: ImageSource, order: Indices) -> None:
        self.source = source
        self.order = order

    @property
    def shape(self) -> Shape:
        """Voxels along each axis."""
        return tuple(int(self.source.shape[axis]) for axis in self.order)

    @property
    def dtype(self) -> np.dtype[Any]:
        """Type of the voxels."""
        return np.dtype(self.source.dtype)

    @property
    def ndim(self) -> int:
        """Number of axes."""
        return len(self.order)

    @property
    def chunks(self) -> tuple[Any, ...] | None:
        """Shape of the pieces that are decoded as a whole; None where the source does not state it."""
        chunks = getattr(self.source, "chunks", None)
        return tuple(chunks[axis] for axis in self.order) if isinstance(chunks, tuple) else None

    def __getitem__(self, key: Key) -> Array:
        parts, picked = split_key(key, self.ndim)
        stored = [slice(None)] * self.ndim
        for axis, part in zip(self.order, parts, strict=True):
            stored[axis] = part
        return np.asarray(self.source[tuple(stored)]).transpose(self.order)[picked]


def chunk_of(source: ImageSource) -> Shape | None:
    """Return the shape of the pieces in which a source is stored; None where it does not state it."""
    chunks = getattr(source, "chunks", None)
    if not isinstance(chunks, tuple) or len(chunks) != len(source.shape):
        return None
    # Pieces of a dask array may differ: it lists the lengths of all of them.
    return tuple(max(c) if isinstance(c, tuple) else int(c) for c in chunks)


def split_key(key: Key, ndim: int) -> tuple[tuple[slice, ...], Key]:
    """Return slices that keep every axis, and what then drops those of which one voxel is asked.

    Examples
    --------
    >>> split_key((7,), 2)
    ((slice(7, 8, None), slice(None, None, None)), (0, slice(None, None, None)))
    """
    full = (*key, *(slice(None),) * (ndim - len(key)))
    slices = tuple(part if isinstance(part, slice) else slice(part, part + 1 or None) for part in full)
    return slices, tuple(slice(None) if isinstance(part, slice) else 0 for part in full)
