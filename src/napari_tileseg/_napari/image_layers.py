"""Image layers that can be predicted."""

from __future__ import annotations

from typing import Any

import numpy as np
from napari.components import ViewerModel
from napari.layers import Image as ImageLayer

from napari_tileseg._napari.images.layer_file import SOURCE
from napari_tileseg._napari.images.layer_image import placement_of_image
from napari_tileseg._napari.results.result_layers import is_ours
from napari_tileseg._types import Array
from napari_tileseg.images.image import Image


def image_layers(viewer: ViewerModel) -> list[ImageLayer]:
    """Return the image layers of a viewer, in the order of its list, without those that show predictions."""
    return [layer for layer in viewer.layers if isinstance(layer, ImageLayer) and not is_ours(layer)]


def add_image(viewer: ViewerModel, image: Image) -> ImageLayer:
    """Show an opened image at its position in the world, below what was predicted.

    Colours are shown as such; other channels lie along an axis of the layer.
    """
    layer = ImageLayer(image.data, **layer_options(image))
    layers = viewer.layers
    ours = (number for number, each in enumerate(layers) if is_ours(each))
    selected = set(layers.selection)
    layers.insert(next(ours, len(layers)), layer)
    if selected:
        layers.selection = selected
    return layer


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
