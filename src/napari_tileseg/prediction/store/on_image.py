"""Writing a prediction on the voxels of its image, where it was made at the network's voxel size."""

from __future__ import annotations

import json
from collections.abc import Generator
from itertools import pairwise
from math import ceil, floor, prod
from pathlib import Path
from typing import Any

import numpy as np
import zarr
from zarr.core.array_spec import ArrayConfig

from napari_tileseg._drafts import drafted, is_vacant
from napari_tileseg._outputs import PREDICTION, check_output, check_room
from napari_tileseg._progress import Progress
from napari_tileseg._types import Shape
from napari_tileseg.errors import StoreError
from napari_tileseg.images import omezarr_metadata
from napari_tileseg.images.image import SPATIAL, Image
from napari_tileseg.images.omezarr_metadata import stored_axes, with_channel
from napari_tileseg.prediction.input.scan import blocks
from napari_tileseg.prediction.store.metadata import COLORS, dataset
from napari_tileseg.prediction.store.pyramid import Level, fill_level
from napari_tileseg.prediction.store.reader import PredictionStore
from napari_tileseg.prediction.store.store import levels_on, writing
from napari_tileseg.tiling import Box

#: What is said of where it comes from, beside what OME-Zarr knows.
ABOUT = "tileseg_on_image"
_CHUNK, _FLAT_CHUNK = 64, 512
#: Part of a voxel by which places may be off for rounding.
_ROUNDING = 1e-6
_CONFIG = ArrayConfig(order="C", write_empty_chunks=True)


def write_on_image(store: PredictionStore, image: Image, path: str | Path) -> Generator[Progress]:
    """Write the probabilities of a prediction on the voxels of an image: an OME-Zarr 0.5 image with levels.

    It appears at the path once it is whole, and is not written again where it is there. Voxels that the
    prediction does not cover, where a part of the image was predicted, are NaN.

    Parameters
    ----------
    store : PredictionStore
        Complete.
    image : Image
        The image that was predicted, of whose voxels none is read.
    path : str or Path
        Where to.

    Yields
    ------
    Progress
        After each block; the work may be stopped there, and nothing is left then.

    Raises
    ------
    StoreError
        If the prediction is not complete, something else is at the path, or it cannot be written.
    ImageError
        If the image has other axes or units than the prediction.
    """
    check_output(path, PREDICTION)
    path = Path(path)
    if not store.complete:
        raise StoreError(f"{store.path} is not complete yet. Predict the rest of it first.")
    result = store.onto(image)
    levels = levels_on(result, result.shape, len(store.classes))
    with writing(path), drafted(path) as draft:
        if check_vacant(path, store):
            return
        needed = sum(prod(level.shape) for level in levels) * result.dtype.itemsize
        check_room(path, needed, "The prediction on the image's voxels", "or leave it at the network's")
        yield from _write(draft, result, store, levels)


def check_vacant(path: Path, store: PredictionStore | None = None) -> bool:
    """Refuse a path that holds something else than what would be written.

    Parameters
    ----------
    path : Path
        Where to write.
    store : PredictionStore, optional
        Whose result; that of any will do where it is not there yet.

    Returns
    -------
    bool
        Whether it is there already, as a whole.

    Raises
    ------
    StoreError
        If something else is there.
    """
    if is_vacant(path):
        return False
    try:
        about = json.loads((path / "zarr.json").read_text(encoding="utf-8"))["attributes"][ABOUT]
        if store is None or about["identity"] == store.provenance["identity"]:
            return True
    except (OSError, ValueError, LookupError, TypeError, RecursionError):
        pass
    raise StoreError(f"{path} holds something else already, and is left as it is. Choose a new path.")


def _write(
    path: Path, result: Image, store: PredictionStore, levels: tuple[Level, ...]
) -> Generator[Progress]:
    axes = stored_axes(result.grid_axes)
    edge = _CHUNK if len(result.spatial_axes) == 3 else _FLAT_CHUNK
    group = zarr.create_group(store=str(path), zarr_format=3)
    group.update_attributes({"ome": _attributes(result, store, levels), ABOUT: store.provenance})
    arrays: list[zarr.Array[Any]] = [
        group.create_array(
            str(number),
            shape=level.shape,
            chunks=_chunks(level, axes, edge),
            dtype=result.dtype,
            dimension_names=list(axes),
            config=_CONFIG,
        )
        for number, level in enumerate(levels)
    ]
    chunk = [n for n, axis in zip(arrays[0].chunks, axes, strict=True) if axis != "c"]
    boxes, covered = blocks(result.shape, tuple(chunk)), _covered(store.image, result)
    for number, box in enumerate(boxes, start=1):
        _write_box(arrays[0], result, box, covered)
        yield Progress("Bringing the result onto the image", number, len(boxes))
    for (finer, coarser), (fine, coarse) in zip(pairwise(arrays), pairwise(levels), strict=True):
        ratios = tuple(b // a for a, b in zip(fine.factors, coarse.factors, strict=True))
        for share in fill_level(finer, coarser, ratios):
            yield Progress("Making the pyramid", share)


def _chunks(level: Level, axes: str, edge: int) -> Shape:
    pairs = zip(level.shape, axes, strict=True)
    return tuple(min(n, edge) if axis in SPATIAL else 1 for n, axis in pairs)


def _covered(stored: Image, image: Image) -> Box:
    """Return the voxels of an image whose centres lie in a stored result."""
    start, stop = [], []
    for axis, count in enumerate(image.shape):
        size, first = image.voxel_size[axis], image.translation[axis]
        near = stored.translation[axis] - stored.voxel_size[axis] / 2
        far = near + stored.voxel_size[axis] * stored.shape[axis]
        start.append(min(count, max(0, ceil((near - first) / size - _ROUNDING))))
        stop.append(max(start[-1], min(count, floor((far - first) / size + _ROUNDING) + 1)))
    return Box(tuple(start), tuple(stop))


def _write_box(array: zarr.Array[Any], result: Image, box: Box, covered: Box) -> None:
    values = np.full((len(result.channel_indices), *box.shape), np.nan, result.dtype)
    part = box.clip(covered)
    if part.size:
        values[(slice(None), *part.within(box))] = result.read(part)
    target = with_channel(box.slices, result.grid_axes, slice(None))
    array[target] = np.moveaxis(values, 0, stored_axes(result.grid_axes).index("c"))


def _attributes(result: Image, store: PredictionStore, levels: tuple[Level, ...]) -> dict[str, Any]:
    units = dict(zip(result.grid_axes, result.units, strict=True))
    whole = Box.of_shape(result.shape)
    return omezarr_metadata.image_attributes(
        store.image.name,
        [omezarr_metadata.axis_entry(axis, units.get(axis)) for axis in stored_axes(result.grid_axes)],
        [dataset(number, result, whole, level) for number, level in enumerate(levels)],
        omero=omezarr_metadata.omero_entry(store.classes, COLORS),
    )
