"""Labels from a file: any image that can be opened, of one channel, on the grid of what is labelled."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from napari_tileseg._types import Array, Shape
from napari_tileseg._words import by_axis
from napari_tileseg.errors import ImageError, MissingImageError
from napari_tileseg.images import open_image
from napari_tileseg.images.image import Image
from napari_tileseg.tiling.indexing import box_of_key


@dataclass(frozen=True, slots=True, eq=False)
class LabelFile:
    """The voxels of an image of one channel, read where they are asked for.

    Parameters
    ----------
    image : Image
        Of one channel.
    """

    image: Image

    @property
    def shape(self) -> Shape:
        """Voxels along each grid axis."""
        return self.image.shape

    @property
    def dtype(self) -> np.dtype[Any]:
        """Type of the voxels."""
        return self.image.dtype

    @property
    def chunks(self) -> Shape | None:
        """Shape of the chunks in which they are stored; None where that is not known."""
        return self.image.chunk

    def __getitem__(self, key: Any) -> Array:
        box, steps = box_of_key(key, self.shape)
        values: Array = self.image.read(box)[0][steps]
        return values


def read_labels(path: str, shape: Shape) -> LabelFile:
    """Open a file of labels; its voxels are read later, as far as they are looked at.

    Parameters
    ----------
    path : str
        Any file that can be an image.
    shape : tuple of int
        Voxels along the grid axes of what is labelled.

    Raises
    ------
    ImageError
        If the file cannot be opened, or has another grid than the image or more than one channel.
    """
    try:
        labels = open_image(path)
    except MissingImageError as error:
        raise MissingImageError(f"There are no labels at {path}: no such file or folder.") from error
    except ImageError as error:
        raise ImageError(f"The labels cannot be opened. {error}") from error
    if labels.shape != shape:
        raise ImageError(
            f"Labels should have the shape of the image, {by_axis(shape)}; {path} has "
            f"{by_axis(labels.shape)}. Take "
            "those of this image, at the same level."
        )
    if len(labels.channel_indices) != 1:
        raise ImageError(
            f"Labels should have one channel; {path} has {len(labels.channel_indices)}. Save the one that "
            "holds the labels by itself."
        )
    return LabelFile(labels)
