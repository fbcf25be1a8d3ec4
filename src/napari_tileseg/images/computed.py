"""Images whose voxels are computed from those of another when they are read."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np

from napari_tileseg._types import Array, ImageSource, Shape
from napari_tileseg.images.image import Image
from napari_tileseg.images.source import Key, split_key
from napari_tileseg.tiling.box import Box


def computed(image: Image, read: Callable[[Box], Array], dtype: np.dtype[Any]) -> Image:
    """Return an image of the same shape and place with other voxels.

    Parameters
    ----------
    image : Image
        Whose shape, place and selected channels it takes.
    read : callable
        From a box on the grid axes to ``(channels, *box.shape)``.
    dtype : dtype
        Of what that gives.

    Examples
    --------
    >>> image = Image(np.arange(6).reshape(2, 3), "yx")
    >>> halves = computed(image, lambda box: image.read(box) / 2, np.dtype(float))
    >>> halves.read(Box((1, 0), (2, 2))).tolist()
    [[[1.5, 2.0]]]
    """
    return with_voxels(image, _ComputedSource(read, (len(image.channel_indices), *image.shape), dtype))


def with_voxels(image: Image, data: ImageSource) -> Image:
    """Return an image with other voxels of its selected channels, which are in front where there are some.

    Parameters
    ----------
    image : Image
        The image.
    data : ImageSource
        ``(channels, ...)``, or without channels, over the same grid axes.

    Returns
    -------
    Image
        In the same place, with voxels of the same size.
    """
    names = image.channel_names
    return replace(
        image,
        data=data,
        axes="c" * (len(data.shape) - len(image.shape)) + image.grid_axes,
        channel_names=tuple(names[index] for index in image.channel_indices) if names else (),
        channels=None,
    )


class _ComputedSource:
    """Voxels that a function gives box by box, channel first."""

    def __init__(self, read: Callable[[Box], Array], shape: Shape, dtype: np.dtype[Any]) -> None:
        self._read = read
        self.shape = shape
        self.dtype = dtype
        self.ndim = len(shape)

    def __getitem__(self, key: Key) -> Array:
        parts, picked = split_key(key, self.ndim)
        ranges = [range(n)[part] for n, part in zip(self.shape, parts, strict=True)]
        if not all(ranges):
            return np.zeros(tuple(map(len, ranges)), self.dtype)[picked]
        start = tuple(min(each[0], each[-1]) for each in ranges)
        stop = tuple(max(each[0], each[-1]) + 1 for each in ranges)
        values = self._read(Box(start[1:], stop[1:]))[start[0] : stop[0]]
        steps = tuple(slice(None, None, each.step) for each in ranges)
        return values[steps][picked]
