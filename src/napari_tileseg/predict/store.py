"""The files of a stored prediction: an OME-Zarr 0.5 image and, until it is complete, a journal."""

from __future__ import annotations

import errno
from collections.abc import Iterator
from contextlib import contextmanager
from math import prod
from pathlib import Path
from typing import Any

import numpy as np
import zarr
from zarr.core.array_spec import ArrayConfig
from zarr.errors import BaseZarrError

from napari_tileseg._drafts import drafted, is_vacant
from napari_tileseg._outputs import check_room
from napari_tileseg._types import Shape
from napari_tileseg.errors import StoreError
from napari_tileseg.images.image import Image
from napari_tileseg.images.resample import origin_of
from napari_tileseg.images.units import voxel_size_in_micrometers
from napari_tileseg.predict.journal import Journal
from napari_tileseg.predict.layout import TilePlan
from napari_tileseg.predict.plan import Plan
from napari_tileseg.predict.pyramid import Level, plan_levels
from napari_tileseg.tiling import Box

#: Key of our own attributes in the group.
OURS = "tileseg"
_FULL = {errno.ENOSPC, errno.EDQUOT, errno.EFBIG}
# Zeros are results: a chunk of them is written, so that "there is no chunk" means "not done".
_CONFIG = ArrayConfig(order="C", write_empty_chunks=True)


def stored_axes(grid_axes: str) -> str:
    """Axes of the stored array: time, channel, space, as OME-Zarr orders them."""
    return grid_axes.replace("t", "tc") if "t" in grid_axes else "c" + grid_axes


def stored(values: tuple[Any, ...], grid_axes: str, channel: Any) -> tuple[Any, ...]:
    """`values` of the grid axes, with that of the channel put in its place."""
    place = stored_axes(grid_axes).index("c")
    return (*values[:place], channel, *values[place:])


def data_type(dtype: str) -> np.dtype[Any]:
    """Type in which results of a computation are kept."""
    return np.dtype("float64" if dtype == "float64" else "float32")


@contextmanager
def writing(path: Path) -> Iterator[None]:
    """Turn a failure to write into a `StoreError` that says what to do."""
    try:
        yield
    except OSError as error:
        if error.errno in _FULL:
            raise StoreError(
                f"The disk of {path} is full. The tiles written so far are kept: free some space and run "
                "the same command again."
            ) from error
        raise StoreError(f"{path} cannot be written: {error}. Choose another place, or mend it.") from error


def place(image: Image, box: Box) -> tuple[float, ...]:
    """World position, before `affine`, of the first voxel of a box."""
    steps = zip(image.translation, box.start, image.voxel_size, strict=True)
    return tuple(offset + start * size for offset, start, size in steps)


def levels_of(tiles: TilePlan, classes: int) -> tuple[Level, ...]:
    """Levels that a result of so many classes is stored in."""
    image = tiles.image
    shape = stored(tiles.grid.box.shape, image.grid_axes, classes)
    space = voxel_size_in_micrometers(image) or image.voxel_size[-len(image.spatial_axes) :]
    sizes = (*image.voxel_size[: -len(space)], *space)
    size = stored(sizes, image.grid_axes, 1.0)
    return plan_levels(shape, stored_axes(image.grid_axes), size)


def check_free_space(path: Path, tiles: TilePlan, classes: int, dtype: str) -> None:
    """Raise `StoreError` unless the disk of `path` has room for all levels without compression."""
    voxels = sum(prod(level.shape) for level in levels_of(tiles, classes))
    resampled = origin_of(tiles.image)[0] is not tiles.image
    cure = "check the voxel sizes, as the image is resampled, or predict a box"
    check_room(
        path,
        voxels * data_type(dtype).itemsize,
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
    levels = levels_of(plan.tiles, len(plan.classes))
    with writing(path), drafted(path) as draft:
        if not is_vacant(path):
            return
        _lay_out(draft, plan, levels, {"identity": identity, **about, "complete": False})
        Journal(draft).add(())


def _lay_out(draft: Path, plan: Plan, levels: tuple[Level, ...], ours: dict[str, Any]) -> None:
    axes = plan.tiles.image.grid_axes
    chunk = stored(tuple(map(min, plan.grid.core, plan.grid.box.shape)), axes, 1)
    group = zarr.create_group(store=str(draft), zarr_format=3)
    for number, level in enumerate(levels):
        group.create_array(
            str(number),
            shape=level.shape,
            chunks=chunk,
            dtype=data_type(plan.dtype),
            fill_value=float("nan"),
            dimension_names=list(stored_axes(axes)),
        )
    group.update_attributes({"ome": _multiscales(plan, levels), OURS: ours})


def _multiscales(plan: Plan, levels: tuple[Level, ...]) -> dict[str, Any]:
    image, axes = plan.tiles.image, plan.tiles.image.grid_axes
    units = dict(zip(axes, image.units, strict=True))
    return {
        "version": "0.5",
        "multiscales": [
            {
                "name": image.name,
                "axes": [_axis(axis, units.get(axis)) for axis in stored_axes(axes)],
                "datasets": [_dataset(number, plan, level) for number, level in enumerate(levels)],
            }
        ],
        "omero": {
            "channels": [
                {
                    "label": name,
                    "color": _COLORS[number % len(_COLORS)],
                    "active": True,
                    "window": {"min": 0.0, "max": 1.0, "start": 0.0, "end": 1.0},
                }
                for number, name in enumerate(plan.classes)
            ]
        },
    }


_COLORS = ("00FF00", "FF00FF", "00FFFF", "FFFF00", "FF0000", "0000FF")


def _axis(axis: str, unit: str | None) -> dict[str, str]:
    kind = {"t": "time", "c": "channel"}.get(axis, "space")
    known = {} if unit in {None, "pixel"} else {"unit": str(unit)}
    return {"name": axis, "type": kind, **known}


def _dataset(number: int, plan: Plan, level: Level) -> dict[str, Any]:
    image = plan.tiles.image
    size = stored(image.voxel_size, image.grid_axes, 1.0)
    origin = stored(place(image, plan.grid.box), image.grid_axes, 0.0)
    scale = [a * f for a, f in zip(size, level.factors, strict=True)]
    # The centre of a voxel that stands for f voxels lies (f - 1) / 2 of them further.
    shift = [o + (f - 1) / 2 * a for o, f, a in zip(origin, level.factors, size, strict=True)]
    return {
        "path": str(number),
        "coordinateTransformations": [
            {"type": "scale", "scale": scale},
            {"type": "translation", "translation": shift},
        ],
    }


def open_group(path: Path, mode: str) -> zarr.Group:
    """The group at `path`.

    Raises
    ------
    StoreError
        If there is none, it is not a prediction of ours, or it may not be read.
    """
    try:
        group = zarr.open_group(str(path), mode=mode, zarr_format=3)  # type: ignore[arg-type]
    except PermissionError as error:
        raise StoreError(
            f"{path} cannot be read: {error}. Change its permissions, or choose another place."
        ) from error
    except (BaseZarrError, OSError, ValueError, KeyError) as error:
        raise _something_else(path) from error
    if not isinstance(group.attrs.get(OURS), dict):
        raise _something_else(path)
    return group


def _something_else(path: Path) -> StoreError:
    with writing(path):
        came = "holds something else, which was not touched" if path.exists() else "does not exist"
    return StoreError(
        f"{path} should be a prediction that napari-tileseg wrote; it {came}. Choose another place."
    )


def open_level(group: zarr.Group, number: int) -> zarr.Array[Any]:
    """Array of a level; chunks of zeros are written, too."""
    return zarr.open_array(group.store_path / str(number), mode="r+", config=_CONFIG)


def is_complete(group: zarr.Group) -> bool:
    """Whether every tile and level of a store is there."""
    return bool(ours(group).get("complete"))


def has_chunks(path: Path, array: zarr.Array[Any], index: Shape, grid_axes: str) -> bool:
    """Whether the chunk of a tile is there for every class; a chunk of level 0 has its tile's index."""
    classes = array.shape[stored_axes(grid_axes).index("c")]
    keys = (array.metadata.encode_chunk_key(stored(index, grid_axes, c)) for c in range(classes))
    return all((path / "0" / key).is_file() for key in keys)


def say(group: zarr.Group, **about: Any) -> None:
    """Change what a store says of its prediction, such as that it is complete."""
    group.update_attributes({OURS: {**ours(group), **about}})


def ours(group: zarr.Group) -> dict[str, Any]:
    """What we wrote about a prediction beside what OME-Zarr knows."""
    attributes: Any = group.attrs[OURS]
    return dict(attributes)
