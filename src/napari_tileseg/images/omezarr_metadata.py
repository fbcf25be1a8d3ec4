"""The metadata of OME-Zarr 0.5 images that are written: axes, levels, position, channels."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from napari_tileseg.images.image import Image
from napari_tileseg.tiling import Box

_VERSION = "0.5"
_TYPES = {"t": "time", "c": "channel"}


def image_attributes(
    name: str, axes: Sequence[Mapping[str, str]], datasets: Sequence[Mapping[str, Any]], **more: Any
) -> dict[str, Any]:
    """Return what the key ``ome`` of an image's group holds.

    Parameters
    ----------
    name : str
        What the image is called.
    axes : sequence of mapping
        As `axis_entry` describes them, in the order of the arrays.
    datasets : sequence of mapping
        As `dataset_entry` describes them, the finest first.
    **more
        Further entries, such as ``omero``.
    """
    multiscale = {"name": name, "axes": list(axes), "datasets": list(datasets)}
    return {"version": _VERSION, "multiscales": [multiscale], **more}


def labels_attributes(names: Sequence[str]) -> dict[str, Any]:
    """Return what the key ``ome`` of a group of label images holds."""
    return {"version": _VERSION, "labels": list(names)}


def label_entry(values: Sequence[tuple[int, str, Sequence[int]]]) -> dict[str, Any]:
    """Return the entry ``image-label`` of an image: value, name and RGB color (0 to 255) of each class."""
    return {
        "version": _VERSION,
        "colors": [{"label-value": value, "rgba": [*color, 255]} for value, _, color in values],
        "properties": [{"label-value": value, "class": name} for value, name, _ in values],
    }


def axis_entry(name: str, unit: str | None = None) -> dict[str, str]:
    """Describe an axis; a unit that is unknown, or pixels, is left out."""
    known = {} if unit in {None, "pixel"} else {"unit": str(unit)}
    return {"name": name, "type": _TYPES.get(name, "space"), **known}


def dataset_entry(
    path: str, scale: Sequence[float], translation: Sequence[float] | None = None
) -> dict[str, Any]:
    """Describe a level: voxel size, and where the centre of the first voxel lies, along each axis."""
    transformations = [{"type": "scale", "scale": list(scale)}]
    if translation is not None:
        transformations.append({"type": "translation", "translation": list(translation)})
    return {"path": path, "coordinateTransformations": transformations}


def omero_entry(names: Sequence[str], colors: Sequence[str]) -> dict[str, Any]:
    """Return the entry ``omero``: channels of probabilities; colors (hexadecimal RGB) are used in turn."""
    return {
        "channels": [
            {
                "label": name,
                "color": colors[number % len(colors)],
                "active": True,
                "window": {"min": 0.0, "max": 1.0, "start": 0.0, "end": 1.0},
            }
            for number, name in enumerate(names)
        ]
    }


def stored_axes(grid_axes: str) -> str:
    """Return the axes of a stored array: time, channel, space, as OME-Zarr orders them.

    Examples
    --------
    >>> stored_axes("tyx"), stored_axes("zyx")
    ('tcyx', 'czyx')
    """
    return grid_axes.replace("t", "tc") if "t" in grid_axes else "c" + grid_axes


def with_channel(values: tuple[Any, ...], grid_axes: str, channel: Any) -> tuple[Any, ...]:
    """Return values of the grid axes in the order of `stored_axes`, with one for the channel axis.

    Examples
    --------
    >>> with_channel((4, 32, 48), "tyx", 2)
    (4, 2, 32, 48)
    """
    index = stored_axes(grid_axes).index("c")
    return (*values[:index], channel, *values[index:])


def position_of(image: Image, box: Box) -> tuple[float, ...]:
    """Return the world position, before `affine`, of the first voxel of a box."""
    steps = zip(image.translation, box.start, image.voxel_size, strict=True)
    return tuple(offset + start * size for offset, start, size in steps)
