"""Where a session's image lies in a viewer: at the layer that shows it, or where it says itself."""

from __future__ import annotations

from dataclasses import replace

from napari.components import ViewerModel
from napari.layers import Image as ImageLayer

from napari_tileseg._napari.image_layers import image_layers
from napari_tileseg._napari.joined import JoinedChannels
from napari_tileseg._napari.layer_image import (
    DaskVoxels,
    level_factors,
    placement_beside,
    placement_of_image,
)
from napari_tileseg._napari.placement import Placement
from napari_tileseg.images.image import Image


def placement_in(viewer: ViewerModel, image: Image, tiled: Image | None = None) -> Placement:
    """Place of an image's grid in a viewer.

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


def _of_layer(layer: ImageLayer, image: Image) -> Placement | None:
    """Place of the image, if the layer shows it."""
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
