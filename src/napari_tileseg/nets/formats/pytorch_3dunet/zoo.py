"""What the zoo of PlantSeg and PanSeg records of a network: the voxel size."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import PurePosixPath
from typing import Any

from napari_tileseg.nets.formats.bioimageio.values import entries, mapping, number

#: Names of its files.
NAMES = ("models_zoo.yaml", "custom_zoo.yaml")


def voxel_size_of(records: Any, folder: str, checkpoint: str, ndim: int) -> tuple[float, ...] | None:
    """Return the voxel size in micrometers along each axis that the record of a network states, if any.

    Parameters
    ----------
    records : object
        What a file of the zoo holds, untrusted: records by the names of networks.
    folder, checkpoint : str
        Names of the network's folder and of its weights.
    ndim : int
        Axes of the network; a record has three.
    """
    known = mapping(records)
    record = mapping(known.get(folder)) or next(
        (mapping(each) for each in known.values() if _is_of(mapping(each), checkpoint)), {}
    )
    sizes = tuple(number(each) for each in entries(record.get("resolution")))
    plain = tuple(each for each in sizes if each is not None and each > 0)
    return plain[-ndim:] if len(plain) == len(sizes) >= ndim else None


def _is_of(record: Mapping[str, Any], checkpoint: str) -> bool:
    return PurePosixPath(str(record.get("model_url"))).name == checkpoint
