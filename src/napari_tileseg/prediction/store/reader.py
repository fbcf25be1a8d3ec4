"""Reading a stored prediction back, finished or not."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import zarr

from napari_tileseg._types import Array, Shape
from napari_tileseg.images.image import Image
from napari_tileseg.images.omezarr_metadata import stored_axes, with_channel
from napari_tileseg.prediction.input.normalization import Normalization
from napari_tileseg.prediction.store.damage import reading
from napari_tileseg.prediction.store.journal import Journal
from napari_tileseg.prediction.store.onto import on_voxels_of, splines_of
from napari_tileseg.prediction.store.store import grid_of, is_complete, open_group, own_attributes
from napari_tileseg.tiling import TileGrid


class FinishedTiles:
    """Probabilities of a store, channel first; NaN where a tile is not done yet.

    It is read chunk by chunk from the disk, each time anew, so it may be shown while the store fills.

    Parameters
    ----------
    array : zarr.Array
        A level of the store.
    axes : str
        Axes of the array.
    path : Path
        Folder of the store.
    """

    def __init__(self, array: zarr.Array[Any], axes: str, path: Path) -> None:
        self._array, self._path = array, path
        self._channel = axes.index("c")

    @property
    def shape(self) -> Shape:
        """``(classes, *grid axes)``."""
        shape = list(self._array.shape)
        return (shape.pop(self._channel), *shape)

    @property
    def ndim(self) -> int:
        """Number of axes."""
        return self._array.ndim

    @property
    def dtype(self) -> np.dtype[Any]:
        """Type of the probabilities."""
        return self._array.dtype

    @property
    def chunks(self) -> Shape:
        """Shape of a stored chunk, channel first."""
        chunks = list(self._array.chunks)
        return (chunks.pop(self._channel), *chunks)

    def __getitem__(self, key: Any) -> Array:
        parts = _complete_key(key, self.ndim)
        ranged = [part if isinstance(part, slice) else _one(part) for part in parts]
        first, *rest = ranged
        stored = (*rest[: self._channel], first, *rest[self._channel :])
        with reading(self._path):
            values = np.moveaxis(np.asarray(self._array[stored]), self._channel, 0)
        return values[tuple(slice(None) if isinstance(part, slice) else 0 for part in parts)]

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> Array:
        """Return all of it, in memory."""
        return np.array(self[()], dtype=dtype, copy=copy is not False or None)


def _complete_key(key: Any, ndim: int) -> tuple[Any, ...]:
    parts = key if isinstance(key, tuple) else (key,)
    if Ellipsis in parts:
        at = parts.index(Ellipsis)
        parts = (*parts[:at], *(slice(None),) * (ndim - len(parts) + 1), *parts[at + 1 :])
    return (*parts, *(slice(None),) * (ndim - len(parts)))


def _one(index: int) -> slice:
    return slice(int(index), int(index) + 1 or None)


@dataclass(frozen=True, slots=True, eq=False)
class PredictionStore:
    """A stored prediction, with its position in the world and where it comes from.

    Parameters
    ----------
    path : Path
        Folder of the store.
    image : Image
        Level 0 with its placement, channels named after the classes.
    classes : tuple of str
        Names of the channels.
    grid : TileGrid
        The tiles, over the image that was predicted.
    normalization : Normalization
        What was done to the intensities.
    provenance : dict
        All that was written about it: version, network (path, hash), settings, source, whether it is exact.
    levels : tuple of FinishedTiles
        Levels of the pyramid, the full one first; coarser ones are NaN until the store is complete.
    """

    path: Path
    image: Image
    classes: tuple[str, ...]
    grid: TileGrid
    normalization: Normalization
    provenance: dict[str, Any]
    levels: tuple[FinishedTiles, ...]

    @property
    def complete(self) -> bool:
        """Whether everything is done, as the files are now."""
        return is_complete(open_group(self.path, "r"))

    def done(self) -> frozenset[Shape]:
        """Return the indices of the tiles that are done, as the files are now."""
        if self.complete:
            return frozenset(tile.index for tile in self.grid)
        named = Journal(self.path).done()
        return frozenset(tile.index for tile in self.grid if tile.index in named)

    def onto(self, image: Image) -> Image:
        """Return the probabilities on the voxels of `image`, interpolated linearly where they are read.

        For a prediction of a resampled image, which is stored at the network's voxel size. Where that was
        brought there by splines, as nnU-Net does, what is interpolated are logits, and along a coarse axis
        the nearest voxel is taken.

        Raises
        ------
        ImageError
            If the image has other axes or units than the prediction.
        """
        return on_voxels_of(image, self.image, self.provenance)

    def view(self) -> FinishedTiles:
        """Return level 0, channel first, NaN where a tile is not done."""
        return self.levels[0]


def open_prediction(path: str | Path) -> PredictionStore:
    """Open a prediction that `predict_to_store` wrote, or is writing.

    Raises
    ------
    StoreError
        If there is none, or its metadata is broken.
    """
    path = Path(path)
    group = open_group(path, "r")
    about = own_attributes(group)
    with reading(path):
        placement, axes = about["placement"], stored_axes(about["placement"]["axes"])
        levels = tuple(_array(group, name) for name in _level_names(group))
        grid = grid_of(about["grid"])
        splines_of(about)
        if levels[0].shape != with_channel(grid.box.shape, placement["axes"], len(about["classes"])):
            raise ValueError("its voxels are of another shape than was begun")
        return PredictionStore(
            path=path,
            image=_image(levels[0], axes, placement, about),
            classes=tuple(about["classes"]),
            grid=grid,
            normalization=Normalization.from_dict(about["normalization"]),
            provenance=about,
            levels=tuple(FinishedTiles(level, axes, path) for level in levels),
        )


def _level_names(group: zarr.Group) -> list[str]:
    """Return the names in the metadata; listing the folder would stumble over the journal."""
    ome: Any = group.attrs["ome"]
    return [dataset["path"] for dataset in ome["multiscales"][0]["datasets"]]


def _array(group: zarr.Group, name: str) -> zarr.Array[Any]:
    array = group[name]
    if not isinstance(array, zarr.Array):
        raise KeyError(name)
    return array


def _image(array: zarr.Array[Any], axes: str, placement: dict[str, Any], about: dict[str, Any]) -> Image:
    affine = placement["affine"]
    return Image(
        data=array,
        axes=axes,
        name=about["source"]["name"],
        voxel_size=tuple(placement["voxel_size"]),
        translation=tuple(placement["translation"]),
        units=tuple(placement["units"]),
        affine=None if affine is None else tuple(tuple(row) for row in affine),
        channel_names=tuple(about["classes"]),
        uri=str(about["source"]["uri"]),
    )
