"""Where a session's image lies in a viewer: at the layer that shows it, or where its metadata put it."""

from __future__ import annotations

from dataclasses import replace

from napari.components import ViewerModel
from napari.layers import Image as ImageLayer

from napari_tileseg._napari.image_layers import image_layers
from napari_tileseg._napari.images.joined_channels import JoinedChannels
from napari_tileseg._napari.images.layer_file import uri_of
from napari_tileseg._napari.images.layer_image import (
    DaskVoxels,
    image_of,
    level_factors,
    placement_beside,
    placement_of,
    placement_of_image,
)
from napari_tileseg._napari.images.placement import Placement
from napari_tileseg.errors import TilesegError
from napari_tileseg.images.image import Image
from napari_tileseg.settings import ImageSettings


def placement_in(viewer: ViewerModel, image: Image, tiled: Image | None = None) -> Placement:
    """Return the placement of an image's grid in a viewer.

    Parameters
    ----------
    viewer : ViewerModel
        Where it may be shown.
    image : Image
        The image, made from a layer or not.
    tiled : Image, optional
        The image on the grid on which it is tiled, where that was resampled.

    Returns
    -------
    Placement
        That of the layer that shows the image, whatever it is called now; of the image if there is none.
    """
    placement = next(
        (found for layer in image_layers(viewer) if (found := _of_layer(layer, image)) is not None), None
    )
    placement = placement or placement_of_image(image)
    return placement if tiled is None else placement_beside(placement, image, tiled)


def placement_over(viewer: ViewerModel, stored: Image) -> Placement:
    """Return the placement of a stored result in a viewer.

    A reader that leaves out the voxel size shows an image in voxels, and its results have to lie over it.

    Parameters
    ----------
    viewer : ViewerModel
        Where its image may be shown.
    stored : Image
        The result, whose path is that of the image it was made of.
    """
    for layer in image_layers(viewer):
        if not stored.uri or uri_of(layer) != stored.uri:
            continue
        if not Placement.of_layer(layer, range(layer.ndim)).untouched:
            continue
        try:
            image, placement = image_of(layer, ImageSettings()), placement_of(layer, ImageSettings())
        except TilesegError:
            continue  # axes of another number, as of another file that has its path now
        if image.grid_axes == stored.grid_axes and image.units == stored.units:
            return placement_beside(placement, image, stored)
    return placement_of_image(stored)


def _of_layer(layer: ImageLayer, image: Image) -> Placement | None:
    """Return the placement of the image, if the layer shows it."""
    if isinstance(image.data, JoinedChannels):
        image = replace(image, data=image.data.parts[0], axes=image.axes[1:], channels=None)
    data = image.data.array if isinstance(image.data, DaskVoxels) else image.data
    levels = list(layer.data) if layer.multiscale else [layer.data]
    level = next((number for number, each in enumerate(levels) if each is data), None)
    if level is None or len(image.axes) != layer.ndim + bool(layer.rgb):
        return None
    axes = [number for number, name in enumerate(image.axes[: layer.ndim]) if name != "c"]
    factors = level_factors(layer, level)
    return Placement.of_layer(layer, axes, [factors[axis] for axis in axes])
