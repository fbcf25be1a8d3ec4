"""Has networks trained, kept, discarded, undone and exported, as the user presses in the form."""

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
from napari_tileseg.session.finetune.finetuner import Teaching
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
    teaching : Teaching
        Runs trainings, and keeps what they give. It may go on when this is closed.
    strokes : StrokeControl
        Knows the labels to learn from.
    form : FinetuneForm
        What the user sees.
    """

    def __init__(
        self,
        viewer: Viewer,
        session: Session,
        teaching: Teaching,
        strokes: StrokeControl,
        form: FinetuneForm,
    ) -> None:
        super().__init__()
        self._session = session
        self._teaching = teaching
        self._strokes = strokes
        self._form = form
        self._live = LiveView(viewer, teaching, form)
        self._training = TrainingView(teaching, form)
        #: What is wrong with an entry for training, as a sentence.
        self._unread = ""
        self._connections = Connections(
            (session.image_changed, self._show_state),
            (session.network_changed, self._take_network),
            (session.situation_changed, self._show_state),
            (session.results.changed, self._show_earlier),
            (session.jobs.busy_changed, self._show_earlier),
            (teaching.changed, self._show_state),
            (teaching.told, self._hear),
            (teaching.kept, self._name_place),
            (teaching.exported, self._say_exported),
            (teaching.failed, self._fail),
        )
        strokes.changed.connect(self._show_state)
        strokes.changed.connect(self._look_again)
        strokes.painted.connect(self._look_again)
        strokes.removed.connect(lambda: teaching.stop("The labels layer was removed."))
        self._connect_form()
        self._show_state()
        self._look_for_rescued()

    def _look_for_rescued(self) -> None:
        """Say that a training was left without a decision, until its network is the one in use."""
        recent, chosen = recent_networks(), self._session.network
        used = chosen is not None and chosen.reference.path in recent[:1]
        self._training.notice = "" if used else rescued_words(recent)
        self._training.remark()

    def _connect_form(self) -> None:
        form = self._form
        form.start_clicked.connect(self._start)
        form.pause_clicked.connect(self._teaching.pause)
        form.stop_clicked.connect(self._teaching.stop)
        form.keep_clicked.connect(self._keep)
        form.discard_clicked.connect(self._discard)
        form.undo_clicked.connect(self._teaching.undo)
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
        session, teaching, form = self._session, self._teaching, self._form
        readiness = measured_readiness(session.situation, self._question())
        form.subject.say(self._subject(readiness))
        form.train.conversion.say(*self._conversion())
        form.train.conversion.setToolTip(self._conversion_numbers())
        labels = self._strokes.layer is not None
        ready = readiness.ready and labels
        form.set_state(teaching.state, ready=ready, paused=teaching.paused, stopping=teaching.stopping)
        # What has to be chosen or painted first is said above.
        silent = teaching.state != "idle" or None in self._names() or not labels
        form.why.say("" if silent else readiness.obstacle, "error" if readiness.wrong else "")
        network = session.network
        form.set_network(
            former=teaching.former.spec.name if teaching.former is not None else "",
            settled=teaching.state == "idle",
            export=network is not None
            and is_of_project(network.reference.path)
            and not session.jobs.running("network"),
        )
        self._show_earlier()

    def _show_earlier(self, _: object = None) -> None:
        """Say where what is seen was made by another network than the one that was kept."""
        session, network, words = self._session, self._session.network, ""
        if network is not None and self._teaching.former is not None and self._teaching.state == "idle":
            words = earlier_words(session.results.all, session.image_choice.reference, network.sha256)
        self._form.show_earlier(words, ready=session.readiness.ready and not session.prediction.running)

    def _look_again(self) -> None:
        """What was wrong with the labels may be so no more, as they have changed."""
        if self._teaching.state == "idle":
            course = self._teaching.course
            if course is not None and not course.learned:
                self._teaching.forget()
            self._training.remark()

    def _question(self) -> str:
        """What has to be said or mended in this panel before a training can start; "" where nothing has."""
        if self._unread:
            return self._unread
        try:
            self._strokes.meaning()
        except TilesegError as error:
            return problem_words(error)
        return ""

    def _subject(self, readiness: Readiness) -> str:
        """What is trained, or would be."""
        run = self._teaching.run
        if run is not None:
            return subject_words(run.order.image.name, run.order.network.spec.name, readiness)
        return subject_words(*self._names(), readiness)

    def _names(self) -> tuple[str | None, str | None]:
        session = self._session
        return names_in_use(session.situation, session.image, session.network)

    def _conversion(self) -> tuple[str, str]:
        """What becomes of the network's layers, or has become of them."""
        run, course, network = self._teaching.run, self._teaching.course, self._session.network
        if run is not None and course is not None and course.calibrated is not None:
            return calibrated_words(course.calibrated), ""
        network = network if run is None else run.order.network
        if network is None:
            return "", ""
        try:
            norm = self._form.train.settings().norm if run is None else run.order.training.norm
        except TilesegError:
            norm = TrainSettings().norm
        return conversion_words(network.spec, norm), ""

    def _conversion_numbers(self) -> str:
        course = self._teaching.course
        if self._teaching.run is None or course is None or course.calibrated is None:
            return ""
        return f"<p>{calibrated_numbers(course.calibrated)}</p>"

    def _hear(self, event: object) -> None:
        if isinstance(event, Calibrated):
            self._show_state()

    def _start(self) -> None:
        self._form.message.say("")
        try:
            meaning, settings = self._strokes.meaning(), self._form.train.settings()
            layer, image = self._strokes.layer, self._session.image
            assert layer is not None
            assert image is not None
            self._teaching.start(layer.data, meaning, settings, self._live.seen(image))
        except TilesegError as error:
            self._form.message.say(problem_words(error), "error")

    def _keep(self, which: str) -> None:
        self._form.message.say("")
        self._teaching.keep("best" if which == "best" else "last")

    def _discard(self) -> None:
        self._teaching.discard()

    def _export(self) -> None:
        network = self._session.network
        if network is None:
            return
        target = dialogs.ask_export_path(self._form, f"{network.spec.name}.safetensors")
        if target is not None:
            try:
                self._teaching.export(target)
            except TilesegError as error:
                self._form.message.say(problem_words(error), "error")

    def _name_place(self, path: Path) -> None:
        self._form.message.setToolTip(f"<p>{path}</p>")

    def _say_exported(self, path: Path) -> None:
        self._form.message.say(f"Exported: {path}", "ok")

    def _fail(self, error: Exception) -> None:
        course = self._teaching.course
        # That of a training is shown with all else that it has told.
        if course is None or course.error is not error:
            self._form.message.say(problem_words(error), "error")
