"""Finding an image again from its path, and telling whether it is still the same."""

from __future__ import annotations

import zlib
from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from napari_tileseg._types import Array, Shape
from napari_tileseg.errors import ImageError, TilesegError
from napari_tileseg.images import open_image
from napari_tileseg.images.fingerprint import fingerprint
from napari_tileseg.images.image import Image
from napari_tileseg.session.project import ImageReference
from napari_tileseg.settings import ImageSettings
from napari_tileseg.tiling import Box


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
    """Fingerprint of the voxels that are read, whatever a file or viewer says of their place."""
    return fingerprint(Image(data=_Read(image), axes=f"c{image.grid_axes}"))


def stamp_of(image: Image) -> str:
    """Checksum of every voxel of an array in memory, which may be changed in its place; else empty.

    Much quicker than a hash, as it only has to tell an array from what it was a while ago.
    """
    data = image.data
    if not isinstance(data, np.ndarray) or isinstance(data, np.memmap) or not data.ndim:
        return ""
    checksum = 0
    for part in data:
        checksum = zlib.crc32(np.ascontiguousarray(part).reshape(-1).view(np.uint8).data, checksum)
    return f"{checksum:08x}"


def refer(image: Image, settings: ImageSettings) -> ImageReference:
    """Make a reference from which `reopen_image` gives the same voxels.

    Parameters
    ----------
    image : Image
        As a viewer has it; its path may hold more than it, such as further channels.
    settings : ImageSettings
        Level and axes at which the viewer shows it.

    Returns
    -------
    ImageReference
        With the settings under which its path gives these voxels; without a path if none does, as for an
        array in memory or one that was changed since.
    """
    wanted = voxels_fingerprint(image)
    for candidate in _candidates(image, settings):
        if _matches(image.uri, candidate, wanted):
            return ImageReference(name=image.name, uri=image.uri, settings=candidate, fingerprint=wanted)
    return ImageReference(name=image.name, uri="", settings=settings, fingerprint=wanted)


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
    return image


def _candidates(image: Image, settings: ImageSettings) -> Iterator[ImageSettings]:
    """Settings to try: those of the viewer, then one channel of the file, as readers split channels."""
    if not image.uri:
        return
    yield settings
    plain = replace(settings, axes=None, voxel_size=None, channel=None)
    yield plain
    try:
        count = len(open_image(image.uri, plain).channel_indices)
    except TilesegError:
        return  # the first two fail alike, and the image counts as one in memory
    for channel in range(count):
        yield replace(plain, channel=(channel,))


def _matches(uri: str, settings: ImageSettings, wanted: str) -> bool:
    try:
        image = open_image(uri, settings)
    except TilesegError:
        return False
    return voxels_fingerprint(image) == wanted
