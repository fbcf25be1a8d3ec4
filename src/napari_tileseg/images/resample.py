"""The same image at another voxel size, computed where it is read.

Between voxel centres the image is interpolated linearly, or taken from the nearest; beyond the outermost
centres it goes on as they are. There is no low-pass filter: an image made much coarser shows aliasing.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any, Literal, TypeAlias

import numpy as np
import numpy.typing as npt

from napari_tileseg._types import Array, Shape
from napari_tileseg._words import as_typed
from napari_tileseg.errors import ImageError
from napari_tileseg.images.computed import with_voxels
from napari_tileseg.images.image import Image
from napari_tileseg.images.source import Key, split_key
from napari_tileseg.tiling.box import Box

Interpolation: TypeAlias = Literal["linear", "nearest"]


def resampled(image: Image, voxel_size: Sequence[float], interpolation: Interpolation = "linear") -> Image:
    """Return a lazy view of an image at another voxel size, over the same extent.

    Parameters
    ----------
    image : Image
        Image to resample.
    voxel_size : sequence of float
        Along each spatial axis, in the image's units; positive.
    interpolation : {"linear", "nearest"}
        Linear gives float32 (float64 for float64); nearest keeps the type, as labels need.

    Returns
    -------
    Image
        Its outer faces lie where the image's lie, as nearly as whole voxels allow, the near ones exactly;
        channels that are not selected are left out.

    Raises
    ------
    ImageError
        If the voxel size does not fit the spatial axes.

    Examples
    --------
    >>> finer = resampled(Image(np.eye(2, dtype="float32"), "yx"), (0.5, 0.5))
    >>> finer.shape, finer.translation
    ((4, 4), (-0.25, -0.25))
    """
    if len(voxel_size) != len(image.spatial_axes) or not all(0 < size < np.inf for size in voxel_size):
        raise ImageError(
            f"{image.name} has spatial axes {image.spatial_axes}: a voxel size should have as many positive "
            f"entries; got {as_typed(tuple(voxel_size))}."
        )
    time = len(image.grid_axes) - len(voxel_size)
    sizes = (*image.voxel_size[:time], *map(float, voxel_size))
    shape = tuple(
        max(1, round(n * old / new)) for n, old, new in zip(image.shape, image.voxel_size, sizes, strict=True)
    )
    first = tuple(
        position + (new - old) / 2
        for position, old, new in zip(image.translation, image.voxel_size, sizes, strict=True)
    )
    return _view(image, shape, sizes, first, interpolation)


def resampled_onto(image: Image, target: Image, interpolation: Interpolation = "linear") -> Image:
    """Return a lazy view of an image on the voxels of another, such as a result brought back.

    Parameters
    ----------
    image : Image
        Image to resample.
    target : Image
        Image of the same grid axes and units, whose shape and placement the view takes.
    interpolation : {"linear", "nearest"}
        As for `resampled`.

    Raises
    ------
    ImageError
        If the axes or units differ.
    """
    if (image.grid_axes, image.units) != (target.grid_axes, target.units):
        raise ImageError(
            f"{image.name} should have the axes and units of {target.name}: {target.grid_axes} in "
            f"{as_typed(target.units)}; it has {image.grid_axes} in {as_typed(image.units)}."
        )
    return _view(image, target.shape, target.voxel_size, target.translation, interpolation)


def _view(
    image: Image,
    shape: Shape,
    sizes: tuple[float, ...],
    first: tuple[float, ...],
    interpolation: Interpolation,
) -> Image:
    source = ResampledSource(image, shape, sizes, first, interpolation)
    return replace(with_voxels(image, source), voxel_size=sizes, translation=first)


def origin_of(image: Image) -> tuple[Image, Callable[[Box], Box]]:
    """Return the image whose stored voxels another is computed from, and which of them each box of it takes.

    Parameters
    ----------
    image : Image
        A view that `resampled` gave, or any image, which is its own origin.

    Returns
    -------
    origin : Image
        The image that is stored.
    box_of : callable
        From a box on the grid axes of `image` to the one of `origin` that is read for it.

    Examples
    --------
    >>> stored = Image(np.zeros((8, 8), "uint8"), "yx")
    >>> origin, box_of = origin_of(resampled(stored, (2, 2)))
    >>> origin is stored, box_of(Box((1, 0), (3, 1)))
    (True, Box(start=(2, 0), stop=(6, 2)))
    """
    if not isinstance(image.data, ResampledSource):
        return image, lambda box: box
    source = image.data
    origin, box_of = origin_of(source.image)
    return origin, lambda box: box_of(source.read_for(box))


class ResampledSource:
    """Voxels of an image at positions between its own, along each axis.

    Parameters
    ----------
    image : Image
        Image to resample.
    shape : tuple of int
        Voxels along each of its grid axes.
    sizes, first : tuple of float
        Voxel size, and world position of the first voxel, along each of them.
    interpolation : {"linear", "nearest"}
        As for `resampled`.
    """

    def __init__(
        self,
        image: Image,
        shape: Shape,
        sizes: tuple[float, ...],
        first: tuple[float, ...],
        interpolation: Interpolation,
    ) -> None:
        self.image = image
        self._grid = shape
        self._step = tuple(new / old for new, old in zip(sizes, image.voxel_size, strict=True))
        self._offset = tuple(
            (a - b) / old for a, b, old in zip(first, image.translation, image.voxel_size, strict=True)
        )
        self._linear = interpolation == "linear"

    @property
    def shape(self) -> Shape:
        """Voxels along each axis, after the channels where there are any."""
        channels = len(self.image.channel_indices)
        return (channels, *self._grid) if "c" in self.image.axes else self._grid

    @property
    def dtype(self) -> np.dtype[Any]:
        """Type of the voxels."""
        if not self._linear:
            return self.image.dtype
        return np.dtype("float64" if self.image.dtype == np.float64 else "float32")

    @property
    def ndim(self) -> int:
        """Number of axes."""
        return len(self.shape)

    def __getitem__(self, key: Key) -> Array:
        parts, picked = split_key(key, self.ndim)
        lead = self.ndim - len(self._grid)
        ranges = [range(n)[part] for n, part in zip(self._grid, parts[lead:], strict=True)]
        values = self._interpolate([np.array(r, dtype=np.float64) for r in ranges])
        return values[parts[:lead]][picked] if lead else values[0][picked]

    def _interpolate(self, indices: list[npt.NDArray[np.float64]]) -> Array:
        """Return the voxels ``(channels, ...)`` at these indices along each axis."""
        if not all(index.size for index in indices):
            empty = tuple(index.size for index in indices)
            return np.zeros((len(self.image.channel_indices), *empty), self.dtype)
        low, weight = zip(*(self._neighbours(axis, index) for axis, index in enumerate(indices)), strict=True)
        box = self._around(low)
        values = self.image.read(box).astype(self.dtype, copy=False)
        for axis, (near, share) in enumerate(zip(low, weight, strict=True)):
            values = _blend(values, axis + 1, near - box.start[axis], share)
        return values

    def read_for(self, box: Box) -> Box:
        """Return what is read of the image for a box of the view that is not empty."""
        ends = enumerate(zip(box.start, box.stop, strict=True))
        return self._around([self._neighbours(axis, np.array([a, b - 1.0]))[0] for axis, (a, b) in ends])

    def _around(self, low: Sequence[npt.NDArray[np.intp]]) -> Box:
        """Return the box of the image that holds these voxels along each axis, and the ones after them."""
        start = tuple(int(n.min()) for n in low)
        return Box(
            start, tuple(min(int(n.max()) + 2, size) for n, size in zip(low, self.image.shape, strict=True))
        )

    def _neighbours(
        self, axis: int, index: npt.NDArray[np.float64]
    ) -> tuple[npt.NDArray[np.intp], npt.NDArray[np.float64]]:
        """Return the source voxel before each index, and the share of the one after it."""
        # From the index in the whole view, so that a voxel is the same whatever box it is read in.
        position = np.clip(self._offset[axis] + index * self._step[axis], 0, self.image.shape[axis] - 1)
        if not self._linear:
            position = np.floor(position + 0.5)
        low = np.floor(position)
        return low.astype(np.intp), position - low


def _blend(values: Array, axis: int, near: npt.NDArray[np.intp], share: npt.NDArray[np.float64]) -> Array:
    """Return ``(1 - share) * values[near] + share * values[near + 1]`` along an axis."""
    first = np.take(values, near, axis)
    if not share.any():
        return first
    second = np.take(values, np.minimum(near + 1, values.shape[axis] - 1), axis)
    factor = share.astype(values.dtype).reshape(-1, *(1,) * (values.ndim - axis - 1))
    with np.errstate(invalid="ignore"):
        between = first + (second - first) * factor
    # A voxel that lies on another takes nothing of the next one, which may be NaN.
    blended: Array = np.where(share.reshape(factor.shape) == 0, first, between)
    return blended
