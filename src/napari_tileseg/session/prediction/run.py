"""The prediction that is under way."""

from __future__ import annotations

import hashlib
import json
import re
import time
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from psygnal import Signal

from napari_tileseg._progress import Noted
from napari_tileseg.images.image import Image
from napari_tileseg.prediction.events import PredictEvent, Saved, Started, TileDone
from napari_tileseg.session.background.jobs import Jobs
from napari_tileseg.session.background.worker import Ended
from napari_tileseg.session.prediction.first_look import Looked, first_look, is_worth_it
from napari_tileseg.session.prediction.run_story import RunStory, VoxelsChanged
from napari_tileseg.session.project.image_reference import refer, stamp_of, voxels_fingerprint
from napari_tileseg.session.project.own_files import PREDICTIONS, check_inside
from napari_tileseg.session.project.project import ImageReference, ProjectFolder, Result
from napari_tileseg.session.project.results import Results
from napari_tileseg.settings import PredictSettings, knobs
from napari_tileseg.tiling import Box

if TYPE_CHECKING:
    from napari_tileseg.nets import Network
    from napari_tileseg.prediction import Plan, TileOrder


#: Tiles after which it is known how long one takes: the first ones are compared with the plain network.
_ENOUGH_TILES = 3


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Request:
    """A plan that is to be carried out, and which image it is of.

    Parameters
    ----------
    plan : Plan
        What to predict; with intensities to be measured where the voxels have changed since they were.
    reference : ImageReference
        Which image it is, whatever it is called.
    stamp : str
        As `stamp_of` gave it when the intensities were measured.
    revision : str
        Identifies voxels that were changed in memory; ""  for voxels as they were chosen.
    """

    plan: Plan
    reference: ImageReference
    stamp: str = ""
    revision: str = ""


def result_of(
    image: Image,
    reference: ImageReference,
    network: Network,
    settings: PredictSettings,
    folder: Path,
    revision: str = "",
) -> Result:
    """Return the result that a prediction belongs to: a name for people, and a path.

    The path holds a digest of everything that its values follow from. A derived core is not part of the
    digest: it depends on free memory, and a resumed run keeps its core.
    """
    about = [
        reference.fingerprint,
        [image.voxel_size, image.translation, image.units, image.affine],
        [network.sha256, network.reference.architecture],
        {k.name: value for k in knobs(PredictSettings) if k.decides(value := getattr(settings, k.name))},
    ]
    if revision:
        about.append([revision])
    digest = hashlib.sha256(json.dumps(about, default=str).encode()).hexdigest()[:8]
    name = f"{image.name} {network.spec.name}"
    stem = re.sub(r"[^\w.-]+", "-", name).strip("-.") or "prediction"
    return Result(
        name=name,
        path=folder / PREDICTIONS / f"{stem}-{digest}.ome.zarr",
        image=reference,
        network=network.spec.name,
        network_sha256=network.sha256,
    )


class PredictionRun:
    """At most one prediction at a time, as a job of the kind "predict".

    Parameters
    ----------
    jobs : Jobs
        Where it runs.
    folder : ProjectFolder
        Where predictions are written.
    results : Results
        Gets the result as soon as there is one.
    """

    #: An event of the prediction, at last an `Ended`.
    reported = Signal(object)
    #: The `Request` that is carried out instead, as the voxels have changed since it was made.
    voxels_changed = Signal(object)
    #: A `TileDone`, emitted in the prediction's thread as soon as the tile is on disk.
    tile_written = Signal(object)

    def __init__(self, jobs: Jobs, folder: ProjectFolder, results: Results) -> None:
        self._jobs = jobs
        self._folder = folder
        self._results = results
        self._order: TileOrder | None = None
        #: Voxels of the tiled image in view; set from the thread of the window.
        self._view: Box | None = None
        #: The plan that is carried out, and how long a voxel takes in one pass, as it was seen.
        self._plan: Plan | None = None
        self._speeds: dict[tuple[str, ...], float] = {}
        #: The last prediction that was started; None before the first.
        self.story: RunStory | None = None

    def start(self, request: Request, first: Box | None) -> Result:
        """Predict in the background, tiles in the box `first` of the image first; returns the result."""
        from napari_tileseg.prediction import make_order

        tiles = request.plan.tiles
        order = make_order(tiles.image, tiles.grid, tiles.lead)
        if first is not None:
            order.prioritize(first)
        self._order, self._view, self._plan = order, first, request.plan
        result = _result(request, self._folder.path)
        self.story = RunStory(result=result, begun=time.monotonic(), planned=len(tiles.grid))
        self._jobs.begin("predict", lambda: self._events(request, order), self._receive, with_end=True)
        return result

    def _events(
        self, request: Request, order: TileOrder
    ) -> Iterator[PredictEvent | Looked | VoxelsChanged | Request]:
        from napari_tileseg.prediction import write_prediction

        present = _with_present_voxels(request)
        path = _result(present, self._folder.path).path
        if present is not request:
            yield from self._changed(present)
        check_inside(path, self._folder.path)
        if is_worth_it(present.plan) and not path.exists():
            yield from first_look(present.plan, lambda: self._view if self._order is order else None)
        for event in write_prediction(present.plan, path, order=order):
            # A prediction that was left still finishes its tile, maybe beside the next one.
            if isinstance(event, TileDone) and self._order is order:
                self.tile_written.emit(event)
            yield event

    def _changed(self, request: Request) -> Iterator[VoxelsChanged | Request | Noted]:
        yield request
        yield VoxelsChanged(result=_result(request, self._folder.path))
        name = request.plan.image.name
        yield Noted(f"The voxels of {name} have changed since they were measured; this is a new result.")

    def _receive(self, event: PredictEvent | Looked | VoxelsChanged | Request | Ended) -> None:
        assert self.story is not None
        if isinstance(event, Request):
            self.voxels_changed.emit(event)
            return
        self.story = self.story.after(event)
        if isinstance(event, TileDone):
            self._time(event)
        if isinstance(event, Started):
            self._results.add(self.story.result)
        elif isinstance(event, Saved):
            self._results.change(self.story.result, complete=True)
        elif isinstance(event, Ended):
            self._order = None
        self.reported.emit(event)

    def _time(self, event: TileDone) -> None:
        """Take in how long tiles take, once there are several and some are left."""
        plan = self._plan
        if plan is None or event.done < _ENOUGH_TILES or event.done == event.total:
            return
        seconds = event.seconds_left / (event.total - event.done) * event.total
        self._speeds[_kind(plan)] = seconds / plan.tiles.cost / plan.grid.covered.size

    def seconds_of_pass(self, plan: Plan) -> float | None:
        """Return what one pass over a plan's image takes; None where its network was not seen to compute."""
        speed = self._speeds.get(_kind(plan))
        return None if speed is None else speed * plan.grid.covered.size

    @property
    def running(self) -> bool:
        """Whether a prediction is under way."""
        return self._jobs.running("predict")

    def prioritize(self, box: Box) -> None:
        """Move the tiles that meet a box of the image to the front."""
        self._view = box
        if self._order is not None:
            self._order.prioritize(box)

    def cancel(self) -> None:
        """Stop after the current tile; returns at once. Tiles that are done stay."""
        if self.story is not None and self.running:
            self.story = replace(self.story, stopping=True)
        self._jobs.cancel("predict")

    def leave(self) -> None:
        """Stop after the current tile, which nobody hears of; returns at once. Tiles that are done stay."""
        if self.running:
            self._jobs.drop("predict")
            self._order = None
            self.reported.emit(Ended(cancelled=True))
        self.story = None


def _kind(plan: Plan) -> tuple[str, ...]:
    """Return what a tile's time depends on beside its size."""
    return plan.source.sha256, plan.device, plan.dtype


def _result(request: Request, folder: Path) -> Result:
    plan = request.plan
    return result_of(plan.image, request.reference, plan.network, plan.asked, folder, request.revision)


def _with_present_voxels(request: Request) -> Request:
    """Return the request, or one for the present voxels where they were changed in memory."""
    image, reference = request.plan.image, request.reference
    stamp = stamp_of(image)
    if stamp == request.stamp and voxels_fingerprint(image) == reference.fingerprint:
        return request
    present = refer(image, reference.settings)
    revision = ""
    if present.fingerprint == reference.fingerprint:
        # What changed lies between the voxels that a fingerprint samples; no file has these voxels.
        present, revision = replace(present, uri=""), stamp
    plan = request.plan.unmeasured()
    return replace(request, plan=plan, reference=present, stamp=stamp, revision=revision)
