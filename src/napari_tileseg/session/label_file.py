"""Labels from a file: any image that can be opened, of one channel, on the grid of what is labelled."""

from __future__ import annotations

from napari_tileseg._types import Array, Shape
from napari_tileseg.errors import ImageError
from napari_tileseg.images import open_image
from napari_tileseg.tiling import Box


def read_labels(path: str, shape: Shape) -> Array:
    """All voxels of a file of labels.

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
    labels = open_image(path)
    if labels.shape != shape:
        raise ImageError(
            f"Labels should have the shape of the image, {shape}; {path} has {labels.shape}. Take "
            "those of this image, at the same level."
        )
    if len(labels.channel_indices) != 1:
        raise ImageError(
            f"Labels should have one channel; {path} has {len(labels.channel_indices)}. Save the one that "
            "holds the labels by itself."
        )
    voxels: Array = labels.read(Box.of_shape(labels.shape))[0]
    return voxels
