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
from napari_tileseg._types import Halo, Shape
from napari_tileseg.errors import NetworkError
from napari_tileseg.nets.geometry.measurement import Measurement, measure
from napari_tileseg.nets.geometry.runner import check_numbers
from napari_tileseg.nets.spec import Geometry
from napari_tileseg.tiling.read_shape import ReadShape

#: Most voxels that a number of an entry may stand for.
_LARGEST = 2**31
#: Raised with every change of what is measured, so that older entries are measured anew.
_VERSION = 4


def cached_measurement(
    module: torch.nn.Module,
    sha256: str | None,
    ndim: int,
    in_channels: int,
    read_shape: Shape | None = None,
    *,
    layers: str | None = None,
) -> Measurement:
    """Return what `measure` finds out of a network, from the cache where it was found out before.

    What follows from a network's operations holds for all weights, and is cached under the hash of its
    layers; what was measured by probes under the hash of the network.

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
    layers : str, optional
        Hash of all that decides what it computes but the numbers in its weights.

    Raises
    ------
    NetworkError
        As `measure` does, or if a hash is not one.
    """
    if sha256 is None:
        return measure(module, ndim, in_channels, read_shape)
    asked = {"programs": _programs(), "read_shape": None if read_shape is None else list(read_shape)}
    paths = {key: _path(key, ndim, in_channels) for key in (sha256, layers) if key is not None}
    known = _load(paths[sha256], ndim, asked)
    if known is not None:
        return known
    known = None if layers is None else _load(paths[layers], ndim, asked)
    if known is not None:
        check_numbers(module, known.geometry.read.minimum, in_channels)
    found = known or measure(module, ndim, in_channels, read_shape)
    for key, path in paths.items():
        if key == sha256 or found.derived:
            _save(path, found, asked)
    return found


def _path(sha256: str, ndim: int, in_channels: int) -> Path:
    if not re.fullmatch(r"[0-9a-f]{64}", sha256):
        raise NetworkError(f"A SHA-256 is 64 hexadecimal digits in lower case; got {sha256!r}.")
    return cache_folder() / "geometry" / f"{sha256}-{ndim}d-{in_channels}c.json"


def _programs() -> dict[str, str]:
    """Return the versions of what builds and runs networks, on which it depends what a file computes."""
    return {name: version(name) for name in ("napari-tileseg", "torch", "monai")}


def _load(path: Path, ndim: int, asked: dict[str, Any]) -> Measurement | None:
    try:
        entry = json.loads(path.read_text(encoding="utf-8"))
        if entry["version"] != _VERSION or entry["asked"] != asked:
            return None
        layers, local = entry["global_layers"], entry["local_halo"]
        found = Measurement(
            geometry=_parsed(entry["geometry"]),
            derived=bool(entry["derived"]),
            local_halo=None if local is None else _sides(local),
            global_layers=None if layers is None else tuple(map(str, layers)),
        )
    except Exception:  # noqa: BLE001 - whatever is wrong with an entry, it is measured anew
        return None
    return found if _is_possible(found, ndim) else None


def _is_possible(found: Measurement, ndim: int) -> bool:
    """Return whether an entry has one number for each axis, of a size that a network may have."""
    geometry = found.geometry
    lengths = (geometry.stride, geometry.read.minimum, geometry.read.step)
    halos = (halo for halo in (geometry.halo, found.local_halo) if halo is not None)
    return all(
        len(each) == ndim and all(1 <= n <= _LARGEST for n in each)
        for each in (*lengths, geometry.receptive_field or (1,) * ndim)
    ) and all(len(halo) == ndim and all(0 <= n <= _LARGEST for pair in halo for n in pair) for halo in halos)


def _parsed(entry: dict[str, Any]) -> Geometry:
    read, halo, extent = entry["read"], entry["halo"], entry["receptive_field"]
    return Geometry(
        stride=_numbers(entry["stride"]),
        read=ReadShape(
            minimum=_numbers(read["minimum"]), step=_numbers(read["step"]), fixed=bool(read["fixed"])
        ),
        halo=None if halo is None else _sides(halo),
        receptive_field=None if extent is None else _numbers(extent),
        shift_equivariant=bool(entry["shift_equivariant"]),
        random=bool(entry["random"]),
    )


def _numbers(values: list[Any]) -> Shape:
    return tuple(int(value) for value in values)


def _sides(values: list[Any]) -> Halo:
    return tuple((int(before), int(after)) for before, after in values)


def _save(path: Path, found: Measurement, asked: dict[str, Any]) -> None:
    text = json_text({"version": _VERSION, "asked": asked, **asdict(found)}, indent=None)
    try:
        write_text(path, text)
    except OSError:
        # A cache that cannot be written costs time, not results.
        return
