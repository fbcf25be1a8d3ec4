"""Tries the cure of a finding, shows what comes of it, and does what is chosen then."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

from napari.viewer import Viewer
from qtpy.QtCore import QObject

from napari_tileseg._napari.images.placement import Placement
from napari_tileseg._napari.results.trial_layers import TrialLayers
from napari_tileseg._qt.common import dialogs
from napari_tileseg._qt.common.connections import Connections
from napari_tileseg._qt.diagnose.form import DiagnoseForm
from napari_tileseg.errors import TilesegError
from napari_tileseg.session import Session
from napari_tileseg.session.diagnosis.diagnoser import Diagnoser
from napari_tileseg.session.diagnosis.words import EACH_TILE, FIXED
from napari_tileseg.session.prediction.readiness import problem_words

if TYPE_CHECKING:
    from napari_tileseg.diagnosis.trial import Trial


class TrialControl(QObject):
    """Joins the part of the form about a cure with the viewer and what runs trials.

    Parameters
    ----------
    viewer : Viewer
        Where both predictions are shown.
    session : Session
        Whose settings follow.
    diagnosing : Diagnoser
        Runs trials.
    form : DiagnoseForm
        What the user sees.
    say : callable
        Shows a message and its kind.
    """

    def __init__(
        self,
        viewer: Viewer,
        session: Session,
        diagnosing: Diagnoser,
        form: DiagnoseForm,
        say: Callable[[str, str], None],
    ) -> None:
        super().__init__()
        self._session, self._diagnosing, self._form, self._say = session, diagnosing, form, say
        self._layers = TrialLayers(viewer)
        self._trial: Trial | None = None
        self._placement: Placement | None = None
        self._connections = Connections(
            (diagnosing.tried, self._show),
            (diagnosing.network_kept, self._show_kept),
        )
        panel = form.panel.trial
        panel.group_chosen.connect(self._layers.show)
        panel.predict_clicked.connect(self._predict)
        panel.keep_clicked.connect(self._keep)

    def close(self) -> None:
        """Stop following; the layers stay."""
        self._connections.close()

    def begin(self, placement: Placement) -> None:
        """Note where the image lies whose part is about to be predicted."""
        self._placement = placement

    def forget(self) -> None:
        """Let go of a trial that is about another finding; the layers stay."""
        self._trial = None
        self._form.panel.show_trial(None)

    def show_state(self, *, running: bool) -> None:
        """Enable what can be done with the trial that is shown."""
        trial = self._trial
        if trial is None:
            return
        session = self._session
        ready = not running and session.network is trial.plan.source
        already = session.settings.statistics == trial.plan.settings.statistics
        self._form.panel.trial.show_state(ready=ready, so_already=already)

    def _show(self, trial: Trial) -> None:
        assert self._placement is not None
        self._trial = trial
        groups = {EACH_TILE: trial.before, FIXED: trial.after}
        name = trial.plan.tiles.image.name
        self._layers.open(name, trial.plan.classes, self._placement, trial.part.start, groups)
        self._form.panel.show_trial(trial)

    def _predict(self) -> None:
        if self._trial is not None:
            self._diagnosing.predict_so(self._trial)
            self._say("Predict takes statistics of a region now.", "ok")

    def _keep(self) -> None:
        trial = self._trial
        if trial is None:
            return
        source = trial.plan.source
        path = dialogs.ask_network_path(
            self._form, "Save the network", f"{source.spec.name}-frozen.safetensors"
        )
        if path is None:
            return
        try:
            self._diagnosing.keep_network(trial, path)
        except TilesegError as error:
            self._say(problem_words(error), "error")

    def _show_kept(self, path: Path) -> None:
        self._say(f"Network saved, and chosen: {path}", "ok")
