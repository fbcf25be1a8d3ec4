"""Trains, keeps, discards, restores and exports networks, as the user presses in the form."""

from __future__ import annotations

from pathlib import Path

from napari.viewer import Viewer
from qtpy.QtCore import QObject

from napari_tileseg._qt.common import dialogs
from napari_tileseg._qt.common.connections import Connections
from napari_tileseg._qt.finetune.form import FinetuneForm
from napari_tileseg._qt.finetune.live_view import LiveView
from napari_tileseg._qt.finetune.stroke_control import StrokeControl
from napari_tileseg._qt.finetune.training_view import TrainingView
from napari_tileseg.errors import TilesegError
from napari_tileseg.session import Session
from napari_tileseg.session.finetune.finetuner import Finetuner
from napari_tileseg.session.finetune.outcome import earlier_words
from napari_tileseg.session.finetune.words import (
    calibrated_numbers,
    calibrated_words,
    conversion_words,
    rescued_words,
)
from napari_tileseg.session.prediction.readiness import (
    Readiness,
    measured_readiness,
    names_in_use,
    problem_words,
    subject_words,
)
from napari_tileseg.session.project.network_files import is_of_project
from napari_tileseg.session.project.recent import recent_networks
from napari_tileseg.settings import TrainSettings
from napari_tileseg.training.events import Calibrated


class FinetuneControl(QObject):
    """Joins the form's lower half with the training of a session's network, which may be under way already.

    Parameters
    ----------
    viewer : Viewer
        Where predictions are shown.
    session : Session
        Whose network is trained.
    finetuner : Finetuner
        Runs trainings, and holds their results. It may continue when this is closed.
    strokes : StrokeControl
        Knows the labels to learn from.
    form : FinetuneForm
        What the user sees.
    """

    def __init__(
        self,
        viewer: Viewer,
        session: Session,
        finetuner: Finetuner,
        strokes: StrokeControl,
        form: FinetuneForm,
    ) -> None:
        super().__init__()
        self._session = session
        self._finetuner = finetuner
        self._strokes = strokes
        self._form = form
        self._live = LiveView(viewer, finetuner, form)
        self._training = TrainingView(finetuner, form)
        #: What is wrong with an entry for training, as a sentence.
        self._unread = ""
        self._connections = Connections(
            (session.image_changed, self._show_state),
            (session.network_changed, self._take_network),
            (session.situation_changed, self._show_state),
            (session.results.changed, self._show_earlier),
            (session.jobs.busy_changed, self._show_earlier),
            (finetuner.changed, self._show_state),
            (finetuner.reported, self._receive),
            (finetuner.kept, self._show_path),
            (finetuner.exported, self._show_exported),
            (finetuner.failed, self._fail),
        )
        strokes.changed.connect(self._show_state)
        strokes.changed.connect(self._look_again)
        strokes.painted.connect(self._look_again)
        strokes.removed.connect(lambda: finetuner.stop("The labels layer was removed."))
        self._connect_form()
        self._show_state()
        self._look_for_rescued()

    def _look_for_rescued(self) -> None:
        """Show that a training was left without a decision, until its network is the one in use."""
        recent, chosen = recent_networks(), self._session.network
        used = chosen is not None and chosen.reference.path in recent[:1]
        self._training.notice = "" if used else rescued_words(recent)
        self._training.remark()

    def _connect_form(self) -> None:
        form = self._form
        form.start_clicked.connect(self._start)
        form.pause_clicked.connect(self._finetuner.pause)
        form.stop_clicked.connect(self._finetuner.stop)
        form.keep_clicked.connect(self._keep)
        form.discard_clicked.connect(self._discard)
        form.undo_clicked.connect(self._finetuner.undo)
        form.export_clicked.connect(self._export)
        form.train.changed.connect(self._show_state)
        form.train.checked.connect(self._take_check)

    def close(self) -> None:
        """Follow viewer, session and trainings no more."""
        self._live.close()
        self._training.close()
        self._connections.close()

    def _take_check(self, problem: str) -> None:
        self._unread = problem
        self._show_state()

    def _take_network(self, _: object = None) -> None:
        self._show_state()
        self._look_for_rescued()

    def _show_state(self, _: object = None) -> None:
        session, finetuner, form = self._session, self._finetuner, self._form
        readiness = measured_readiness(session.situation, self._question())
        form.subject.show_text(self._subject(readiness))
        form.train.conversion.show_text(*self._conversion())
        form.train.conversion.setToolTip(self._conversion_numbers())
        labels = self._strokes.layer is not None
        ready = readiness.ready and labels
        form.set_state(finetuner.state, ready=ready, paused=finetuner.paused, stopping=finetuner.stopping)
        # What has to be chosen or painted first is shown above.
        silent = finetuner.state != "idle" or None in self._names() or not labels
        form.why.show_text("" if silent else readiness.obstacle, "error" if readiness.wrong else "")
        network = session.network
        form.set_network(
            former=finetuner.former.spec.name if finetuner.former is not None else "",
            settled=finetuner.state == "idle",
            export=network is not None
            and is_of_project(network.reference.path)
            and not session.jobs.running("network"),
        )
        self._show_earlier()

    def _show_earlier(self, _: object = None) -> None:
        """Show where what is seen was made by another network than the one that was kept."""
        session, network, words = self._session, self._session.network, ""
        if network is not None and self._finetuner.former is not None and self._finetuner.state == "idle":
            words = earlier_words(session.results.all, session.image_choice.reference, network.sha256)
        self._form.show_earlier(words, ready=session.readiness.ready and not session.prediction.running)

    def _look_again(self) -> None:
        """Drop what was wrong with the labels, as they have changed."""
        if self._finetuner.state == "idle":
            log = self._finetuner.log
            if log is not None and not log.learned:
                self._finetuner.forget()
            self._training.remark()

    def _question(self) -> str:
        """Return what has to be entered or mended before a training can start; "" where nothing has."""
        if self._unread:
            return self._unread
        try:
            self._strokes.meaning()
        except TilesegError as error:
            return problem_words(error)
        return ""

    def _subject(self, readiness: Readiness) -> str:
        """Return what is trained, or would be."""
        request = self._finetuner.request
        if request is not None:
            return subject_words(request.image.name, request.network.spec.name, readiness)
        return subject_words(*self._names(), readiness)

    def _names(self) -> tuple[str | None, str | None]:
        session = self._session
        return names_in_use(session.situation, session.image, session.network)

    def _conversion(self) -> tuple[str, str]:
        """Return what becomes of the network's layers, or has become of them."""
        request, log, network = self._finetuner.request, self._finetuner.log, self._session.network
        if request is not None and log is not None and log.calibrated is not None:
            return calibrated_words(log.calibrated), ""
        network = network if request is None else request.network
        if network is None:
            return "", ""
        try:
            norm = self._form.train.settings().norm if request is None else request.training.norm
        except TilesegError:
            norm = TrainSettings().norm
        return conversion_words(network.spec, norm), ""

    def _conversion_numbers(self) -> str:
        log = self._finetuner.log
        if self._finetuner.request is None or log is None or log.calibrated is None:
            return ""
        return f"<p>{calibrated_numbers(log.calibrated)}</p>"

    def _receive(self, event: object) -> None:
        if isinstance(event, Calibrated):
            self._show_state()

    def _start(self) -> None:
        self._form.message.show_text("")
        try:
            meaning, settings = self._strokes.meaning(), self._form.train.settings()
            layer, image = self._strokes.layer, self._session.image
            assert layer is not None
            assert image is not None
            self._finetuner.start(layer.data, meaning, settings, self._live.seen(image))
        except TilesegError as error:
            self._form.message.show_text(problem_words(error), "error")

    def _keep(self, which: str) -> None:
        self._form.message.show_text("")
        self._finetuner.keep("best" if which == "best" else "last")

    def _discard(self) -> None:
        self._finetuner.discard()

    def _export(self) -> None:
        network = self._session.network
        if network is None:
            return
        target = dialogs.ask_network_path(
            self._form, "Export the network", f"{network.spec.name}.safetensors"
        )
        if target is not None:
            try:
                self._finetuner.export(target)
            except TilesegError as error:
                self._form.message.show_text(problem_words(error), "error")

    def _show_path(self, path: Path) -> None:
        self._form.message.setToolTip(f"<p>{path}</p>")

    def _show_exported(self, path: Path) -> None:
        self._form.message.show_text(f"Exported: {path}", "ok")

    def _fail(self, error: Exception) -> None:
        log = self._finetuner.log
        # That of a training is shown with its other events.
        if log is None or log.error is not error:
            self._form.message.show_text(problem_words(error), "error")
