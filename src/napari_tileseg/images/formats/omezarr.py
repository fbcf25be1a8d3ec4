"""OME-Zarr 0.4 and 0.5 images and label images (and 0.1 to 0.3, which say less).

Specification: https://ngff.openmicroscopy.org/0.5/. Levels keep the index they have in the metadata.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import zarr

from napari_tileseg._types import Shape
from napari_tileseg.errors import ImageError
from napari_tileseg.images.formats.format import Format, Location, Stored
from napari_tileseg.images.formats.zarr_array import open_node
from napari_tileseg.images.units import unit_name

_TYPES = {"time": "t", "channel": "c"}


def _attributes(group: zarr.Group) -> Mapping[str, Any]:
    attributes = group.attrs.asdict()
    inner = attributes.get("ome")
    return inner if isinstance(inner, Mapping) else attributes


def _recognises(location: Location) -> bool:
    node = open_node(location)
    return isinstance(node, zarr.Group) and bool(_attributes(node).get("multiscales"))


def _group(location: Location) -> tuple[zarr.Group, Mapping[str, Any]]:
    node = open_node(location)
    if not isinstance(node, zarr.Group):
        raise ImageError(f"{location.path} should be an OME-Zarr group; it has changed since it was opened.")
    try:
        multiscale = _attributes(node)["multiscales"][0]
        paths = [dataset["path"] for dataset in multiscale["datasets"]]
    except (KeyError, IndexError, TypeError) as error:
        raise ImageError(
            f"{location.path} should list its levels in multiscales[0].datasets, each with a path; "
            f"its metadata lack {error}."
        ) from error
    if not paths:
        raise ImageError(f"{location.path} should list at least one level; its metadata list none.")
    return node, multiscale


def _arrays(location: Location) -> list[tuple[str, zarr.Array[Any] | None]]:
    """Path of each listed level with its array, None where that is missing."""
    group, multiscale = _group(location)
    found = []
    for dataset in multiscale["datasets"]:
        try:
            node = group.get(str(dataset["path"]))
        except (ValueError, TypeError, OSError) as error:
            raise ImageError(
                f"{location.path / str(dataset['path'])} should be a zarr array; its metadata cannot be "
                f"read ({error}). Copy it again, or choose another level."
            ) from error
        found.append((str(dataset["path"]), node if isinstance(node, zarr.Array) else None))
    return found


def _levels(location: Location) -> tuple[Shape, ...]:
    return tuple(() if array is None else tuple(array.shape) for _, array in _arrays(location))


def _open(location: Location, level: int) -> Stored:
    group, multiscale = _group(location)
    arrays = _arrays(location)
    array = arrays[level][1]
    if array is None:
        raise ImageError(_missing(location, level, arrays))
    axes = _axes(multiscale.get("axes"), array.ndim)
    scale, translation = _placement(multiscale, level, array.ndim, location)
    return Stored(
        data=array,
        axes=axes,
        scale=dict(zip(axes, scale, strict=True)),
        translation=dict(zip(axes, translation, strict=True)),
        units=_units(multiscale.get("axes"), axes),
        channel_names=_channel_names(_attributes(group)),
        name=str(multiscale.get("name") or "").strip("/"),
    )


def _missing(location: Location, level: int, arrays: Sequence[tuple[str, zarr.Array[Any] | None]]) -> str:
    path = arrays[level][0]
    present = [(index, p, a.shape) for index, (p, a) in enumerate(arrays) if a is not None]
    if not present:
        paths = ", ".join(listed for listed, _ in arrays)
        return f"{location.path} lists levels at {paths}; all are missing. Copy it again."
    listed = ", ".join(f"{index} (path {p!r}, shape {tuple(shape)})" for index, p, shape in present)
    return (
        f"{location.path} lists level {level} at path {path!r}, which is missing; the levels present are "
        f"{listed}. Use --level {present[0][0]}, or put the missing level back."
    )


def _axes(axes: Any, ndim: int) -> str:
    if not isinstance(axes, Sequence) or len(axes) != ndim:
        return "?" * ndim
    letters = [_letter(axis) for axis in axes]
    given = [letter for letter in letters if letter != "?"]
    return "".join(letters) if len(set(given)) == len(given) else "?" * ndim


def _letter(axis: Any) -> str:
    named = axis if isinstance(axis, Mapping) else {"name": axis}
    name = str(named.get("name", "")).lower()
    return name if name in set("tczyx") else _TYPES.get(str(named.get("type")), "?")


def _units(axes: Any, letters: str) -> dict[str, str]:
    if not isinstance(axes, Sequence) or len(axes) != len(letters):
        return {}
    return {
        letter: unit_name(axis["unit"])
        for letter, axis in zip(letters, axes, strict=True)
        if isinstance(axis, Mapping) and axis.get("unit")
    }


def _placement(
    multiscale: Mapping[str, Any], level: int, ndim: int, location: Location
) -> tuple[list[float], list[float]]:
    """Scale and translation of a level: its own transformations, then those of all levels."""
    scale, translation = [1.0] * ndim, [0.0] * ndim
    for owner in (multiscale["datasets"][level], multiscale):
        for transformation in owner.get("coordinateTransformations") or ():
            kind = transformation.get("type")
            values = transformation.get(kind, ()) if kind != "identity" else None
            if values is None:
                continue
            if kind not in {"scale", "translation"} or len(values) != ndim:
                raise ImageError(
                    f"{location.path} should place level {level} by a scale and a translation of {ndim} "
                    f"numbers; got {dict(transformation)}."
                )
            if kind == "scale":
                scale = [a * float(b) for a, b in zip(scale, values, strict=True)]
                translation = [a * float(b) for a, b in zip(translation, values, strict=True)]
            else:
                translation = [a + float(b) for a, b in zip(translation, values, strict=True)]
    return scale, translation


def _channel_names(attributes: Mapping[str, Any]) -> tuple[str, ...]:
    omero = attributes.get("omero")
    channels = omero.get("channels", ()) if isinstance(omero, Mapping) else ()
    return tuple(str(channel.get("label", index)) for index, channel in enumerate(channels))


OME_ZARR = Format("OME-Zarr", _recognises, _levels, _open)
