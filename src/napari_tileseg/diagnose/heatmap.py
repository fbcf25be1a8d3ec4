"""Disagreement at every voxel as a lazy image, and tile by tile from a sample."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from typing import TYPE_CHECKING

import dask.array as da
import numpy as np
import numpy.typing as npt

from napari_tileseg._types import Shape
from napari_tileseg.diagnose.disparity import switch_of, with_batch_statistics
from napari_tileseg.diagnose.events import PairDone
from napari_tileseg.diagnose.pairs import PairPlan, pairs_between
from napari_tileseg.errors import NetworkError, SettingsError
from napari_tileseg.images.image import Image
from napari_tileseg.predict.layout import plan_tiles
from napari_tileseg.predict.lazy import predict_on
from napari_tileseg.settings import PredictSettings
from napari_tileseg.tiling import TileGrid

if TYPE_CHECKING:
    from napari_tileseg.nets.network import Network


def mismatch_heatmap(image: Image, network: Network, settings: PredictSettings | None = None) -> da.Array:
    """Absolute difference of two predictions whose tiles are moved against each other by half a core.

    Parameters
    ----------
    image : Image
        The image.
    network : Network
        The opened network.
    settings : PredictSettings, optional
        How; defaults are derived.

    Returns
    -------
    dask.array.Array
        ``(classes, *grid axes)`` of the image or its box, 0 or more; nothing is read before a part is
        computed. It costs two predictions of that part.

    Raises
    ------
    SettingsError
        If tiles cannot be moved: one tile holds all, or the core is one stride.
    ImageError, NetworkError, DeviceError
        As `predict`.
    """
    settings = settings or PredictSettings()
    offset = half_core(plan_tiles(image, network.spec, settings).grid)
    difference: da.Array = abs(
        predict_on(image, network, settings) - predict_on(image, network, settings, offset=offset)
    )
    return difference


def disparity_heatmap(image: Image, network: Network, settings: PredictSettings | None = None) -> da.Array:
    """Absolute difference between the predictions with batch statistics and with running ones.

    Parameters
    ----------
    image, network, settings
        As `mismatch_heatmap`.

    Returns
    -------
    dask.array.Array
        ``(classes, *grid axes)``, 0 or more, lazily.

    Raises
    ------
    NetworkError
        If the network cannot be switched.
    ImageError, SettingsError, DeviceError
        As `predict`.
    """
    switch = switch_of(network.module)
    if not switch.switchable:
        raise NetworkError(switch.reason)
    settings = settings or PredictSettings()
    usual = predict_on(image, network, settings)
    if not switch.layers:
        nothing: da.Array = da.zeros_like(usual)
        return nothing
    difference: da.Array = abs(usual - predict_on(image, network, settings, change=with_batch_statistics))
    return difference


def half_core(grid: TileGrid) -> Shape:
    """Offset of half a core, on the stride; 0 along axes that every tile reads whole.

    Raises
    ------
    SettingsError
        If that is 0 along all axes.

    Examples
    --------
    >>> half_core(TileGrid((64, 20), (24, 20), ((4, 4), (4, 4)), (4, 4)))
    (12, 0)
    """
    rows = zip(grid.core, grid.covered.shape, grid.stride, grid.read_shape, grid.padded_shape, strict=True)
    offset = tuple(
        0 if read == padded else min(core, cover) // 2 // step * step
        for core, cover, step, read, padded in rows
    )
    if not any(offset):
        raise SettingsError(
            f"To compare tiles that lie differently, they should be smaller than the image {grid.shape}, "
            f"with a core of two strides {grid.stride} or more; the core is {grid.core} and the read "
            f"{grid.read_shape}. Set another core."
        )
    return offset


def heatmap_pairs(grid: TileGrid, *, axes: str = "", sample: int | None = None, seed: int = 0) -> PairPlan:
    """Pairs of tiles that `mismatch_heatmap` compares: all, which hold each voxel once, or a sample.

    Parameters
    ----------
    grid : TileGrid
        Tiles of the prediction.
    axes, sample, seed
        As `pairs_between` takes them.

    Raises
    ------
    SettingsError
        As `half_core`.
    """
    moved = replace(grid, offset=half_core(grid))
    return pairs_between(grid, moved, axes=axes, sample=sample, seed=seed)


def coarse_map(grid: TileGrid, compared: Iterable[PairDone], classes: int) -> npt.NDArray[np.float64]:
    """Mean absolute difference of each tile of a grid, from pairs that were compared anyway.

    Parameters
    ----------
    grid : TileGrid
        The tiles.
    compared : iterable of PairDone
        Pairs compared by `measure_mismatch`; each counts for the tiles whose cores it meets, by the voxels
        that it has there.
    classes : int
        Number of classes.

    Returns
    -------
    ndarray
        ``(classes, *grid.counts)``; NaN where no pair was compared.
    """
    total = np.zeros((classes, *grid.counts))
    voxels = np.zeros(grid.counts)
    for event in compared:
        difference = np.abs(event.first - event.second)
        for tile in grid.tiles_in(event.pair.valid):
            shared = tile.core.clip(event.pair.valid)
            part = difference[(slice(None), *shared.within(event.pair.valid))]
            of_tile: tuple[slice | int, ...] = (slice(None), *tile.index)
            total[of_tile] += part.reshape(classes, -1).sum(axis=1, dtype=np.float64)
            voxels[tile.index] += shared.size
    return np.divide(total, voxels, out=np.full_like(total, np.nan), where=voxels > 0)
