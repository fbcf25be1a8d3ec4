"""Telling cheaply whether an image is still the one that a result was begun with."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from napari_tileseg._words import as_typed
from napari_tileseg.images.gathering import read_boxes
from napari_tileseg.images.image import Image
from napari_tileseg.tiling.box import Box

#: Sampled boxes, and the most voxels of each along an axis.
SAMPLES = 32
EDGE = 16
#: Frequency of each axis' positions; irrational, so that they spread evenly (Weyl 1916).
_FREQUENCIES = np.sqrt(np.array([2.0, 3.0, 5.0, 7.0]))


@dataclass(frozen=True, slots=True)
class Identity:
    """What an image is known by.

    Parameters
    ----------
    fingerprint : str
        SHA-256, 64 hexadecimal digits, of all parts. Byte order, chunks and file format do not change it.
    parts : dict
        Shape, type, placement, and a hash of the voxels alone, in plain values: they show what differs.
    """

    fingerprint: str
    parts: dict[str, Any]


def identity_of(image: Image) -> Identity:
    """Return the hash of an image's shape, type, placement and a sample of its voxels, wherever it lies.

    Parameters
    ----------
    image : Image
        Over any source.

    Notes
    -----
    At most 34 boxes of 16 voxels along each axis are read: the first, the last, and 32 that are spread
    evenly. They cost the chunks they lie in, each once. An image of up to 16 voxels along each axis is read
    whole. A change that lies between the boxes is not seen.
    """
    about = {
        "axes": image.grid_axes,
        "shape": image.shape,
        "type": image.dtype.str.lstrip("<>=|"),
        "channels": image.channel_indices,
        "voxel size": image.voxel_size,
        "place": image.translation,
        "units": image.units,
        "affine": image.affine,
    }
    whole, voxels = hashlib.sha256(repr(tuple(about.values())).encode()), hashlib.sha256()
    for values in read_boxes(image, _boxes(image.shape)):
        content = np.ascontiguousarray(values, values.dtype.newbyteorder("<")).tobytes()
        whole.update(content)
        voxels.update(content)
    plain: dict[str, Any] = json.loads(json.dumps(about))
    return Identity(whole.hexdigest(), {**plain, "voxels": voxels.hexdigest()})


def fingerprint(image: Image) -> str:
    """Return the fingerprint of `identity_of`, without its parts."""
    return identity_of(image).fingerprint


def what_changed(before: object, now: Mapping[str, Any], name: str) -> str:
    """Describe what differs between an image and one that was known by other parts.

    Parameters
    ----------
    before : object
        Parts as they were read back; of anything else, the answer is only that the image is another one.
    now : mapping
        Parts of the image at hand.
    name : str
        What the user calls it.

    Examples
    --------
    >>> what_changed({"shape": [8, 9], "voxels": "a1"}, {"shape": [8, 9], "voxels": "b2"}, "cells.tif")
    'the voxels of cells.tif have changed'
    >>> what_changed({"voxel size": [1, 1]}, {"voxel size": [2, 1]}, "cells.tif")
    'the voxel size of cells.tif was 1,1 and now is 2,1'
    """
    known = before if isinstance(before, dict) else {}
    differing = [part for part in now if part in known and known[part] != now[part]]
    if not differing:
        return f"{name} is another image than before"
    part = differing[0]
    if part == "voxels":
        return f"the voxels of {name} have changed"
    return f"the {part} of {name} was {_said(known[part])} and now is {_said(now[part])}"


def _boxes(shape: tuple[int, ...]) -> list[Box]:
    room = np.maximum(np.array(shape) - EDGE, 0)
    steps = np.arange(1, SAMPLES + 1)[:, np.newaxis] * _FREQUENCIES[: len(shape)]
    starts = np.concatenate([np.zeros((1, len(shape))), np.floor(steps % 1 * (room + 1)), room[np.newaxis]])
    unique = sorted({tuple(map(int, start)) for start in starts})
    return [Box(s, tuple(min(a + EDGE, n) for a, n in zip(s, shape, strict=True))) for s in unique]


def _said(value: object) -> str:
    return value if isinstance(value, str) else as_typed(value)
