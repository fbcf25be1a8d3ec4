"""Intensities that are prepared before splines bring an image to another voxel size, and their limits.

Splines overshoot beside edges; what they give is clipped to the least and largest prepared intensity of the
channel, or of its plane where planes are interpolated by themselves.
"""

from __future__ import annotations

from collections.abc import Sequence
from math import prod
from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt

from napari_tileseg._types import Array, Shape
from napari_tileseg.images.image import Image
from napari_tileseg.images.splines import Limits, SplinedSource, Splines
from napari_tileseg.tiling import Box

#: Least and largest intensities, each in C order over channels and planes.
Pairs: TypeAlias = tuple[tuple[float, ...], tuple[float, ...]]
#: Planes of all channels at most: their limits are stored with a prediction.
MOST_LIMITS = 2**17


def behind_splines(image: Image) -> Image | None:
    """Return the image whose prepared intensities splines go through; None without splines."""
    return image.data.image if isinstance(image.data, SplinedSource) else None


def count_of(image: Image) -> int:
    """Return how many pairs of limits an image has that is brought to another voxel size."""
    assert isinstance(image.data, SplinedSource)
    source = image.data
    return prod(source.splines.bounds_shape(len(source.image.channel_indices), source.image.shape))


def over_prepared(image: Image, prepared: Image, pairs: Pairs | None) -> Image:
    """Return an image by the same splines through prepared intensities, clipped to their limits.

    Parameters
    ----------
    image : Image
        With splines through the intensities as they are.
    prepared : Image
        What is `behind_splines`, prepared.
    pairs : Pairs, optional
        Its limits; not clipped by default.
    """
    assert isinstance(image.data, SplinedSource)
    source, limits = image.data, None
    if pairs is not None:
        shape = source.splines.bounds_shape(len(source.image.channel_indices), source.image.shape)
        low, high = (np.reshape(np.array(each, np.float64), shape) for each in pairs)
        limits = Limits(low, high)
    return Image(
        source.over(prepared, limits),
        "c" + image.grid_axes,
        name=image.name,
        voxel_size=image.voxel_size,
        translation=image.translation,
        units=image.units,
    )


class LimitSearch:
    """Finds the limits of prepared intensities that are shown block by block.

    Parameters
    ----------
    image : Image
        The image by splines, which says for what there is a pair of limits.
    """

    def __init__(self, image: Image) -> None:
        assert isinstance(image.data, SplinedSource)
        self._splines: Splines = image.data.splines
        inner = image.data.image
        shape: Shape = self._splines.bounds_shape(len(inner.channel_indices), inner.shape)
        self._low: npt.NDArray[np.float64] = np.full(shape, np.inf)
        self._high: npt.NDArray[np.float64] = np.full(shape, -np.inf)

    def add(self, values: Array, box: Box) -> None:
        """Look at prepared intensities ``(channels, *box.shape)``."""
        together = tuple(axis + 1 for axis in self._splines.together)
        apart = self._splines.apart
        part = (
            slice(None),
            *(each if axis in apart else slice(None) for axis, each in enumerate(box.slices)),
        )
        self._low[part] = np.minimum(self._low[part], values.min(together, keepdims=True))
        self._high[part] = np.maximum(self._high[part], values.max(together, keepdims=True))

    @property
    def pairs(self) -> Pairs:
        """What was found."""
        return tuple(self._low.ravel().tolist()), tuple(self._high.ravel().tolist())


def read_pairs(values: Sequence[Any]) -> Pairs:
    """Read limits from JSON, lists for tuples allowed.

    Raises
    ------
    TypeError, ValueError
        If they are none.
    """
    low, high = (tuple(map(float, each)) for each in values)
    if len(low) != len(high) or len(low) > MOST_LIMITS or not np.isfinite([*low, *high]).all():
        raise ValueError("limits of intensities are as many least as largest ones")
    return low, high
