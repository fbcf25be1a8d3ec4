"""Reading a box of the padded image from an image that ends before it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Literal, TypeAlias

import numpy as np
import numpy.typing as npt

from napari_tileseg._types import Array, Shape
from napari_tileseg.tiling.box import Box

#: How voxels past the far end are made: mirrored without repeating the last one, repeated, or zero.
Padding: TypeAlias = Literal["reflect", "edge", "zero"]


def padded_indices(start: int, stop: int, size: int, mode: Padding = "reflect") -> npt.NDArray[np.intp]:
    """Return the voxel of an axis of `size` that each voxel from `start` to `stop` is a copy of.

    Parameters
    ----------
    start, stop : int
        Half-open range in the padded image, from 0 on.
    size : int
        Voxels of the axis without padding, at least 1.
    mode : {"reflect", "edge", "zero"}
        Under "zero", voxels past the end give -1.

    Examples
    --------
    >>> padded_indices(1, 7, 3).tolist()
    [1, 2, 1, 0, 1, 2]
    """
    index = np.arange(start, stop)
    if mode == "edge":
        return np.minimum(index, size - 1)
    if mode == "zero":
        return np.where(index < size, index, -1)
    period = max(2 * (size - 1), 1)
    folded = index % period
    return np.minimum(folded, period - folded) if size > 1 else np.zeros_like(index)


def read_padded(read: Callable[[Box], Array], shape: Shape, box: Box, mode: Padding = "reflect") -> Array:
    """Read `box` of the padded image.

    Parameters
    ----------
    read : callable
        Gives the voxels of a box inside the image; its result may have axes before those of the box.
    shape : tuple of int
        Shape of the image without padding.
    box : Box
        What to read, from the origin on and possibly past the image's far end.
    mode : {"reflect", "edge", "zero"}
        How voxels past the far end are made.

    Returns
    -------
    ndarray
        ``(..., *box.shape)``, of the type that `read` gives.
    """
    if Box.of_shape(shape).contains(box):
        return read(box)
    indices = [padded_indices(a, b, n, mode) for a, b, n in zip(box.start, box.stop, shape, strict=True)]
    inside = [index[index >= 0] if (index >= 0).any() else np.zeros(1, np.intp) for index in indices]
    source = Box(tuple(int(index.min()) for index in inside), tuple(int(index.max()) + 1 for index in inside))
    values = read(source)
    lead = values.ndim - box.ndim
    for axis, (index, first) in enumerate(zip(indices, source.start, strict=True)):
        values = np.take(values, np.maximum(index - first, 0), axis=lead + axis)
        if (index < 0).any():
            outside = (slice(None),) * (lead + axis) + (index < 0,)
            values[outside] = 0
    return values
