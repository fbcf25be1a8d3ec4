"""Predicting an image into a store, tile by tile."""

from __future__ import annotations

import time
from collections.abc import Generator, Iterator, Sequence
from contextlib import closing, nullcontext
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING, Any

import zarr

from napari_tileseg._outputs import PREDICTION, check_output
from napari_tileseg._progress import Noted, Progress
from napari_tileseg._types import Shape
from napari_tileseg.engine import Engine
from napari_tileseg.engine.choice import open_engine, route_of
from napari_tileseg.errors import SettingsError, StoreError
from napari_tileseg.images.image import Image
from napari_tileseg.prediction.events import PredictEvent, Saved, Started, TileDone
from napari_tileseg.prediction.input.chunk_cache import cache_chunks
from napari_tileseg.prediction.order.order_search import make_order
from napari_tileseg.prediction.order.tile_order import TileOrder
from napari_tileseg.prediction.plan.channels import with_channels_by_name
from napari_tileseg.prediction.plan.forecast import forecast
from napari_tileseg.prediction.plan.layout import middle_tile
from napari_tileseg.prediction.plan.measuring import find_content_of, measure_intensities, measure_plan
from napari_tileseg.prediction.plan.plan import Plan, lay_plan
from napari_tileseg.prediction.store.damage import Parts, parts_of_store, reading
from napari_tileseg.prediction.store.journal import Journal
from napari_tileseg.prediction.store.lock import remove_lock, sole_writer
from napari_tileseg.prediction.store.outcome import Outcome
from napari_tileseg.prediction.store.provenance import (
    count_if_complete,
    describe,
    identify,
    resume,
    settled_by,
)
from napari_tileseg.prediction.store.pyramid import fill_level
from napari_tileseg.prediction.store.store import (
    check_free_space,
    create,
    has_chunks,
    is_complete,
    levels_of,
    missing_levels,
    open_group,
    open_level,
    own_attributes,
    record,
    repair_levels,
    writing,
)
from napari_tileseg.prediction.tile_work import TileWork
from napari_tileseg.settings import PredictSettings

if TYPE_CHECKING:
    from napari_tileseg.nets.network import Network


def predict_to_store(
    image: Image, network: Network, settings: PredictSettings | None, path: str | Path
) -> Generator[PredictEvent]:
    """Predict an image into an OME-Zarr 0.5 store; the same call again does what is missing.

    A store that is complete already is found to be so without planning anything. Otherwise this plans the
    prediction and continues as `write_prediction`. Nothing happens until the iterator is asked for its first
    event.

    Parameters
    ----------
    image : Image
        The image.
    network : Network
        The opened network.
    settings : PredictSettings or None
        How; defaults are derived.
    path : str or Path
        Folder of the store: absent, empty, or a store that the same call began.

    Yields
    ------
    PredictEvent
        As `write_prediction`.

    Raises
    ------
    StoreError
        As `write_prediction`.
    ImageError, NetworkError, SettingsError, DeviceError
        As `plan_prediction`, and if a tile cannot be computed.
    """
    begun = time.monotonic()
    check_output(path, PREDICTION)
    path, settings = Path(path), settings or PredictSettings()
    image = with_channels_by_name(image, network.spec)
    if total := count_if_complete(path, image, network, settings):
        yield Started(total, total)
        Journal(path).remove()
        remove_lock(path)
        yield Saved(path, total, 0, time.monotonic() - begun)
        return
    route = route_of(network, settings.device)
    plan = lay_plan(image, network, settings, route, settled=settled_by(path))
    yield from _write(plan, path, None, begun)


def write_prediction(
    plan: Plan, path: str | Path, *, order: TileOrder | None = None
) -> Generator[PredictEvent]:
    """Carry out a plan into an OME-Zarr 0.5 store; the same call again does what is missing.

    Nothing happens until the iterator is asked for its first event. While a tile is computed, the one before
    it is written and the next one read. Closing the iterator stops after the current tile; the tiles that
    are done stay. A resampled image's prediction is stored at the network's voxel size, at its position in
    the world; `PredictionStore.onto` brings it onto the image's voxels.

    Parameters
    ----------
    plan : Plan
        What to predict. Intensities, and fixed statistics, are measured here where the plan does not have
        their numbers; a store that was begun has its own.
    path : str or Path
        Folder of the store: absent, empty, or a store that was begun with the same plan.
    order : TileOrder, optional
        Order of the plan's tiles, which may be changed while it runs; `make_order` makes it by default.

    Yields
    ------
    PredictEvent
        `Noted`, `Progress` while intensities are measured, `Started`, one `TileDone` for each tile,
        `Progress` of the pyramid, and `Saved` at the end; `Noted` in between where something goes otherwise
        than planned.

    Raises
    ------
    StoreError
        If the path holds something else, or a prediction by another network, with other settings or of
        another image, or one that is being written; if the disk is too small or full.
    SettingsError
        If the order is one of other tiles.
    ImageError, NetworkError, DeviceError
        If intensities are of no use, or a tile cannot be computed.
    """
    begun = time.monotonic()
    check_output(path, PREDICTION)
    yield from _write(plan, Path(path), order, begun)


def _write(plan: Plan, path: Path, order: TileOrder | None, begun: float) -> Generator[PredictEvent]:
    if order is not None and order.grid != plan.grid:
        raise SettingsError("The order should be one of the plan's tiles; it is one of another grid.")
    identity = identify(plan)
    known = resume(path, identity, plan)
    if known is None:
        # Before the image is read for content or intensities.
        check_free_space(path, plan)
    if known is None and plan.may_yield:
        # What tiles are depends on whether there is content.
        plan = yield from find_content_of(plan)
        order = order if order is not None and order.grid == plan.grid else None
        identity = identify(plan)
    plan = plan.over(cache_chunks(plan.image))
    yield from (Noted(text, warning=True) for text in plan.tiles.warnings)
    yield from map(Noted, plan.tiles.notes)
    if known is None:
        plan = yield from _measured(plan)
    else:
        plan = yield from measure_plan(plan, known.normalization, known.gathered, known.region)
    yield from map(Noted, () if plan.region is None else (plan.region.sentence,))
    if plan.contrast is not None:
        yield Noted(plan.contrast.sentence, warning=True)
    yield from map(Noted, () if plan.statistics is None else plan.statistics.notes)
    if known is None:
        create(path, plan, identity, describe(plan))
        # Somebody else may have been quicker, with another image or network.
        resume(path, identity, plan)
    with writing(path):
        finished = (
            is_complete(open_group(path, "r"))
            and not missing_levels(path, plan)
            and len(_done(path, plan)) == len(plan.grid)
        )
    with nullcontext() if finished else sole_writer(path):
        computed = yield from _finish(path, plan, order)
    yield Saved(path, len(plan.grid), computed, time.monotonic() - begun)


def _measured(plan: Plan) -> Generator[Noted | Progress, None, Plan]:
    """Find a plan's numbers, and say before statistics are gathered what that takes."""
    if not plan.normalization.known:
        plan = yield from measure_intensities(plan)
        found = forecast(plan)
        yield from () if found is None else (Noted(found.words()),)
    return (yield from measure_plan(plan))


def _done(path: Path, plan: Plan) -> set[Shape]:
    """Return the tiles that are recorded as done and whose chunks exist."""
    group, grid = open_group(path, "r"), plan.grid
    named = None if is_complete(group) else Journal(path).done()
    array, axes = open_level(group, 0), plan.tiles.image.grid_axes
    indices = (tile.index for tile in grid if named is None or tile.index in named)
    return {index for index in indices if has_chunks(path, array, index, axes)}


def _finish(path: Path, plan: Plan, order: TileOrder | None) -> Generator[PredictEvent, None, int]:
    """Do what is missing of a store; gives the number of tiles computed."""
    group, total = open_group(path, "r+"), len(plan.grid)
    emptied = repair_levels(path, group, plan)
    order = order or make_order(plan.tiles.image, plan.grid, plan.tiles.lead)
    done = _done(path, plan)
    if emptied and is_complete(group):
        with writing(path):
            Journal(path).add(done)
            record(group, complete=False)
    yield Started(total, len(done))
    if not (is_complete(group) and len(done) == total):
        yield from _compute(path, group, plan, order, done)
        yield from _fill_pyramid(path, group, plan)
        with writing(path):
            record(group, complete=True)
    Journal(path).remove()
    remove_lock(path)
    return total - len(done)


def _compute(
    path: Path, group: zarr.Group, plan: Plan, order: TileOrder, done: set[Shape]
) -> Iterator[PredictEvent]:
    """Do the tiles that are not `done`."""
    with writing(path):
        Journal(path).begin()
    order.mark(done)
    kept = None if plan.statistics is None else plan.statistics.kept
    engine = open_engine(plan.network, plan.device, plan.dtype, plan.batch, kept=kept)
    recorder = _Recorder(path, group, plan, engine, begun=bool(done))
    try:
        if len(done) < len(plan.grid):
            engine.verify(plan.prepared, middle_tile(plan.grid))
            yield from recorder.take(engine.take_notes())
        yield from _run(path, open_level(group, 0), plan, engine, order, len(done), recorder)
    finally:
        engine.close()


class _Recorder:
    """Updates the store's recorded outcome as soon as execution deviates from the plan."""

    def __init__(self, path: Path, group: zarr.Group, plan: Plan, engine: Engine, *, begun: bool) -> None:
        self._path, self._group, self._plan, self._engine = path, group, plan, engine
        self._recorded = Outcome.recorded(own_attributes(group))
        self._earlier = self._recorded if begun else None
        self._now = Outcome.planned(plan)

    def take(self, notes: Sequence[str]) -> Iterator[Noted]:
        """Take in the engine's notes, and pass them on once the store has them, too."""
        self._now = self._now.after(self._plan, self._engine, notes)
        joined = self._now if self._earlier is None else self._earlier.joined(self._now, self._plan)
        if joined != self._recorded:
            with writing(self._path):
                record(self._group, **joined.as_dict())
            self._recorded = joined
        yield from (Noted(text) for text in notes)


def _run(
    path: Path,
    array: zarr.Array[Any],
    plan: Plan,
    engine: Engine,
    order: TileOrder,
    done: int,
    recorder: _Recorder,
) -> Iterator[PredictEvent]:
    total, first, begun = len(plan.grid), done, time.monotonic()
    parts = Parts.of(path, parts_of_store(len(levels_of(plan))))
    with closing(TileWork(path, array, plan, engine, order, parts).run()) as work:
        for finished in work:
            yield from recorder.take(finished.notes)
            seconds = time.monotonic() - begun
            for tile in finished.tiles:
                done += 1
                yield TileDone(tile, done, total, seconds, seconds / (done - first) * (total - done))
    if done < total:
        raise SettingsError(
            f"The order ended with {total - done} of {total} tiles not done. Run it again with a new order."
        )
    parts.check()
    missing = total - len(_done(path, plan))
    if missing:
        raise StoreError(
            f"{missing} of {total} tiles of {path} were removed while it was being written. Start it again "
            "to compute what is missing."
        )


def _fill_pyramid(path: Path, group: zarr.Group, plan: Plan) -> Iterator[Progress]:
    levels = levels_of(plan)
    parts = Parts.of(path, parts_of_store(len(levels)))
    pairs = list(pairwise(levels))
    for number, (finer, coarser) in enumerate(pairs):
        ratios = tuple(b // a for a, b in zip(finer.factors, coarser.factors, strict=True))
        coarse = open_level(group, number + 1)
        with reading(path), writing(path):
            for share in fill_level(open_level(group, number), coarse, ratios):
                parts.check()
                yield Progress("Making the pyramid", (number + share) / len(pairs))
