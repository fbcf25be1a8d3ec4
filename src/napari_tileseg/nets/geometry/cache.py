"""Measured geometries, cached on disk under the hash of the weights."""

from __future__ import annotations

import json
import re
from dataclasses import asdict
from importlib.metadata import version
from pathlib import Path
from typing import Any

import torch

from napari_tileseg._app_dirs import cache_folder
from napari_tileseg._files import json_text, write_text
from napari_tileseg._types import Shape
from napari_tileseg.errors import NetworkError
from napari_tileseg.nets.geometry.measurement import measure
from napari_tileseg.nets.spec import Geometry
from napari_tileseg.tiling.read_shape import ReadShape

#: Most voxels that a number of an entry may stand for.
_LARGEST = 2**31
#: Raised with every change of what is measured, so that older entries are measured anew.
_VERSION = 3


def cached_geometry(
    module: torch.nn.Module,
    sha256: str | None,
    ndim: int,
    in_channels: int,
    read_shape: Shape | None = None,
) -> Geometry:
    """Return the geometry of a network as `measure` gives it, from the cache where it was measured before.

    The cache is the folder ``geometry`` in the folder that the environment variable ``TILESEG_HOME``
    names, or else in the user's cache folder. An entry that cannot be read is measured anew; where the
    cache cannot be written, nothing is stored.

    Parameters
    ----------
    module : torch.nn.Module
        The network.
    sha256 : str, optional
        Hash of all that decides what it computes, code and weights, 64 hexadecimal digits; nothing is stored
        without.
    ndim, in_channels, read_shape
        As for `measure`.

    Raises
    ------
    NetworkError
        As `measure` does, or if the hash is not one.
    """
    if sha256 is None:
        return measure(module, ndim, in_channels, read_shape)
    if not re.fullmatch(r"[0-9a-f]{64}", sha256):
        raise NetworkError(f"A SHA-256 is 64 hexadecimal digits in lower case; got {sha256!r}.")
    path = cache_folder() / "geometry" / f"{sha256}-{ndim}d-{in_channels}c.json"
    asked = {"programs": _programs(), "read_shape": None if read_shape is None else list(read_shape)}
    known = _load(path, ndim, asked)
    if known is not None:
        return known
    geometry = measure(module, ndim, in_channels, read_shape)
    _save(path, geometry, asked)
    return geometry


def _programs() -> dict[str, str]:
    """Return the versions of what builds and runs networks, on which it depends what a file computes."""
    return {name: version(name) for name in ("napari-tileseg", "torch", "monai")}


def _load(path: Path, ndim: int, asked: dict[str, Any]) -> Geometry | None:
    try:
        entry = json.loads(path.read_text(encoding="utf-8"))
        if entry["version"] != _VERSION or entry["asked"] != asked:
            return None
        geometry = _parsed(entry["geometry"])
    except Exception:  # noqa: BLE001 - whatever is wrong with an entry, it is measured anew
        return None
    return geometry if _is_possible(geometry, ndim) else None


def _is_possible(geometry: Geometry, ndim: int) -> bool:
    """Return whether an entry has one number for each axis, of a size that a network may have."""
    read, halo, extent = geometry.read, geometry.halo, geometry.receptive_field
    lengths = (geometry.stride, read.minimum, read.step, extent or (1,) * ndim)
    sides = halo or ((0, 0),) * ndim
    return (
        all(len(each) == ndim and all(1 <= n <= _LARGEST for n in each) for each in lengths)
        and len(sides) == ndim
        and all(0 <= n <= _LARGEST for pair in sides for n in pair)
    )


def _parsed(entry: dict[str, Any]) -> Geometry:
    read, halo, extent = entry["read"], entry["halo"], entry["receptive_field"]
    return Geometry(
        stride=_numbers(entry["stride"]),
        read=ReadShape(
            minimum=_numbers(read["minimum"]), step=_numbers(read["step"]), fixed=bool(read["fixed"])
        ),
        halo=None if halo is None else tuple((int(before), int(after)) for before, after in halo),
        receptive_field=None if extent is None else _numbers(extent),
        shift_equivariant=bool(entry["shift_equivariant"]),
        random=bool(entry["random"]),
    )


def _numbers(values: list[Any]) -> Shape:
    return tuple(int(value) for value in values)


def _save(path: Path, geometry: Geometry, asked: dict[str, Any]) -> None:
    text = json_text({"version": _VERSION, "asked": asked, "geometry": asdict(geometry)}, indent=None)
    try:
        write_text(path, text)
    except OSError:
        # A cache that cannot be written costs time, not results.
        return
