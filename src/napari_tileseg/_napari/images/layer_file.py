"""What the file of a layer states: readers of napari leave out names of axes and voxel sizes."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import permutations
from typing import Any
from weakref import WeakKeyDictionary

import numpy as np
from napari.layers import Image as ImageLayer

from napari_tileseg._types import Array
from napari_tileseg.errors import TilesegError
from napari_tileseg.images import list_levels, open_image
from napari_tileseg.images.image import Image
from napari_tileseg.images.source import Transposed
from napari_tileseg.settings import ImageSettings

#: Key of a layer's metadata for the path of an image that was opened by us, which napari does not know.
SOURCE = "napari_tileseg source"
#: Levels and channels of a file that are compared with a layer.
_MOST = 12
#: Voxels along each axis that are compared, in the first corner and in the middle.
_PROBE = 8


@dataclass(frozen=True, slots=True)
class Filed:
    """What a file states about the data of a layer, by the layer's axes, colours included.

    Parameters
    ----------
    axes : str
        Name of each axis.
    sizes, offsets : tuple of float
        Along each axis; 1 and 0 for a channel.
    units : tuple of str
        Of each axis; ``pixel`` for a channel.
    notes : tuple of str
        What the file left open.
    channel_names : tuple of str
        One for each channel of the file; empty where it has no channel axis.
    """

    axes: str
    sizes: tuple[float, ...]
    offsets: tuple[float, ...]
    units: tuple[str, ...]
    notes: tuple[str, ...]
    channel_names: tuple[str, ...]


_KNOWN: WeakKeyDictionary[ImageLayer, tuple[object, Filed | None]] = WeakKeyDictionary()


def uri_of(layer: ImageLayer) -> str:
    """Return the path the layer was opened from; empty for an array in memory."""
    path = layer.source.path or layer.metadata.get(SOURCE)
    return str(path) if path else ""


def filed(layer: ImageLayer) -> Filed | None:
    """Return what the file of a layer states; None where its voxels are not those of a readable file.

    The file is read once for each array that the layer shows, and little of it: its metadata,
    and voxels in two regions.
    """
    data = layer.data[0] if layer.multiscale else layer.data
    state = (uri_of(layer), id(data), tuple(data.shape))
    known = _KNOWN.get(layer)
    if known is None or known[0] != state:
        known = (state, _look_up(uri_of(layer), data) if state[0] else None)
        _KNOWN[layer] = known
    return known[1]


def _look_up(uri: str, data: Any) -> Filed | None:
    try:
        for level in range(min(len(list_levels(uri)), _MOST)):
            image = open_image(uri, ImageSettings(level=level))
            axes = next(_fitting(image, data), None)
            if axes is not None:
                # How axes without names are taken is shown beside the image, and needs no note.
                named = ImageSettings(level=level, axes="".join(_stored_axes(image)))
                return _filed(open_image(uri, named), axes)
    except TilesegError:
        return None  # of a format that only a reader of napari knows, gone, or damaged
    return None


def _filed(image: Image, axes: str) -> Filed:
    known = {a: i for i, a in enumerate(image.grid_axes)}
    positions = [known.get(axis) for axis in axes]
    return Filed(
        axes=axes,
        sizes=tuple(1.0 if at is None else image.voxel_size[at] for at in positions),
        offsets=tuple(0.0 if at is None else image.translation[at] for at in positions),
        units=tuple("pixel" if at is None else image.units[at] for at in positions),
        notes=image.notes,
        channel_names=image.channel_names,
    )


def _fitting(image: Image, data: Any) -> Iterator[str]:
    """Return names of the axes of an array under which its voxels are those of an image."""
    lengths = dict(zip(image.axes, map(int, image.data.shape), strict=True))
    for letters in _orders(image):
        left = [axis for axis in lengths if axis not in letters]
        if tuple(data.shape) != tuple(lengths[axis] for axis in letters):
            continue
        if any(lengths[axis] > 1 for axis in left if axis != "c"):
            continue  # a part only, such as one of the times
        channels = range(min(lengths["c"], _MOST)) if "c" in left else [0]
        if any(_same(image, letters, data, channel) for channel in channels):
            yield "".join(letters)


def _orders(image: Image) -> Iterator[tuple[str, ...]]:
    """Return the orders of axes that an array may have, the one in which it is stored first."""
    stored = _stored_axes(image)
    for count in range(len(stored), 1, -1):
        yield from permutations(stored, count)


def _stored_axes(image: Image) -> list[str]:
    """Return the axes of an image as its file has them."""
    if not isinstance(image.data, Transposed):
        return list(image.axes)
    return [image.axes[image.data.order.index(number)] for number in range(len(image.axes))]


def _same(image: Image, letters: Sequence[str], data: Any, channel: int) -> bool:
    """Return whether an array holds the same voxels in the first corner and in the middle."""
    if np.dtype(data.dtype).newbyteorder("=") != image.dtype:
        return False
    for middle in (False, True):
        parts = {a: _part(int(n), middle) for a, n in zip(image.axes, image.data.shape, strict=True)}
        if "c" in parts and "c" not in letters:
            parts["c"] = slice(channel, channel + 1)
        mine = _turned(image, parts, letters)
        shown = np.asarray(data[tuple(parts[axis] for axis in letters)])
        if not np.array_equal(mine, shown, equal_nan=shown.dtype.kind == "f"):
            return False
    return True


def _part(length: int, middle: bool) -> slice:
    start = max(0, length // 2 - _PROBE // 2) if middle else 0
    return slice(start, min(length, start + _PROBE))


def _turned(image: Image, parts: dict[str, slice], letters: Sequence[str]) -> Array:
    """Return the voxels of a part of an image, its axes in another order, without those that are left out."""
    values: Array = np.asarray(image.data[tuple(parts[axis] for axis in image.axes)])
    present = [axis for axis in image.axes if axis in letters]
    dropped = tuple(n for n, axis in enumerate(image.axes) if axis not in letters)
    return values.squeeze(dropped).transpose([present.index(axis) for axis in letters])
