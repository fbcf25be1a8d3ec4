"""Absolute differences of tiles as an array on disk, filled in while a diagnosis runs."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import dask.array as da
import numpy as np
import zarr

from napari_tileseg._types import Array, Shape
from napari_tileseg.prediction.store.damage import Parts
from napari_tileseg.tiling import Box

if TYPE_CHECKING:
    from napari_tileseg.diagnosis import PairDone

_CHUNK = 64


@dataclass(frozen=True, slots=True, kw_only=True)
class Profile:
    """Two predictions of the same voxels along a line.

    Parameters
    ----------
    axis : str
        Name of the axis that the line follows.
    start : int
        Voxel of the image at which it starts.
    first, second : tuple of float
        Probabilities that both tiles give, voxel by voxel.
    """

    axis: str
    start: int
    first: tuple[float, ...]
    second: tuple[float, ...]


def create_differences(path: Path, classes: int, shape: Shape) -> zarr.Array[Any]:
    """Make an array ``(classes, *shape)`` that is NaN, and takes no room, where nothing is written."""
    spatial = min(3, len(shape))
    chunks = (1,) * (1 + len(shape) - spatial) + tuple(min(n, _CHUNK) for n in shape[-spatial:])
    return zarr.create_array(
        str(path), shape=(classes, *shape), chunks=chunks, dtype="float32", fill_value=np.nan, zarr_format=3
    )


class PairDifferences:
    """Differences at the voxels that pairs of tiles share, and lines through the worst of each pair.

    Parameters
    ----------
    path : Path
        Where the array is written.
    classes : tuple of str
        Names of the classes.
    shape : tuple of int
        Voxels of the image, without padding.
    axes : str
        Names of its axes.
    """

    def __init__(self, path: Path, classes: tuple[str, ...], shape: Shape, axes: str) -> None:
        self._array = create_differences(path, len(classes), shape)
        self._parts = Parts.of(path, ("zarr.json",))
        self._classes = classes
        self._whole = Box.of_shape(shape)
        self._axes = axes
        #: Line of each pair of tiles and class.
        self.profiles: dict[tuple[Box, Box, str], Profile] = {}

    def add(self, event: PairDone) -> None:
        """Enter a pair; where several pairs share a voxel, their largest difference counts.

        Raises
        ------
        StoreError
            If the array was taken away meanwhile.
        """
        difference = np.abs(event.first - event.second)
        for number, name in enumerate(self._classes):
            point = np.unravel_index(int(difference[number].argmax()), difference.shape[1:])
            key = (event.pair.first, event.pair.second, name)
            self.profiles[key] = self._profile(event, number, tuple(map(int, point)))
        part = event.pair.valid.clip(self._whole)
        key_on_disk = (slice(None), *part.slices)
        known = np.asarray(self._array[key_on_disk])
        found = difference[(slice(None), *part.within(event.pair.valid))]
        self._array[key_on_disk] = np.fmax(known, found)
        # What was there before is lost with the folder, and a chunk makes it anew.
        self._parts.check()

    def values(self, box: Box) -> da.Array:
        """Return the differences ``(classes, *box.shape)``, 0 where nothing was compared."""
        found: da.Array = da.nan_to_num(da.from_zarr(self._array)[(slice(None), *box.slices)])
        return found

    def _profile(self, event: PairDone, number: int, point: Shape) -> Profile:
        """Return both predictions along the axis of the shift, through one of the compared voxels."""
        axis = event.pair.axis if event.pair.axis is not None else len(point) - 1
        line = (number, *(slice(None) if a == axis else at for a, at in enumerate(point)))
        return Profile(
            axis=self._axes[axis],
            start=event.pair.valid.start[axis],
            first=_numbers(event.first[line]),
            second=_numbers(event.second[line]),
        )


def _numbers(values: Array) -> tuple[float, ...]:
    return tuple(round(float(value), 6) for value in values)
