"""Has networks trained, kept, discarded, undone and exported, as the user presses in the form."""

from __future__ import annotations

from pathlib import Path

from napari.viewer import Viewer
from qtpy.QtCore import QObject

from napari_tileseg._qt import dialogs
from napari_tileseg._qt.connections import Connections
from napari_tileseg._qt.finetune_form import FinetuneForm
from napari_tileseg._qt.live_view import LiveView
from napari_tileseg._qt.stroke_control import StrokeControl
from napari_tileseg._qt.training_view import TrainingView
from napari_tileseg.errors import TilesegError
from napari_tileseg.session import Session
from napari_tileseg.session.home import recent_networks
from napari_tileseg.session.network_files import is_of_project
from napari_tileseg.session.teaching import Teaching
from napari_tileseg.session.teaching_words import (
    calibrated_words,
    conversion_words,
    error_words,
    rescued_words,
)
from napari_tileseg.settings import TrainSettings
from napari_tileseg.train.events import Calibrated


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
            (session.network_changed, self._show_state),
            (session.plan_changed, self._show_state),
            (teaching.changed, self._show_state),
            (teaching.told, self._hear),
            (teaching.kept, self._say_kept),
            (teaching.exported, self._say_exported),
            (teaching.failed, self._fail),
        )
        strokes.changed.connect(self._show_state)
        strokes.removed.connect(lambda: teaching.stop("The labels layer was removed."))
        self._connect_form()
        self._show_state()
        recent, chosen = recent_networks(), session.network
        if teaching.course is None and (chosen is None or chosen.reference.path not in recent[:1]):
            form.message.say(rescued_words(recent))

    def _connect_form(self) -> None:
        form = self._form
        form.start_clicked.connect(self._start)
        form.pause_clicked.connect(self._teaching.pause)
        form.stop_clicked.connect(self._teaching.stop)
        form.keep_clicked.connect(self._keep)
        form.discard_clicked.connect(self._discard)
        form.undo_clicked.connect(self._undo)
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

    def _show_state(self, _: object = None) -> None:
        session, teaching, form = self._session, self._teaching, self._form
        form.subject.say(self._subject())
        form.train.conversion.say(*self._conversion())
        there = session.image is not None and session.network is not None
        ready = there and session.normalization is not None and self._strokes.layer is not None
        form.set_state(teaching.state, ready=ready, paused=teaching.paused, stopping=teaching.stopping)
        network = session.network
        form.set_network(
            former=teaching.former.spec.name if teaching.former is not None else "",
            settled=teaching.state == "idle",
            export=network is not None and is_of_project(network.reference.path),
        )

    def _subject(self) -> str:
        """What is trained, or would be."""
        run = self._teaching.run
        if run is not None:
            return f"{run.order.image.name} with {run.order.network.spec.name}"
        image, network = self._session.image, self._session.network
        missing = [name for name, part in (("an image", image), ("a network", network)) if part is None]
        if image is None or network is None:
            return f"Choose {' and '.join(missing)} in the Predict widget."
        return f"{image.name} with {network.spec.name}"

    def _conversion(self) -> tuple[str, str]:
        """What becomes of the network's layers, or has become of them."""
        run, course, network = self._teaching.run, self._teaching.course, self._session.network
        if run is not None and course is not None and course.calibrated is not None:
            return calibrated_words(course.calibrated), "ok"
        network = network if run is None else run.order.network
        if network is None:
            return "", ""
        try:
            norm = self._form.train.settings().norm if run is None else run.order.training.norm
        except TilesegError:
            norm = TrainSettings().norm
        return conversion_words(network.spec, norm), ""

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
            self._form.message.say(error_words(error), "error")

    def _keep(self, which: str) -> None:
        self._form.message.say("")
        self._teaching.keep("best" if which == "best" else "last")

    def _discard(self) -> None:
        self._teaching.discard()
        self._form.message.say("")
        self._form.progress.say("Discarded; the network is the one it was.")

    def _undo(self) -> None:
        left, former = self._session.network, self._teaching.former
        self._teaching.undo()
        if left is not None and former is not None and self._session.network is former:
            self._form.message.say(
                f"{former.spec.name} is the network again; {left.spec.name} stays a file of the project.",
                "ok",
            )

    def _export(self) -> None:
        network = self._session.network
        if network is None:
            return
        target = dialogs.ask_export_path(self._form, f"{network.spec.name}.safetensors")
        if target is not None:
            try:
                self._teaching.export(target)
            except TilesegError as error:
                self._form.message.say(str(error), "error")

    def _say_kept(self, path: Path) -> None:
        self._form.message.say(f"{path.stem} is the network from now on; it is kept in the project.", "ok")
        self._form.message.setToolTip(f"<p>{path}</p>")

    def _say_exported(self, path: Path) -> None:
        self._form.message.say(f"Exported: {path}", "ok")

    def _fail(self, error: Exception) -> None:
        course = self._teaching.course
        # That of a training is shown with all else that it has told.
        if course is None or course.error is not error:
            self._form.message.say(error_words(error), "error")
