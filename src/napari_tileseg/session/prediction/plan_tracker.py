"""The plan for what is chosen: its tiles at once, its intensities once they are measured."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from psygnal import Signal

from napari_tileseg._progress import Progress
from napari_tileseg.errors import TilesegError
from napari_tileseg.images.image import Image
from napari_tileseg.session.background.jobs import Jobs
from napari_tileseg.settings import PredictSettings

if TYPE_CHECKING:
    from napari_tileseg.nets import Network
    from napari_tileseg.prediction import Plan, TilePlan
    from napari_tileseg.prediction.input.contrast import Contrast
    from napari_tileseg.prediction.input.normalization import Normalization
    from napari_tileseg.prediction.plan.forecast import Forecast
    from napari_tileseg.prediction.plan.region import Region
    from napari_tileseg.prediction.plan.settled import Settled

#: Settings on which the numbers of a normalization depend, or what has to be found out of a network.
_MEASURED = (
    "normalize",
    "quantiles",
    "range",
    "nonfinite",
    "resample",
    "statistics",
    "intensities",
    "result",
)


#: Settings on which it depends what statistics cost.
_FORESEEN = ("statistics", "memory", "scratch", "scratch_folder", "dtype", "device")


class PlanTracker:
    """Plans the prediction of what is chosen, and plans it again when that changes.

    Parameters
    ----------
    jobs : Jobs
        Measures intensities, as a job of the kind "measure", and says what statistics cost, as "forecast".
    path : callable
        Returns the path of the prediction that would be resumed, or None if it is not known yet.
    """

    #: The plan has changed.
    changed = Signal()
    #: A `Progress` of measuring intensities.
    progressed = Signal(object)
    #: Why tiles cannot be laid.
    refused = Signal(Exception)

    def __init__(self, jobs: Jobs, path: Callable[[], Path | None]) -> None:
        self._jobs = jobs
        self._path = path
        #: Held while the plan changes: without an event loop, answers come in the threads of the jobs.
        self._turn = threading.RLock()
        self._begun: Settled | None = None
        #: What was found where there was no content for statistics of a region.
        self._yielded: Settled | None = None
        self._laid: Plan | None = None
        self._problem: TilesegError | None = None
        self._normalization: Normalization | None = None
        self._region: Region | None = None
        self._contrast: Contrast | None = None
        #: What the numbers depend on of the plan, and of the one that they are measured for.
        self._counts: tuple[Any, ...] = ()
        self._measuring: tuple[Any, ...] | None = None
        self._forecast: Forecast | None = None
        self._foreseen: tuple[Any, ...] | None = None
        self._progress: Progress | None = None
        self._since = 0.0
        self._followed: tuple[Image | None, Network | None, PredictSettings] | None = None

    @property
    def laid(self) -> Plan | None:
        """The plan, with the rule for the intensities; None where image, network and settings do not fit."""
        return self._laid

    @property
    def measured(self) -> Plan | None:
        """The plan with the numbers of its intensities; None while they are measured."""
        if self._laid is None or self._normalization is None:
            return None
        return replace(
            self._laid, normalization=self._normalization, region=self._region, contrast=self._contrast
        )

    @property
    def tiles(self) -> TilePlan | None:
        """How the image is cut for the network; None where they, or the settings, do not fit."""
        return None if self._laid is None else self._laid.tiles

    @property
    def problem(self) -> TilesegError | None:
        """Why tiles cannot be laid; None where they are, or where image or network are missing."""
        return self._problem

    @property
    def normalization(self) -> Normalization | None:
        """How intensities are prepared, with its numbers; None while they are measured."""
        return self._normalization

    @property
    def region(self) -> Region | None:
        """Part of the image that numbers are those of, where any are, as far as it is known."""
        return self._region or (None if self._laid is None else self._laid.region)

    @property
    def contrast(self) -> Contrast | None:
        """Content that quantiles of the whole image make little of, as far as it is known."""
        return self._contrast

    @property
    def forecast(self) -> Forecast | None:
        """What statistics and prediction take, where statistics are gathered before and that is known."""
        return self._forecast

    @property
    def progress(self) -> tuple[Progress | None, float]:
        """How far measuring is, if it has reported that, and the seconds since it began."""
        return self._progress, time.monotonic() - self._since

    def follow(self, image: Image | None, network: Network | None, settings: PredictSettings) -> None:
        """Lay the tiles at once, for which no voxel is read, and measure intensities in the background."""
        with self._turn:
            self._followed = image, network, settings
            self._problem = self._lay(image, network, settings)
            if self._laid is not None:
                self.changed.emit()
                self._measure(self._laid)
                self._foresee()
                return
            self._measuring = None
            self._jobs.drop("measure")
            self._set_normalization(None)
            if self._problem is not None:
                self.refused.emit(self._problem)

    def _lay(
        self, image: Image | None, network: Network | None, settings: PredictSettings
    ) -> TilesegError | None:
        """Lay the tiles; returns the error where that is not possible."""
        if image is None or network is None:
            self._laid = None
            return None
        from napari_tileseg.prediction import lay_plan
        from napari_tileseg.prediction.plan.plan import known_way

        self._begun = self._begun_with()
        try:
            route = known_way(network, settings)
            # In a viewer most tiles come out of turn, because they are in view: each by itself.
            laid = lay_plan(image, network, settings, route, swept=False, settled=self._begun)
            self._counts = _counts(laid)
            if laid.may_yield and self._yielded is not None and self._measuring == self._counts:
                laid = laid.yielding(self._yielded.why)
        except TilesegError as error:
            self._laid = None
            return error
        self._laid = laid
        return None

    def _begun_with(self) -> Settled | None:
        """Return what the prediction has settled that would be resumed."""
        path = self._path()
        if path is None:
            return None
        from napari_tileseg.prediction.store.provenance import settled_by

        return settled_by(path)

    def take_up(self) -> None:
        """Reuse the core of an unfinished prediction once its path is known."""
        if self._begun_with() == self._begun:
            self.changed.emit()
        else:
            self.lay_again()

    def _measure(self, plan: Plan) -> None:
        """Measure again only where something that matters has changed; a later call outdates this one."""
        if self._measuring == self._counts:
            return
        self._measuring, self._yielded = self._counts, None
        self._progress, self._since = None, time.monotonic()
        self._set_normalization(None)

        def measured() -> Iterator[Progress | Plan]:
            from napari_tileseg.prediction import measure_intensities
            from napari_tileseg.prediction.plan.plan import find_way

            # Nobody should start before tiles are laid by what they cost.
            find_way(plan.source, plan.settings)
            yield (yield from measure_intensities(plan))

        self._jobs.begin("measure", measured, partial(self._receive, self._counts))

    def _receive(self, counts: tuple[Any, ...], event: Progress | Plan) -> None:
        with self._turn:
            # What was chosen meanwhile has numbers of its own.
            if counts == self._measuring:
                self._take(event)

    def _take(self, event: Progress | Plan) -> None:
        if isinstance(event, Progress):
            self._progress = event
            self.progressed.emit(event)
            return
        self._normalization, self._region = event.normalization, event.region
        self._contrast = event.contrast
        if event.settled.statistics == "tile":
            self._yielded = event.settled
        laid = self._laid
        if laid is not None and (laid.route is None or laid.may_yield != event.may_yield):
            # More is known by now, of the network's layers or of content: nothing may start on tiles that
            # were laid without that.
            self.lay_again()
        else:
            self.changed.emit()
            self._foresee()

    def _foresee(self) -> None:
        """Say again what statistics cost, where something that matters has changed."""
        plan = self.measured
        if plan is None or plan.statistics is None or plan.route is None:
            if self._foreseen is not None:
                self._foreseen, self._forecast = None, None
                self._jobs.drop("forecast")
            return
        box = None if plan.region is None else plan.region.box
        counts = (plan.tiles.image, plan.source, box, *(getattr(plan.settings, name) for name in _FORESEEN))
        if counts == self._foreseen:
            return
        self._foreseen, self._forecast = counts, None

        def foreseen() -> Iterator[Forecast | None]:
            from napari_tileseg.prediction.plan.forecast import forecast

            yield forecast(plan)

        self._jobs.begin("forecast", foreseen, self._take_forecast)

    def _take_forecast(self, forecast: Forecast | None) -> None:
        self._forecast = forecast
        self.changed.emit()

    def measure_again(self) -> None:
        """Measure intensities anew, as the voxels have changed in memory."""
        with self._turn:
            self._measuring = None
            self.lay_again()

    def lay_again(self) -> None:
        """Lay the tiles again now that more is known, such as what the layers of the network cost."""
        with self._turn:
            if self._followed is None:
                self.changed.emit()
            else:
                self.follow(*self._followed)

    def _set_normalization(self, normalization: Normalization | None) -> None:
        self._normalization, self._region, self._contrast = normalization, None, None
        self.changed.emit()


def _counts(plan: Plan) -> tuple[Any, ...]:
    """Return what the numbers of a plan depend on."""
    return plan.image, plan.source, plan.region, *(getattr(plan.settings, name) for name in _MEASURED)
