"""OME-Zarr images and label images, of versions 0.1 to 0.6.

Specification: https://ngff.openmicroscopy.org/. Levels keep the index they have in the metadata.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import zarr

from napari_tileseg._types import Shape
from napari_tileseg._words import by_axis
from napari_tileseg.errors import ImageError, answering
from napari_tileseg.images.formats.format import Format, Location, Stored
from napari_tileseg.images.formats.omezarr_axes import check_version, level_axes
from napari_tileseg.images.formats.zarr_array import open_node
from napari_tileseg.images.metadata import items, mapping, text


def _attributes(group: zarr.Group) -> Mapping[str, Any]:
    attributes = mapping(group.attrs.asdict())
    inner = attributes.get("ome")
    return inner if isinstance(inner, Mapping) else attributes


def _recognises(location: Location) -> bool:
    node = open_node(location)
    return isinstance(node, zarr.Group) and bool(_attributes(node).get("multiscales"))


def is_omezarr(path: Path) -> bool:
    """Return whether a folder is an OME-Zarr image or label image.

    Raises
    ------
    ImageError
        If it is a zarr group whose metadata cannot be read.
    """
    return _recognises(Location(path))


def is_label_image(path: Path) -> bool:
    """Return whether an OME-Zarr image holds labels."""
    node = open_node(Location(path))
    return isinstance(node, zarr.Group) and "image-label" in _attributes(node)


def label_images(path: Path) -> tuple[Path, ...]:
    """Return the folders of the label images that an OME-Zarr image lists and has."""
    node = open_node(Location(path / "labels"))
    names = items(_attributes(node).get("labels")) if isinstance(node, zarr.Group) else ()
    folders = [path / "labels" / name for name in map(text, names) if name and ".." not in Path(name).parts]
    return tuple(folder for folder in folders if is_omezarr(folder))


def _group(location: Location) -> tuple[zarr.Group, Mapping[str, Any]]:
    node = open_node(location)
    if not isinstance(node, zarr.Group):
        raise ImageError(f"{location.path} should be an OME-Zarr group; it has changed since it was opened.")
    attributes = _attributes(node)
    multiscale = mapping(next(iter(items(attributes.get("multiscales"))), None))
    check_version(attributes, multiscale, location.path)
    if not any(_paths(multiscale)):
        raise ImageError(
            f"{location.path} should list its levels in multiscales[0].datasets, each with a path; its "
            "metadata list none. Copy it again, or open the array of a level by itself."
        )
    return node, multiscale


def _paths(multiscale: Mapping[str, Any]) -> list[str]:
    """Return the path of each listed level; empty where it has none."""
    return [text(mapping(each).get("path")) for each in items(multiscale.get("datasets"))]


def _arrays(location: Location) -> list[tuple[str, zarr.Array[Any] | None]]:
    """Return the path of each listed level with its array, None where that is missing."""
    group, multiscale = _group(location)
    found = []
    for path in _paths(multiscale):
        what = f"{location.path / path} should be a zarr array; its metadata are damaged"
        with answering(ImageError, what, "Copy it again, or choose another level."):
            node = group.get(path) if path else None
        found.append((path, node if isinstance(node, zarr.Array) else None))
    return found


def _levels(location: Location) -> tuple[Shape, ...]:
    return tuple(() if array is None else tuple(array.shape) for _, array in _arrays(location))


def _open(location: Location, level: int) -> Stored:
    group, multiscale = _group(location)
    arrays = _arrays(location)
    array = arrays[level][1]
    if array is None:
        raise ImageError(_missing(location, level, arrays))
    axes = level_axes(multiscale, level, array.ndim)
    others = len(items(_attributes(group).get("multiscales"))) - 1
    return Stored(
        data=array,
        axes=axes.letters,
        calibration=axes.calibration,
        factors=_factors(axes.letters, arrays[0][1], array),
        channel_names=_channel_names(_attributes(group)),
        name=text(multiscale.get("name")).strip("/"),
        notes=(*axes.notes, *([f"The group holds {others + 1} images; the first is opened."] * (others > 0))),
    )


def _factors(letters: str, finest: zarr.Array[Any] | None, array: zarr.Array[Any]) -> dict[str, float]:
    """Return the voxels of the first level to one voxel of this one, along the axes of space."""
    if finest is None or finest.ndim != array.ndim:
        return {}
    sizes = zip(letters, finest.shape, array.shape, strict=True)
    return {axis: full / coarse for axis, full, coarse in sizes if axis in set("zyx") and full and coarse}


def _missing(location: Location, level: int, arrays: Sequence[tuple[str, zarr.Array[Any] | None]]) -> str:
    path = arrays[level][0]
    present = [(index, p, a.shape) for index, (p, a) in enumerate(arrays) if a is not None]
    if not present:
        paths = ", ".join(listed for listed, _ in arrays)
        return f"{location.path} lists levels at {paths}; all are missing. Copy it again."
    listed = ", ".join(f"{index} (path {p!r}, shape {by_axis(shape)})" for index, p, shape in present)
    return (
        f"{location.path} lists level {level} at path {path!r}, which is missing; the levels present are "
        f"{listed}. Use --level {present[0][0]}, or put the missing level back."
    )


def _channel_names(attributes: Mapping[str, Any]) -> tuple[str, ...]:
    channels = items(mapping(attributes.get("omero")).get("channels"))
    return tuple(text(mapping(each).get("label")) or str(index) for index, each in enumerate(channels))


OME_ZARR = Format("OME-Zarr", _recognises, _levels, _open)
