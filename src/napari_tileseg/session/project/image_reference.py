"""Finding an image again from its path, and checking whether it is still the same."""

from __future__ import annotations

import zlib
from collections.abc import Iterator
from dataclasses import dataclass, replace
from itertools import chain
from typing import Any

import numpy as np

from napari_tileseg._types import Array, Shape
from napari_tileseg.errors import ImageError, TilesegError
from napari_tileseg.images import open_image
from napari_tileseg.images.identity import fingerprint
from napari_tileseg.images.image import Image
from napari_tileseg.session.project.project import ImageReference
from napari_tileseg.settings import ImageSettings
from napari_tileseg.tiling import Box

#: Levels of a file that are searched for one that the viewer shows as a separate image.
_MOST_LEVELS = 12


@dataclass(frozen=True, slots=True)
class _Read:
    """The channels that are read of an image, first in the array, whatever they are called in the file."""

    image: Image

    @property
    def shape(self) -> Shape:
        return (len(self.image.channel_indices), *self.image.shape)

    @property
    def dtype(self) -> np.dtype[Any]:
        return self.image.dtype

    def __getitem__(self, key: tuple[Any, ...]) -> Array:
        box = Box(tuple(k.start for k in key[1:]), tuple(k.stop for k in key[1:]))
        return np.asarray(self.image.read(box)[key[0]])


def voxels_fingerprint(image: Image) -> str:
    """Fingerprint the voxels that are read, wherever a file or viewer positions them."""
    return fingerprint(Image(data=_Read(image), axes=f"c{image.grid_axes}"))


def stamp_of(image: Image) -> str:
    """Return a checksum of all voxels of an array in memory, which may be changed there; else "".

    Much quicker than a hash, as it only has to show whether an array has changed.
    """
    data = image.data
    if not isinstance(data, np.ndarray) or isinstance(data, np.memmap) or not data.ndim:
        return ""
    checksum = 0
    for part in data:
        checksum = zlib.crc32(np.ascontiguousarray(part).reshape(-1).view(np.uint8).data, checksum)
    return f"{checksum:08x}"


def refer(image: Image, settings: ImageSettings) -> ImageReference:
    """Make a reference from which `reopen_image` gives the same voxels at the same position.

    Parameters
    ----------
    image : Image
        As a viewer has it; its path may hold more than it, such as further channels and levels.
    settings : ImageSettings
        Level and axes at which the viewer shows it.

    Returns
    -------
    ImageReference
        With the settings under which its path gives these voxels; without a path if none does, as for an
        array in memory or one that was changed since.
    """
    found = next(_settings_that_give(image, settings), None)
    return ImageReference(
        name=image.name,
        uri=image.uri if found is not None else "",
        settings=found or settings,
        fingerprint=voxels_fingerprint(image),
        voxel_size=image.voxel_size,
        translation=image.translation,
        units=image.units,
        affine=image.affine,
    )


def reopen_image(reference: ImageReference) -> Image:
    """Open the image that a reference points to.

    Raises
    ------
    ImageError
        If it was only in memory, is gone, or has changed.
    """
    if not reference.uri:
        raise ImageError(
            f"The image {reference.name} was only in memory and cannot be opened again; its predictions are "
            "kept. Open it in the viewer and choose it."
        )
    image = open_image(reference.uri, reference.settings)
    if voxels_fingerprint(image) != reference.fingerprint:
        raise ImageError(
            f"The image at {reference.uri} has changed since it was predicted; its predictions are kept. "
            "Choose the right image, or predict this one anew."
        )
    return replace(image, name=reference.name, **_place_of(reference, len(image.shape)))


def channels_that_give(image: Image, other: Image) -> Shape | None:
    """Return the channels of another image that hold the voxels of this one.

    Parameters
    ----------
    image : Image
        Whose channels, in their order, are looked for.
    other : Image
        Of which more may be stored; which of its channels are read does not count.

    Returns
    -------
    tuple of int or None
        As `Image.channels` takes them; None where one of them is not there.
    """
    if (image.grid_axes, image.shape, image.dtype) != (other.grid_axes, other.shape, other.dtype):
        return None
    stored = other.with_channels(None).channel_indices
    known = ((_fingerprint_of(other, channel), channel) for channel in stored)
    seen: dict[str, int] = {}
    found = []
    for channel in image.channel_indices:
        wanted = _fingerprint_of(image, channel)
        while wanted not in seen:
            following = next(known, None)
            if following is None:
                return None
            seen.setdefault(*following)
        found.append(seen[wanted])
    return tuple(found)


def is_everything(channels: Shape, image: Image, other: Image) -> bool:
    """Return whether channels of another image need no mention: all in their order, unless they were chosen.

    Where several were chosen, somebody has said which is which, and that is kept.
    """
    said = image.channels is not None and len(channels) > 1
    return channels == other.channel_indices and not said


def _fingerprint_of(image: Image, channel: int) -> str:
    return voxels_fingerprint(image.with_channels((channel,)))


def _place_of(reference: ImageReference, ndim: int) -> dict[str, Any]:
    """Return where the viewer showed the image, if the reference has that for as many axes."""
    if {len(reference.voxel_size), len(reference.translation), len(reference.units)} != {ndim}:
        return {}
    return {
        "voxel_size": reference.voxel_size,
        "translation": reference.translation,
        "units": reference.units,
        "affine": reference.affine,
    }


def _settings_that_give(image: Image, settings: ImageSettings) -> Iterator[ImageSettings]:
    """Return settings under which an image's path gives its voxels: readers split channels and levels."""
    for plain, other in _stored(image, settings):
        channels = channels_that_give(image, other)
        if channels is not None:
            yield replace(plain, channel=None if is_everything(channels, image, other) else channels)


def _stored(image: Image, settings: ImageSettings) -> Iterator[tuple[ImageSettings, Image]]:
    """Return what the path of an image holds, all channels, the level that the viewer shows first."""
    if not image.uri:
        return
    levels = chain([settings.level], (level for level in range(_MOST_LEVELS) if level != settings.level))
    for level in levels:
        for axes in dict.fromkeys((settings.axes, None, image.axes)):
            plain = replace(settings, level=level, axes=axes, channel=None, voxel_size=None)
            try:
                yield plain, open_image(image.uri, plain)
            except TilesegError:
                continue  # the file has no such level, or no such axes
