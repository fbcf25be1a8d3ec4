"""The files of a stored prediction: an OME-Zarr 0.5 image and, until it is complete, a journal."""

from __future__ import annotations

import errno
import json
import operator
from collections.abc import Iterator
from contextlib import contextmanager
from math import prod
from pathlib import Path
from typing import Any, Literal

import numpy as np
import zarr
from zarr.core.array_spec import ArrayConfig
from zarr.storage import LocalStore

from napari_tileseg._drafts import drafted, is_vacant
from napari_tileseg._outputs import check_room
from napari_tileseg._types import Shape
from napari_tileseg.errors import StoreError, is_of_memory
from napari_tileseg.images.image import Image
from napari_tileseg.images.omezarr_metadata import stored_axes, with_channel
from napari_tileseg.images.ordinary_store import OrdinaryStore
from napari_tileseg.images.resample import origin_of
from napari_tileseg.images.units import voxel_size_in_micrometers
from napari_tileseg.prediction.plan.plan import Plan
from napari_tileseg.prediction.store.damage import is_remains, reading, remove_remains
from napari_tileseg.prediction.store.journal import Journal
from napari_tileseg.prediction.store.metadata import multiscales
from napari_tileseg.prediction.store.pyramid import Level, plan_levels
from napari_tileseg.tiling import Box, TileGrid

#: Key of this package's attributes in the group.
OURS = "tileseg"
_FULL = {errno.ENOSPC, errno.EDQUOT, errno.EFBIG}
# Zeros are results: a chunk of them is written, so that "there is no chunk" means "not done".
_CONFIG = ArrayConfig(order="C", write_empty_chunks=True)


def data_type(dtype: str) -> np.dtype[Any]:
    """Return the type in which results of a computation are stored."""
    return np.dtype("float64" if dtype == "float64" else "float32")


@contextmanager
def writing(path: Path) -> Iterator[None]:
    """Turn a failure to write into a `StoreError` that names a cure."""
    try:
        yield
    except OSError as error:
        if is_of_memory(error):
            raise
        if error.errno in _FULL:
            raise StoreError(
                f"The disk of {path} is full. The tiles written so far are kept: free some space and run "
                "the same command again."
            ) from error
        raise StoreError(
            f"{path} cannot be written: {error}. Choose another location, or fix its permissions."
        ) from error


def levels_of(plan: Plan) -> tuple[Level, ...]:
    """Return the levels of the pyramid that a plan's result is stored in."""
    return levels_on(plan.tiles.image, plan.grid.box.shape, len(plan.classes))


def levels_on(image: Image, shape: Shape, classes: int) -> tuple[Level, ...]:
    """Return the levels of the pyramid of classes on so many voxels of an image."""
    space = voxel_size_in_micrometers(image) or image.voxel_size[-len(image.spatial_axes) :]
    sizes = with_channel((*image.voxel_size[: -len(space)], *space), image.grid_axes, 1.0)
    return plan_levels(with_channel(shape, image.grid_axes, classes), stored_axes(image.grid_axes), sizes)


def check_free_space(path: Path, plan: Plan) -> None:
    """Raise `StoreError` unless the disk of `path` has room for all levels without compression."""
    voxels = sum(prod(level.shape) for level in levels_of(plan))
    resampled = origin_of(plan.tiles.image)[0] is not plan.tiles.image
    cure = "check the voxel sizes, as the image is resampled, or predict a box"
    check_room(
        path,
        voxels * data_type(plan.dtype).itemsize,
        "The prediction",
        cure if resampled else "or predict a box",
    )


def create(path: Path, plan: Plan, identity: dict[str, Any], about: dict[str, Any]) -> None:
    """Lay out an empty store; it appears at `path` as a whole or not at all.

    What somebody else has laid out there meanwhile stays.

    Raises
    ------
    StoreError
        If it cannot be written.
    """
    levels = levels_of(plan)
    with writing(path), drafted(path) as draft:
        if is_remains(path):
            remove_remains(path)
        elif not is_vacant(path):
            return
        _lay_out(draft, plan, levels, {"identity": identity, **about, "complete": False})
        Journal(draft).add(())


def _lay_out(draft: Path, plan: Plan, levels: tuple[Level, ...], ours: dict[str, Any]) -> None:
    group = zarr.create_group(store=str(draft), zarr_format=3)
    for number, level in enumerate(levels):
        _lay_out_level(group, number, level, plan)
    group.update_attributes({"ome": multiscales(plan, levels), OURS: ours})


def _as_planned(level: Level, plan: Plan) -> tuple[Shape, Shape, np.dtype[Any]]:
    """Return shape, chunks and type of a level."""
    axes = plan.tiles.image.grid_axes
    chunk = with_channel(tuple(map(min, plan.grid.core, plan.grid.box.shape)), axes, 1)
    return level.shape, chunk, data_type(plan.dtype)


def _lay_out_level(group: zarr.Group, number: int, level: Level, plan: Plan) -> None:
    shape, chunk, dtype = _as_planned(level, plan)
    group.create_array(
        str(number),
        shape=shape,
        chunks=chunk,
        dtype=dtype,
        fill_value=float("nan"),
        dimension_names=list(stored_axes(plan.tiles.image.grid_axes)),
    )


def open_group(path: Path, mode: Literal["r", "r+"]) -> zarr.Group:
    """Open the group at `path`.

    Raises
    ------
    StoreError
        If there is none, it is not a prediction of this package, it is damaged, or it may not be read.
    """
    with reading(path):
        if not (path / "zarr.json").is_file() or _is_foreign(path / "zarr.json"):
            raise _something_else(path)
        store = OrdinaryStore(path, read_only=mode == "r")
        group = zarr.open_group(store, mode=mode, zarr_format=3)
        if not isinstance(group.attrs[OURS], dict):
            raise TypeError(f"{OURS} should be an object in its attributes")
    return group


def _is_foreign(file: Path) -> bool:
    """Return whether metadata are whole, and those of something else than a prediction."""
    values = json.loads(file.read_text(encoding="utf-8"))
    if not isinstance(values, dict) or values.get("node_type") == "array":
        return True
    attributes = values.get("attributes", {})
    return isinstance(attributes, dict) and OURS not in attributes


def _something_else(path: Path) -> StoreError:
    with writing(path):
        came = "holds something else, which was not touched" if path.exists() else "does not exist"
    return StoreError(
        f"{path} should be a prediction that napari-tileseg wrote; it {came}. Choose another location."
    )


def open_level(group: zarr.Group, number: int) -> zarr.Array[Any]:
    """Open the array of a level; chunks of zeros are written, too.

    Raises
    ------
    StoreError
        If its metadata are damaged.
    """
    with reading(_path_of(group)):
        return zarr.open_array(group.store_path / str(number), mode="r+", config=_CONFIG)


def _path_of(group: zarr.Group) -> Path:
    store = group.store_path.store
    assert isinstance(store, LocalStore)
    return store.root


def missing_levels(path: Path, plan: Plan) -> list[int]:
    """Return the numbers of the levels whose folder somebody has removed."""
    return [n for n in range(len(levels_of(plan))) if not (path / str(n) / "zarr.json").exists()]


def repair_levels(path: Path, group: zarr.Group, plan: Plan) -> bool:
    """Lay out levels whose folder somebody has removed, and refuse those that are not the plan's.

    Returns
    -------
    bool
        Whether there were some: they are empty now.

    Raises
    ------
    StoreError
        If a level is damaged, or cannot be written.
    """
    missing, levels = missing_levels(path, plan), levels_of(plan)
    for number in missing:
        with writing(path):
            _lay_out_level(group, number, levels[number], plan)
    check_levels(path, group, plan)
    return bool(missing)


def check_levels(path: Path, group: zarr.Group, plan: Plan) -> None:
    """Raise `StoreError` where a level is absent, damaged, or not the plan's."""
    for number, level in enumerate(levels_of(plan)):
        found = open_level(group, number)
        with reading(path):
            if (found.shape, found.chunks, found.dtype) != _as_planned(level, plan):
                raise ValueError(f"level {number} is of another shape or type than was begun")


def is_complete(group: zarr.Group) -> bool:
    """Return whether every tile and level of a store is there."""
    return bool(own_attributes(group).get("complete"))


def has_chunks(path: Path, array: zarr.Array[Any], index: Shape, grid_axes: str) -> bool:
    """Return whether the chunk of a tile is there for every class."""
    return all(file.is_file() for file in chunk_files(path, array, index, grid_axes))


def chunk_files(path: Path, array: zarr.Array[Any], index: Shape, grid_axes: str) -> list[Path]:
    """Return the files of a tile, one for each class; a chunk of level 0 has its tile's index."""
    classes = array.shape[stored_axes(grid_axes).index("c")]
    keys = (array.metadata.encode_chunk_key(with_channel(index, grid_axes, c)) for c in range(classes))
    return [path / "0" / key for key in keys]


def record(group: zarr.Group, **about: Any) -> None:
    """Change what a store records of its prediction, such as that it is complete."""
    group.update_attributes({OURS: {**own_attributes(group), **about}})


def own_attributes(group: zarr.Group) -> dict[str, Any]:
    """Return our own attributes of a prediction, beside those of OME-Zarr."""
    attributes: Any = group.attrs[OURS]
    return dict(attributes)


def grid_of(values: dict[str, Any]) -> TileGrid:
    """Build the tiles from the plain values in which a store describes them.

    Raises
    ------
    KeyError, TypeError, ValueError
        If the values describe none.
    """

    def whole(numbers: Any) -> Shape:
        return tuple(map(operator.index, numbers))

    box = values["box"]
    return TileGrid(
        shape=whole(values["shape"]),
        core=whole(values["core"]),
        halo=tuple((operator.index(a), operator.index(b)) for a, b in values["halo"]),
        stride=whole(values["stride"]),
        minimum=whole(values["minimum"]),
        box=Box(whole(box["start"]), whole(box["stop"])),
    )
