"""Disagreement at every voxel as a lazy image, and tile by tile from a sample."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from typing import TYPE_CHECKING

import dask.array as da
import numpy as np
import numpy.typing as npt

from napari_tileseg.diagnosis.events import PairDone
from napari_tileseg.diagnosis.measures.disparity import switch_of, with_batch_statistics
from napari_tileseg.diagnosis.pairs.grid_pairs import moved_grid
from napari_tileseg.diagnosis.pairs.pair_plan import PairPlan, pairs_between
from napari_tileseg.engine import WHOLE_TILES
from napari_tileseg.errors import NetworkError
from napari_tileseg.images.image import Image
from napari_tileseg.prediction.lazy import lay_lazily, predict_lazily
from napari_tileseg.prediction.plan.layout import TilePlan
from napari_tileseg.prediction.plan.plan import lay_plan
from napari_tileseg.settings import PredictSettings
from napari_tileseg.tiling import Box, TileGrid

if TYPE_CHECKING:
    from napari_tileseg.nets.network import Network


def mismatch_heatmap(image: Image, network: Network, settings: PredictSettings | None = None) -> da.Array:
    """Compute the absolute difference of two predictions whose tiles are moved by half a core.

    Parameters
    ----------
    image, network, settings
        As `predict` takes them.

    Returns
    -------
    dask.array.Array
        ``(classes, *grid axes)`` of the image or its box, 0 or more; nothing is read before a part is
        computed. It costs two predictions of that part. Where no two tiles meet it is 0 everywhere.

    Raises
    ------
    SettingsError
        If tiles cannot be moved.
    ImageError, NetworkError, DeviceError
        As `predict`.
    """
    plan = lay_lazily(image, network, settings)
    usual, other = predict_lazily(plan), moved_grid_of(plan.tiles)
    if other is None:
        nothing: da.Array = da.zeros_like(usual)
        return nothing
    difference: da.Array = abs(usual - predict_lazily(plan, grid=other))
    return difference


def disparity_heatmap(image: Image, network: Network, settings: PredictSettings | None = None) -> da.Array:
    """Compute the absolute difference between the predictions with batch and with running statistics.

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
    plan = lay_plan(image, network, settings, WHOLE_TILES)
    usual = predict_lazily(plan)
    if not switch.layers:
        nothing: da.Array = da.zeros_like(usual)
        return nothing
    difference: da.Array = abs(usual - predict_lazily(plan, change=with_batch_statistics))
    return difference


def moved_grid_of(tiles: TilePlan) -> TileGrid | None:
    """Return the tiles of a prediction moved by half a core; see `moved_grid`."""
    return moved_grid(tiles.grid, tiles.lead, fixed=tiles.lattice.fixed)


def heatmap_pairs(
    tiles: TilePlan,
    *,
    sample: int | None = None,
    seed: int = 0,
    part: Box | None = None,
) -> PairPlan | None:
    """Plan the pairs of tiles that `mismatch_heatmap` compares: all, which hold each voxel once, or a sample.

    Parameters
    ----------
    tiles : TilePlan
        Tiles of the prediction.
    sample, seed, part
        As `pairs_between` takes them.

    Returns
    -------
    PairPlan or None
        None where no two tiles meet.

    Raises
    ------
    SettingsError
        As `moved_grid` and `pairs_between`.
    """
    other = moved_grid_of(tiles)
    if other is None:
        return None
    axes = tiles.image.grid_axes
    found = pairs_between(tiles.grid, other, axes=axes, sample=sample, seed=seed, part=part)
    alone = [axis for axis in range(tiles.lead, other.ndim) if not other.offset[axis]]
    return replace(found, skipped=tuple((axes[axis], "every tile sees all of it") for axis in alone))


def coarse_map(grid: TileGrid, compared: Iterable[PairDone], classes: int) -> npt.NDArray[np.float64]:
    """Average the absolute difference in each tile of a grid, from pairs that were compared anyway.

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
