"""Which painted voxels belong together."""

from __future__ import annotations

from itertools import product

import numpy as np
import numpy.typing as npt
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components

from napari_tileseg._types import Shape
from napari_tileseg.labels.painted import Painted, members


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
