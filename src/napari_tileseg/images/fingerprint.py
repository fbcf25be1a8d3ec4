"""Telling cheaply whether an image is still the one that a result was begun with."""

from __future__ import annotations

import hashlib

import numpy as np

from napari_tileseg.images.image import Image
from napari_tileseg.tiling.box import Box

#: Sampled boxes, and the most voxels of each along an axis.
SAMPLES = 32
EDGE = 16
#: Frequency of each axis' positions; irrational, so that they spread evenly (Weyl 1916).
_FREQUENCIES = np.sqrt(np.array([2.0, 3.0, 5.0, 7.0]))


def fingerprint(image: Image) -> str:
    """Hash of an image's shape, type, placement and a sample of its voxels; independent of where it lies.

    Parameters
    ----------
    image : Image
        Over any source.

    Returns
    -------
    str
        SHA-256, 64 hexadecimal digits. Byte order, chunks and file format do not change it.

    Notes
    -----
    At most 34 boxes of 16 voxels along each axis are read (each costs the chunks it lies in): the first, the
    last, and 32 that are spread evenly. An image of up to 16 voxels along each axis is read whole. A change
    that lies between the boxes is not seen.
    """
    digest = hashlib.sha256()
    about = (
        image.grid_axes,
        image.shape,
        image.dtype.str.lstrip("<>=|"),
        image.channel_indices,
        image.voxel_size,
        image.translation,
        image.units,
        image.affine,
    )
    digest.update(repr(about).encode())
    for box in _boxes(image.shape):
        values = image.read(box)
        digest.update(np.ascontiguousarray(values, values.dtype.newbyteorder("<")).tobytes())
    return digest.hexdigest()


def _boxes(shape: tuple[int, ...]) -> list[Box]:
    room = np.maximum(np.array(shape) - EDGE, 0)
    steps = np.arange(1, SAMPLES + 1)[:, np.newaxis] * _FREQUENCIES[: len(shape)]
    starts = np.concatenate([np.zeros((1, len(shape))), np.floor(steps % 1 * (room + 1)), room[np.newaxis]])
    unique = sorted({tuple(map(int, start)) for start in starts})
    return [Box(s, tuple(min(a + EDGE, n) for a, n in zip(s, shape, strict=True))) for s in unique]
