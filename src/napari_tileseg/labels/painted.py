"""Values at few voxels of a large array, held where they are, and which of them belong together."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from itertools import product
from math import prod
from typing import Any, Protocol, TypeAlias, runtime_checkable

import numpy as np
import numpy.typing as npt
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components

from napari_tileseg._types import Array, ImageSource, Shape
from napari_tileseg.tiling import Box
from napari_tileseg.tiling.chunks import chunk_box
from napari_tileseg.tiling.rounding import ceil_div

#: Voxels that are looked at together where an array does not report which of its chunks were written.
AT_ONCE = 2**24
_Slices: TypeAlias = tuple[slice, ...]


@dataclass(frozen=True, slots=True, eq=False)
class Painted:
    """An array with one value nearly everywhere; it takes room for the other voxels only.

    It is read as NumPy arrays are, by slices without steps; what is read is a copy.

    Parameters
    ----------
    shape : tuple of int
        Voxels along each axis.
    places : ndarray of int64
        Flat positions (C order) of the voxels that have a value, ascending.
    values : ndarray
        Their values.
    fill : int
        Value of all others.
    """

    shape: Shape
    places: npt.NDArray[np.int64]
    values: Array
    fill: int

    @property
    def dtype(self) -> np.dtype[Any]:
        """Type of the values."""
        return self.values.dtype

    @property
    def ndim(self) -> int:
        """Number of axes."""
        return len(self.shape)

    def __getitem__(self, key: _Slices) -> Array:
        ends = [part.indices(n)[:2] for part, n in zip(key, self.shape, strict=True)]
        shape = [max(0, stop - start) for start, stop in ends]
        rows = np.zeros(1, np.int64)
        for (start, _), length, n in zip(ends[:-1], shape[:-1], self.shape[:-1], strict=True):
            rows = (rows[:, np.newaxis] * n + np.arange(start, start + length)).reshape(-1)
        firsts = rows * self.shape[-1] + ends[-1][0]
        # Only the rows of what is read are looked up, however much is painted beside them.
        row, found = members(*(np.searchsorted(self.places, place) for place in (firsts, firsts + shape[-1])))
        cut = np.full((len(rows), shape[-1]), self.fill, self.dtype)
        cut[row, self.places[found] - firsts[row]] = self.values[found]
        return cut.reshape(shape)

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> Array:
        del copy
        return np.asarray(self[(slice(None),) * self.ndim], dtype=dtype)

    def kept(self, chosen: npt.NDArray[np.bool_]) -> Painted:
        """Return the same with some of the voxels only."""
        return replace(self, places=self.places[chosen], values=self.values[chosen])

    def voxels(self) -> npt.NDArray[np.int64]:
        """Return the positions of all that has a value: ``(voxels, axes)``, in C order."""
        return np.stack(np.unravel_index(self.places, self.shape), axis=1)


def members(
    begins: npt.NDArray[np.int64], ends: npt.NDArray[np.int64]
) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int64]]:
    """Return which range each number of some half-open ranges is of, range by range, and the numbers.

    Examples
    --------
    >>> which, numbers = members(np.array([4, 9]), np.array([6, 10]))
    >>> which.tolist(), numbers.tolist()
    ([0, 0, 1], [4, 5, 9])
    """
    counts = ends - begins
    which = np.repeat(np.arange(len(counts)), counts)
    return which, np.arange(len(which)) + (begins - np.cumsum(counts) + counts)[which]


@runtime_checkable
class WrittenInChunks(Protocol):
    """An array that knows which of its chunks were written; all others hold its fill value."""

    @property
    def chunks(self) -> Shape:
        """Voxels of a chunk along each axis."""
        ...

    @property
    def written(self) -> frozenset[Shape]:
        """Indices of the chunks that were written."""
        ...

    @property
    def fill(self) -> float:
        """Value of all others."""
        ...


def find_painted(labels: ImageSource, at_once: int = AT_ONCE) -> Painted:
    """Find all voxels of labels that are not 0, without ever holding the whole array.

    Parameters
    ----------
    labels : array of int
        Anything that is read by slicing. Only written chunks are, where it reports which those are.
    at_once : int
        Voxels that are looked at together, where it does not report that.

    Returns
    -------
    Painted
        With the values of the labels, and 0 elsewhere.
    """
    shape = tuple(int(n) for n in labels.shape)
    places, values = [np.zeros(0, np.int64)], [np.zeros(0, labels.dtype)]
    for part in _parts(labels, shape, at_once):
        # A copy: an array may be painted on meanwhile.
        voxels = np.array(labels[part])
        found = np.nonzero(voxels)
        apart = tuple(axis + piece.start for axis, piece in zip(found, part, strict=True))
        places.append(np.ravel_multi_index(apart, shape).astype(np.int64))
        values.append(voxels[found])
    flat = np.concatenate(places)
    order = np.argsort(flat, kind="stable")
    return Painted(shape, flat[order], np.concatenate(values)[order], 0)


def _parts(labels: ImageSource, shape: Shape, at_once: int) -> Iterator[_Slices]:
    """Yield the parts of an array outside of which nothing is painted."""
    if isinstance(labels, WrittenInChunks) and labels.fill == 0:
        sides, indices = labels.chunks, iter(sorted(labels.written))
    else:
        sides = _sides(labels, shape, at_once)
        indices = product(*(range(ceil_div(n, side)) for n, side in zip(shape, sides, strict=True)))
    for index in indices:
        yield chunk_box(index, sides, shape).slices


def _sides(labels: ImageSource, shape: Shape, at_once: int) -> Shape:
    """Return whole chunks, as many along the last axes as fit `at_once`; parts of very large ones."""
    chunks = getattr(labels, "chunks", None)
    # Pieces of a dask array may differ: it lists the lengths of all of them.
    if not isinstance(chunks, tuple) or not all(isinstance(side, int) for side in chunks):
        chunks = (1,) * len(shape)
    sides = [max(1, min(side, n)) for side, n in zip(chunks, shape, strict=True)]
    for axis in range(len(sides)):
        sides[axis] = max(1, sides[axis] * 4 * at_once // max(prod(sides), 4 * at_once))
    for axis in reversed(range(len(sides))):
        sides[axis] = max(1, min(shape[axis], sides[axis] * max(1, at_once // prod(sides))))
    return tuple(sides)


def cut_labels(values: Array | Painted, box: Box, part: Box, filler: int) -> Array:
    """Return the voxels of a box of an array, `filler` outside `part` and past the array's end."""
    cut = np.full(box.shape, filler, values.dtype)
    inside = part.clip(Box.of_shape(values.shape))
    if inside.size:
        cut[inside.within(box)] = values[inside.slices]
    return cut


def connect(painted: Painted) -> npt.NDArray[np.int32]:
    """Return the number of the connected component of each voxel, from 1 in the order of first voxels.

    Voxels of one value are connected where they touch, be it at a corner. Time and memory follow what is
    painted, not the array it is painted on.

    Parameters
    ----------
    painted : Painted
        Values of voxels.

    Returns
    -------
    ndarray of int32
        For each of ``painted.places``.
    """
    if not len(painted.places):
        return np.zeros(0, np.int32)
    firsts, lasts, run_of = _runs(painted)
    values = painted.values[np.flatnonzero(np.diff(run_of, prepend=-1))]
    pairs = [_touching(firsts, lasts, offset, painted.shape) for offset in _offsets(painted.ndim)]
    one, other = np.concatenate([np.zeros((2, 0), np.int64), *pairs], axis=1)
    alike = values[one] == values[other]
    links = (np.ones(np.count_nonzero(alike), bool), (one[alike], other[alike]))
    _, found = connected_components(coo_array(links, shape=(len(firsts),) * 2), directed=False)
    _, begins, numbers = np.unique(found, return_index=True, return_inverse=True)
    rank = np.empty(len(begins), np.int32)
    rank[np.argsort(begins)] = np.arange(1, len(begins) + 1)
    return rank[numbers.reshape(-1)][run_of]


def _runs(
    painted: Painted,
) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int64], npt.NDArray[np.int64]]:
    """Return the first and last position of each run of one value on the last axis, and each voxel's run."""
    places, values = painted.places, painted.values
    goes_on = (np.diff(places) == 1) & (values[1:] == values[:-1]) & (places[1:] % painted.shape[-1] != 0)
    begins = np.concatenate([[True], ~goes_on])
    ends = np.concatenate([~goes_on, [True]])
    return places[begins], places[ends], np.cumsum(begins) - 1


def _offsets(ndim: int) -> list[Shape]:
    """Return half of the rows around a row; the other half sees it from the other side."""
    return [each for each in product((-1, 0, 1), repeat=ndim - 1) if each > (0,) * (ndim - 1)]


def _touching(
    firsts: npt.NDArray[np.int64], lasts: npt.NDArray[np.int64], offset: Shape, shape: Shape
) -> npt.NDArray[np.int64]:
    """Return pairs ``(2, pairs)`` of runs that touch, the second in the row at an offset from the first's."""
    width, rows = shape[-1], np.array(shape[:-1])
    there = np.stack(np.unravel_index(firsts // width, shape[:-1]), axis=1) + np.array(offset)
    inside = np.flatnonzero(((there >= 0) & (there < rows)).all(axis=1))
    start = np.ravel_multi_index(tuple(there[inside].T), shape[:-1]) * width
    low = start + np.maximum(firsts[inside] % width - 1, 0)
    high = start + np.minimum(lasts[inside] % width + 1, width - 1)
    run, other = members(np.searchsorted(lasts, low, "left"), np.searchsorted(firsts, high, "right"))
    return np.stack([inside[run], other])
