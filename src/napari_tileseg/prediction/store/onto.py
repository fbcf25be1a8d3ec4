"""Bringing a prediction that has the network's voxel size onto the voxels of its image."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from napari_tileseg._types import Array
from napari_tileseg.images.computed import computed
from napari_tileseg.images.image import Image
from napari_tileseg.images.resample import resampled_onto
from napari_tileseg.nets.intensities.resolved import finite_number
from napari_tileseg.nets.resampling import Resampling
from napari_tileseg.nets.spec import Activation
from napari_tileseg.prediction.plan.by_splines import back_onto
from napari_tileseg.prediction.store.provenance import RESAMPLING
from napari_tileseg.tiling import Box

#: Probabilities of float32 that are still told from 0, and from 1.
_LEAST, _MOST = 1e-38, 1 - 2.0**-24


def on_voxels_of(image: Image, result: Image, about: Mapping[str, Any]) -> Image:
    """Return a stored result on the voxels of an image, interpolated where it is read.

    Parameters
    ----------
    image : Image
        Whose voxels.
    result : Image
        Probabilities at the network's voxel size.
    about : mapping
        What is stored about it.

    Raises
    ------
    ImageError
        If the axes or units differ.
    """
    linear = resampled_onto(result, image)
    splines = splines_of(about)
    if splines is None:
        return linear
    activation = about["activation"]
    logits = computed(result, _Logits(result, activation), result.dtype)
    brought = back_onto(logits, image, *splines)
    return computed(brought, _Probabilities(brought, activation), result.dtype)


def splines_of(about: Mapping[str, Any]) -> tuple[Resampling, tuple[float, ...]] | None:
    """Return how an image was brought to which voxel size, if by splines.

    Raises
    ------
    KeyError, TypeError, ValueError, NetworkError
        If what is stored says neither.
    """
    if RESAMPLING not in about:
        return None
    said = dict(about[RESAMPLING])
    size = tuple(map(finite_number, said.pop("voxel_size")))
    if not size or min(size) <= 0:
        raise ValueError("a voxel size is above 0")
    return Resampling(**said), size


@dataclass(frozen=True, slots=True, eq=False)
class _Logits:
    """Reads what a network gave before its activation, but for what is the same for all classes."""

    image: Image
    activation: Activation

    def __call__(self, box: Box) -> Array:
        values = self.image.read(box)
        if self.activation == "softmax":
            logits: Array = np.log(np.maximum(values, _LEAST))
            return logits
        if self.activation == "sigmoid":
            inside = np.clip(values.astype(np.float64), 1 - _MOST, _MOST)
            logits = np.log(inside / (1 - inside))
            return logits.astype(values.dtype)
        return values


@dataclass(frozen=True, slots=True, eq=False)
class _Probabilities:
    """Reads probabilities from such logits."""

    image: Image
    activation: Activation

    def __call__(self, box: Box) -> Array:
        values = self.image.read(box)
        if self.activation == "softmax":
            powers: Array = np.exp(values - values.max(axis=0))
            shares: Array = powers / powers.sum(axis=0)
            return shares
        if self.activation == "sigmoid":
            return (1 / (1 + np.exp(-values.astype(np.float64)))).astype(values.dtype)
        return values
