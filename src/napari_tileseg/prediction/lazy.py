"""A prediction as a lazy dask array."""

from __future__ import annotations

import threading
import warnings
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from dataclasses import replace
from functools import lru_cache, partial
from inspect import ismethod
from typing import TYPE_CHECKING, Any, TypeAlias

import dask.array as da
import numpy as np
from dask.base import get_scheduler, tokenize
from dask.delayed import delayed
from dask.multiprocessing import get as get_in_processes
from torch import nn

from napari_tileseg import nets
from napari_tileseg._progress import drain
from napari_tileseg._types import Array, Shape
from napari_tileseg.engine import Engine
from napari_tileseg.engine.choice import open_engine, route_of
from napari_tileseg.engine.device import resolve_device
from napari_tileseg.errors import NetworkError, NoContentError
from napari_tileseg.images.image import Image
from napari_tileseg.prediction.input.normalization import Normalization, resolve_normalization
from napari_tileseg.prediction.input.prepared import PreparedImage
from napari_tileseg.prediction.plan.layout import middle_tile
from napari_tileseg.prediction.plan.numbers.gather_statistics import gather
from napari_tileseg.prediction.plan.numbers.kept_numbers import shelf_of
from napari_tileseg.prediction.plan.numbers.statistics import fix_statistics
from napari_tileseg.prediction.plan.plan import Plan, lay_plan, prepare
from napari_tileseg.prediction.plan.region import Region, find_region, region_of_intensities
from napari_tileseg.prediction.plan.settled import own_statistics, without_content
from napari_tileseg.prediction.store.store import data_type
from napari_tileseg.settings import PredictSettings, knobs
from napari_tileseg.tiling import TileGrid

if TYPE_CHECKING:
    from napari_tileseg.nets.network import Network
    from napari_tileseg.nets.reference import NetworkReference

_Change = Callable[[nn.Module], nn.Module]
#: How intensities are prepared, and the region that numbers are those of; None where they are of none, or
#: none with content was found.
_Numbers: TypeAlias = tuple[Normalization, Region | None]


def predict(image: Image, network: Network, settings: PredictSettings | None = None) -> da.Array:
    """Predict an image lazily: no voxel is read before a part is computed.

    It can be computed with threads, with processes, and on other machines that find the network's file at the
    same path. The intensities of the image, and statistics that are fixed, are measured once in each process.

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
        ``(classes, *grid axes)`` of the image or its box, float32 (float64 where that is the number format),
        one chunk a core. The same call has the same name.

    Warns
    -----
    UserWarning
        If tiles will show, or the voxel size is not the network's.

    Raises
    ------
    ImageError, NetworkError, SettingsError, DeviceError
        As `plan_prediction`; problems with intensities show when computed. A network that is only in memory
        is refused where dask's scheduler uses other processes.
    """
    plan = lay_lazily(image, network, settings)
    for text in plan.tiles.warnings:
        warnings.warn(text, stacklevel=2)
    return predict_lazily(plan)


def lay_lazily(image: Image, network: Network, settings: PredictSettings | None = None) -> Plan:
    """Lay the tiles that `predict` computes: each by itself, as nobody knows in which order.

    Raises
    ------
    ImageError, NetworkError, SettingsError, DeviceError
        As `predict`.
    """
    settings = settings or PredictSettings()
    return lay_plan(image, network, settings, route_of(network, settings.device), swept=False)


def predict_lazily(plan: Plan, *, grid: TileGrid | None = None, change: _Change | None = None) -> da.Array:
    """Predict a plan lazily as `predict` does, with other tiles and module if given; without its warnings.

    Parameters
    ----------
    plan : Plan
        What to predict. Intensities are measured when the first part is computed, unless the plan has their
        numbers.
    grid : TileGrid, optional
        Tiles over the image of the plan, instead of the plan's own.
    change : callable, optional
        Gives the module to run instead of the network's: a function of a module's top level, which other
        processes can find.

    Returns
    -------
    dask.array.Array
        As `predict` gives.
    """
    if _leaves_process():
        _check_travels(plan.network.reference)
    grid = grid or plan.grid
    plan = replace(plan, tiles=replace(plan.tiles, grid=grid))
    token = _token(plan, change)
    job = delayed(_Job(plan, change, token), name=f"tileseg-job-{token}", traverse=False)
    numbers = delayed(_measure)(job, dask_key_name=f"tileseg-numbers-{token}")
    dtype = data_type(plan.dtype)
    blocks: da.Array = da.map_blocks(
        _compute_block,
        job,
        numbers,
        name=f"tileseg-{token}",
        chunks=((len(plan.classes),), *grid.kept_lengths),
        dtype=dtype,
        meta=np.empty((0,) * (grid.ndim + 1), dtype),
    )
    return blocks


def _leaves_process() -> bool:
    """Return whether dask's scheduler, as it is set now, computes in processes of a cluster or a pool."""
    scheduler = get_scheduler()
    if isinstance(scheduler, partial):  # an executor, whose method it calls
        return any(
            isinstance(getattr(each, "__self__", None), ProcessPoolExecutor) for each in scheduler.args
        )
    # A cluster's client is used through one of its own methods.
    return scheduler is get_in_processes or ismethod(scheduler)


def _check_travels(reference: NetworkReference) -> None:
    """Raise `NetworkError` where other processes would find no file to open the network from."""
    if not reference.path:
        raise NetworkError(
            "A prediction in other processes opens the network from its file in each; this one is only in "
            "memory. Save it, open the file, and predict with that, or compute with threads."
        )


def _token(plan: Plan, change: _Change | None) -> str:
    image, network, settings = plan.tiles.image, plan.network, plan.settings
    chosen = {each.name: getattr(settings, each.name) for each in knobs(PredictSettings) if each.identity}
    about = (image.data, image.axes, image.channel_indices, image.uri, network.sha256)
    laid = (plan.grid.core, plan.grid.offset)
    return str(tokenize(*about, network.reference.architecture, chosen, laid, plan.normalization, change))


class _Job:
    """What every block of one prediction shares. It travels with the network's reference, not the network."""

    def __init__(self, plan: Plan, change: _Change | None, token: str) -> None:
        self._token = token
        # The parts of a plan that travel: its network and graph stay in this process.
        self._image, self._tiles = plan.image, plan.tiles
        self._spec = plan.source.spec
        self._reference = plan.network.reference
        self._settings = plan.settings
        self._change = change
        self._network: Network | None = plan.source
        self._gathered = None if plan.statistics is None else plan.statistics.gathered
        self._normalization, self._region, self._may_yield = plan.normalization, plan.region, plan.may_yield
        self._engine: Engine | None = None
        self._lock = threading.Lock()

    def __getstate__(self) -> dict[str, Any]:
        _check_travels(self._reference)
        return {**vars(self), "_network": None, "_engine": None, "_lock": None}

    def __setstate__(self, state: dict[str, Any]) -> None:
        vars(self).update(state, _lock=threading.Lock())

    def numbers(self) -> _Numbers:
        """Return the plan's normalization and region, which are measured when first asked for."""
        with self._lock:
            image, target, how = self._image, self._tiles.image, self._settings
            region = self._find_region()
            if not self._normalization.known:
                part = region_of_intensities(region, image, target, how)
                self._normalization = resolve_normalization(target, self._spec, how, part=part)
            return self._normalization, region

    def _find_region(self) -> Region | None:
        """Find the region that numbers are of; None where there is no content and none was asked for."""
        if self._region is None:
            return None
        try:
            self._region = drain(find_region(self._region, self._image, self._spec, self._settings))
        except NoContentError:
            if not self._may_yield:
                raise
            warnings.warn(own_statistics(without_content(self._image)), stacklevel=2)
            return None
        return self._region

    def compute(self, numbers: _Numbers, index: Shape) -> Array:
        """Compute the probabilities on the core of one tile, inside the box."""
        prepared, grid = self._prepared(numbers[0]), self._tiles.grid
        with self._lock:
            engine = self._open(numbers)
            engine.verify(prepared, middle_tile(grid))
        tile = grid[index]
        (core,) = engine.compute(prepared, [tile])
        for text in engine.take_notes():
            warnings.warn(text, stacklevel=2)
        return core[(slice(None), *grid.kept(tile).within(tile.core))]

    def _prepared(self, normalization: Normalization) -> PreparedImage:
        return prepare(self._tiles, normalization, self._settings)

    def _open(self, numbers: _Numbers) -> Engine:
        if self._engine is None:
            self._engine = (
                self.engine(self._network, numbers) if self._network else _engine_here(self, numbers)
            )
        return self._engine

    def engine(self, network: Network, numbers: _Numbers) -> Engine:
        """Open the engine, after statistics were gathered where they are fixed."""
        normalization, region = numbers
        how = (self._settings.device, self._settings.dtype)
        fixed = fix_statistics(network, self._settings, self._tiles.image.shape, self._tiles.grid.box)
        yielded = region is None and self._region is not None
        if fixed is None or yielded:
            return open_engine(_changed(network, self._change), *how)
        if region is not None and fixed.part is None:
            fixed = replace(fixed, part=region.on(self._image, self._tiles.image))
        device, prepared = resolve_device(self._settings.device), self._prepared(normalization)
        begun, keep = self._gathered, None
        shelf = shelf_of(self._image, fixed, normalization, self._settings, device)
        if shelf is not None:
            begun, keep = begun or shelf.load(), shelf.save
        fixed = drain(gather(fixed, prepared, self._settings, device, begun, keep))
        return open_engine(_changed(fixed.network(), self._change), *how, kept=fixed.kept)

    @property
    def reference(self) -> NetworkReference:
        """How another process opens the network."""
        return self._reference

    def __eq__(self, other: object) -> bool:
        return isinstance(other, _Job) and self._token == other._token

    def __hash__(self) -> int:
        return hash(self._token)


@lru_cache(maxsize=2)
def _engine_here(job: _Job, numbers: _Numbers) -> Engine:
    """Open the engine of a job that came from another process, once in this one."""
    return job.engine(nets.open_network(job.reference), numbers)


def _changed(network: Network, change: _Change | None) -> Network:
    return network if change is None else replace(network, module=change(network.module))


def _measure(job: _Job) -> _Numbers:
    return job.numbers()


def _compute_block(job: _Job, numbers: _Numbers, block_id: Shape) -> Array:
    return job.compute(numbers, block_id[1:])
