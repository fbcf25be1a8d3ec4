"""What of an image is not zero: the box around it, and the holes in it."""

from __future__ import annotations

from math import prod
from typing import Any, TypeAlias, final

import numpy as np
import numpy.typing as npt

from napari_tileseg._types import Array, Shape
from napari_tileseg.errors import ImageError

#: Voxels that lie side by side along the last axis: index of the first, in C order, and how many they are.
Runs: TypeAlias = tuple[tuple[int, int], ...]
#: Runs at most: they are stored with a prediction.
MOST_RUNS = 2**17


def not_zero(values: Array) -> npt.NDArray[np.bool_]:
    """Return which voxels ``(*shape)`` of ``(channels, *shape)`` are not zero in some channel."""
    found: npt.NDArray[np.bool_] = (values != 0).any(axis=0)
    return found


@final
class Foreground:
    """The box around all voxels that are not zero, and the holes in them, found block by block.

    Parameters
    ----------
    shape : tuple of int, optional
        Shape of the image, where all of it will be shown and holes are wanted; they are not looked for
        otherwise.
    lead : int
        Axes in front that are not of space, such as time: holes are enclosed along the others, if these are
        three. A flat image is open to both sides.
    """

    def __init__(self, shape: Shape | None, lead: int) -> None:
        #: First voxel along each axis, and one past the last; empty where all voxels are zero.
        self.start: Shape = ()
        self.stop: Shape = ()
        #: Voxels that are zero and enclosed by others: no way along the axes of space leads out of them.
        self.holes: Runs = ()
        self._shape, self._lead = shape, lead
        volume = shape is not None and len(shape) - lead == 3
        self._found = np.zeros(shape, np.bool_) if shape is not None and volume else None

    def add(self, values: Array, start: Shape) -> None:
        """Look at a block ``(channels, *shape)`` that begins at `start`."""
        found = not_zero(values)
        if not found.any():
            return
        axes = range(found.ndim)
        along = [np.flatnonzero(found.any(axis=tuple(a for a in axes if a != axis))) for axis in axes]
        first = tuple(int(at[0]) + a for at, a in zip(along, start, strict=True))
        last = tuple(int(at[-1]) + 1 + a for at, a in zip(along, start, strict=True))
        self.start = tuple(map(min, self.start or first, first))
        self.stop = tuple(map(max, self.stop or last, last))
        if self._found is not None:
            self._found[tuple(slice(a, a + n) for a, n in zip(start, found.shape, strict=True))] = found

    def end(self, name: str) -> None:
        """Take note that the whole image was shown, which is called `name` in messages.

        Raises
        ------
        ImageError
            If there are more holes than can be stored.
        """
        if self._found is None or self._shape is None or not self.stop:
            return
        holes = np.zeros(self._shape, np.bool_)
        box = tuple(map(slice, self.start, self.stop))
        for index in np.ndindex(self._shape[: self._lead]):
            part = (*index, *box[self._lead :])
            holes[part] = _enclosed(self._found[part])
        self._found = None
        self.holes = _runs(holes)
        if len(self.holes) > MOST_RUNS:
            raise ImageError(
                "The network's intensities are measured where the image is not zero, holes included; "
                f"{name} has {len(self.holes)} rows of voxels in holes, and {MOST_RUNS} can be stored. "
                "Choose another way to normalize, such as zero_mean."
            )

    def holes_of(self, start: Shape, shape: Shape) -> npt.NDArray[np.bool_] | None:
        """Return which voxels of a block are holes; None where there are none at all."""
        if self._shape is None or not self.holes:
            return None
        return holes_in(self.holes, self._shape, start, shape)


def holes_in(runs: Runs, shape: Shape, start: Shape, size: Shape) -> npt.NDArray[np.bool_]:
    """Return which voxels of a part of an image are in runs.

    Parameters
    ----------
    runs : Runs
        Of the image; those that do not lie in it count for nothing.
    shape : tuple of int
        Shape of the image.
    start, size : tuple of int
        First voxel of the part, and its shape.

    Examples
    --------
    >>> holes_in(((6, 2),), (3, 5), (1, 1), (2, 3)).tolist()
    [[True, True, False], [False, False, False]]
    """
    first, count = np.array(runs, np.int64).reshape(-1, 2).T
    inside = first < prod(shape)
    *rows, begin = (index - a for index, a in zip(np.unravel_index(first[inside], shape), start, strict=True))
    ends = begin, begin + count[inside]
    met = (ends[1] > 0) & (ends[0] < size[-1])
    for row, n in zip(rows, size[:-1], strict=True):
        met &= (row >= 0) & (row < n)
    # Up by one where a run begins, down where it ends: their sum along a row is 1 inside of runs.
    steps = np.zeros((*size[:-1], size[-1] + 1), np.int8)
    for end, change in zip(ends, (1, -1), strict=True):
        np.add.at(steps, (*(row[met] for row in rows), np.clip(end[met], 0, size[-1])), change)
    covered: npt.NDArray[np.bool_] = np.cumsum(steps[..., :-1], axis=-1, dtype=np.int8) > 0
    return covered


def read_runs(values: Any) -> Runs:
    """Read runs from JSON, lists for tuples allowed.

    Raises
    ------
    TypeError, ValueError
        If they are none.
    """
    runs = tuple((first, count) for first, count in values)
    plain = all(type(each) is int and 0 <= each < 2**62 for run in runs for each in run)
    if len(runs) > MOST_RUNS or not plain:
        raise ValueError("runs of voxels are an index and a count each")
    return runs


def _enclosed(found: npt.NDArray[np.bool_]) -> npt.NDArray[np.bool_]:
    """Return the voxels that are not found and from which no way along the axes leads to a face."""
    # Here, as most networks need no holes filled, and importing it takes as long as opening one.
    from scipy import ndimage

    labels, count = ndimage.label(~found)
    reaching = np.zeros(count + 1, np.bool_)
    reaching[0] = True
    for axis in range(found.ndim):
        for end in (0, -1):
            reaching[np.take(labels, end, axis)] = True
    enclosed: npt.NDArray[np.bool_] = ~reaching[labels]
    return enclosed


def _runs(holes: npt.NDArray[np.bool_]) -> Runs:
    # No hole lies at a face of the image, so that none goes on from one row to the next.
    changes = np.diff(holes.ravel().view(np.int8), prepend=np.int8(0))
    first, last = np.flatnonzero(changes == 1), np.flatnonzero(changes == -1)
    return tuple(zip(first.tolist(), (last - first).tolist(), strict=True))
