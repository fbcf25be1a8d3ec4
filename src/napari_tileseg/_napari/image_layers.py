"""Image layers that can be predicted."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from napari.components import ViewerModel
from napari.layers import Image as ImageLayer
from napari.layers.utils.stack_utils import split_channels

from napari_tileseg._napari.images.layer_file import SOURCE
from napari_tileseg._napari.images.layer_image import lazily, placement_of_image
from napari_tileseg._napari.results.result_layers import is_ours
from napari_tileseg._types import Array
from napari_tileseg.images import open_image
from napari_tileseg.images.formats.omezarr import is_omezarr
from napari_tileseg.images.image import Image


def image_layers(viewer: ViewerModel) -> list[ImageLayer]:
    """Return the image layers of a viewer, in the order of its list, without those that show predictions."""
    return [layer for layer in viewer.layers if isinstance(layer, ImageLayer) and not is_ours(layer)]


def add_image(viewer: ViewerModel, image: Image) -> tuple[ImageLayer, ...]:
    """Show an opened image at its position in the world, below what was predicted.

    Colours are shown as such. Channels of OME-Zarr become layers, as where the file is opened by itself;
    those of other files lie along an axis of the layer.
    """
    added = _by_channels(image) or (ImageLayer(image.data, **layer_options(image)),)
    layers = viewer.layers
    selected = set(layers.selection)
    for layer in added:
        ours = (number for number, each in enumerate(layers) if is_ours(each))
        layers.insert(next(ours, len(layers)), layer)
    if selected:
        layers.selection = selected
    return added


def _by_channels(image: Image) -> tuple[ImageLayer, ...]:
    """Return a layer for each stored channel of an OME-Zarr image; none for other images."""
    if "c" not in image.axes or not image.uri or not is_omezarr(Path(image.uri)):
        return ()
    file = open_image(image.uri)
    options = {
        "name": [f"{file.name} {channel}" for channel in file.channel_names],
        "metadata": {SOURCE: image.uri},
        **placement_of_image(image).as_layer(),
    }
    split = split_channels(lazily(image), image.axes.index("c"), **options)
    return tuple(ImageLayer(data, **given) for data, given, _ in split)


def layer_options(image: Image) -> dict[str, Any]:
    """Return keyword arguments that place a layer of the image's data, its channel axis included."""
    colors = image.axes.endswith("c") and image.data.shape[-1] in {3, 4}
    options = {
        "name": image.name,
        "rgb": colors,
        "metadata": {SOURCE: image.uri},
        **placement_of_image(image).as_layer(),
    }
    if colors:
        return options
    if "c" not in image.axes:
        return options
    at = image.axes.index("c")
    grown = {
        name: np.insert(options[name], at, value) for name, value in (("scale", 1.0), ("translate", 0.0))
    }
    for name in ("rotate", "shear", "affine"):
        grown[name] = _with_axis(options[name], at)
    labels = list(options["axis_labels"])
    units = list(options["units"])
    labels.insert(at, "c")
    units.insert(at, "pixel")
    return {**options, **grown, "axis_labels": tuple(labels), "units": tuple(units)}


def _with_axis(matrix: Array, at: int) -> Array:
    """Return the matrix with one more axis, which it leaves alone."""
    grown = np.insert(np.insert(matrix, at, 0.0, axis=0), at, 0.0, axis=1)
    grown[at, at] = 1.0
    return grown
