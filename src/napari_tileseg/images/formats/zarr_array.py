"""A zarr array (version 2 or 3) in its own folder."""

from __future__ import annotations

from typing import Any

import zarr

from napari_tileseg._types import Shape
from napari_tileseg.errors import ImageError, answering
from napari_tileseg.images.axes import letter_of
from napari_tileseg.images.formats.format import Format, Location, Stored
from napari_tileseg.images.metadata import items, text
from napari_tileseg.images.ordinary_store import OrdinaryStore

_MARKERS = ("zarr.json", ".zarray", ".zgroup", ".zattrs")


def open_node(location: Location) -> zarr.Array[Any] | zarr.Group | None:
    """Return the array or group in a folder; None where there is neither.

    Raises
    ------
    ImageError
        If its metadata cannot be read.
    """
    folder = location.path
    if not folder.is_dir() or not any((folder / marker).is_file() for marker in _MARKERS):
        return None
    with answering(
        ImageError, f"{folder} should be a zarr array or group", "Its metadata are damaged: copy it again."
    ):
        # Consolidated metadata may list what has since been deleted, which would be read as zeros.
        return zarr.open(OrdinaryStore(folder, read_only=True), mode="r", use_consolidated=False)


def _recognises(location: Location) -> bool:
    return open_node(location) is not None


def _array(location: Location) -> zarr.Array[Any]:
    node = open_node(location)
    if isinstance(node, zarr.Array):
        return node
    inside = [] if node is None else sorted(name for name, _ in node.members())
    raise ImageError(
        f"{location.path} should be a zarr array or an OME-Zarr image; it is a group of other things"
        + (f". Name one of: {', '.join(str(location.path / name) for name in inside)}." if inside else ".")
    )


def _levels(location: Location) -> tuple[Shape, ...]:
    return (tuple(_array(location).shape),)


def _open(location: Location, _level: int) -> Stored:
    array = _array(location)
    names = getattr(array.metadata, "dimension_names", None) or array.attrs.get("_ARRAY_DIMENSIONS")
    letters = [letter_of(text(name)) for name in items(names)]
    known = len(letters) == array.ndim == len(set(letters)) and all(letters)
    return Stored(data=array, axes="".join(letters) if known else "?" * array.ndim)


ZARR_ARRAY = Format("a zarr array", _recognises, _levels, _open)
