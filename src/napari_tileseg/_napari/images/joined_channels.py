"""Layers that readers split an image into, one for each channel, as one array."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
from napari.layers import Image as ImageLayer

from napari_tileseg._napari.images.layer_file import uri_of
from napari_tileseg._napari.images.layer_image import level_shapes
from napari_tileseg._napari.images.placement import Placement, axes_of
from napari_tileseg._types import Array, ImageSource, Shape


class JoinedChannels:
    """Arrays of one shape and type as one with a channel axis in front; only what is asked for is read.

    Parameters
    ----------
    parts : sequence of ImageSource
        One for each channel.
    """

    def __init__(self, parts: Sequence[ImageSource]) -> None:
        self.parts = tuple(parts)

    @property
    def shape(self) -> Shape:
        """Channels, then voxels along each axis."""
        return (len(self.parts), *(int(n) for n in self.parts[0].shape))

    @property
    def dtype(self) -> np.dtype[Any]:
        """Type of the voxels."""
        return np.dtype(self.parts[0].dtype)

    def __getitem__(self, key: tuple[slice | int, ...]) -> Array:
        picked, box = key[0], key[1:]
        if isinstance(picked, int):
            return np.asarray(self.parts[picked][box])
        return np.stack([np.asarray(part[box]) for part in self.parts[picked]])


def split_images(layers: Sequence[ImageLayer]) -> Iterator[tuple[ImageLayer, ...]]:
    """Yield groups of two or more layers that show channels of one image.

    They come from one file, or are views of one array, and agree in shape, type, axes and placement.
    """
    groups: list[list[ImageLayer]] = []
    for layer in layers:
        if _origin(layer) is None or layer.rgb or "c" in axes_of(layer):
            continue
        fitting = next((group for group in groups if _belong_together(group[0], layer)), None)
        if fitting is None:
            groups.append([layer])
        else:
            fitting.append(layer)
    yield from (tuple(group) for group in groups if len(group) > 1)


def _origin(layer: ImageLayer) -> object:
    """Return what identifies the source of a layer's voxels; None where nothing does."""
    if uri := uri_of(layer):
        return uri
    base = layer.data.base if isinstance(layer.data, np.ndarray) else None
    return None if base is None else id(base)


def _belong_together(one: ImageLayer, other: ImageLayer) -> bool:
    return (
        _origin(one) == _origin(other)
        and level_shapes(one) == level_shapes(other)
        and one.dtype == other.dtype
        and axes_of(one) == axes_of(other)
        and Placement.of_layer(one, range(one.ndim)).same_as(Placement.of_layer(other, range(other.ndim)))
    )
