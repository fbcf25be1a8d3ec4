"""OME-Zarr images as layers: one for each channel, with all levels, at their position, and their labels."""

from __future__ import annotations

from math import prod
from pathlib import Path
from typing import Any

from napari_tileseg._napari.images.layer_image import lazily, placement_of_image
from napari_tileseg.images import list_levels, open_image
from napari_tileseg.images.formats.omezarr import is_label_image, label_images
from napari_tileseg.images.image import Image
from napari_tileseg.settings import ImageSettings

LayerData = tuple[Any, dict[str, Any], str]


def read_omezarr(path: str) -> list[LayerData]:
    """Read an image or a label image lazily; the labels of an image are hidden at first.

    Raises
    ------
    ImageError
        If its metadata are broken, its version is not known, or no level is there.
    """
    own = _layer(Path(path), labels=is_label_image(Path(path)))
    labels = [_layer(each, labels=True) for each in label_images(Path(path))]
    return [own, *((data, {**options, "visible": False}, kind) for data, options, kind in labels)]


def _layer(path: Path, *, labels: bool) -> LayerData:
    levels = _levels(path)
    finest = levels[0]
    arrays = [lazily(each) for each in levels]
    data = arrays if len(arrays) > 1 else arrays[0]
    placed = placement_of_image(finest).as_layer()
    options = {**placed, "name": finest.name, "multiscale": len(arrays) > 1}
    if labels and finest.dtype.kind in "bui" and "c" not in finest.axes:
        return data, options, "labels"
    if "c" not in finest.axes:
        return data, options, "image"
    names = [f"{finest.name} {channel}" for channel in finest.channel_names]
    return data, {**options, "channel_axis": finest.axes.index("c"), "name": names}, "image"


def _levels(path: Path) -> list[Image]:
    """Return the levels that are there, each smaller than the one before, as napari wants them."""
    found: list[Image] = []
    for number, shape in enumerate(list_levels(path)):
        if shape and (not found or prod(shape) < prod(found[-1].data.shape)):
            found.append(open_image(path, ImageSettings(level=number)))
    # Where none is there, opening one raises.
    return found or [open_image(path)]
