"""Runs trainings for the form, and shows how they go in the form and in the viewer."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from napari.viewer import Viewer
from qtpy.QtCore import QObject, QTimer

from napari_tileseg._napari.image_place import placement_in
from napari_tileseg._napari.live_prediction import LivePrediction
from napari_tileseg._napari.placement import Placement
from napari_tileseg._napari.view import box_in_view
from napari_tileseg._qt import dialogs
from napari_tileseg._qt.connections import Connections
from napari_tileseg._qt.finetune_form import FinetuneForm
from napari_tileseg._qt.stroke_control import StrokeControl
from napari_tileseg._qt.turns import Turns
from napari_tileseg.errors import TilesegError
from napari_tileseg.predict.events import Noted, Progress
from napari_tileseg.session import Ended, Session
from napari_tileseg.session.finetuning_events import Scored
from napari_tileseg.session.preview import TileShown
from napari_tileseg.session.teaching import Teaching
from napari_tileseg.session.teaching_numbers import Numbers
from napari_tileseg.session.teaching_words import (
    calibrated_words,
    conversion_words,
    number_rows,
    step_words,
    trained_words,
)
from napari_tileseg.settings import TrainSettings
from napari_tileseg.tiling import Box
from napari_tileseg.train.events import Calibrated, StepDone, Trained, Validated

#: Least time between two drawings of the curve, and from a change of the view to its effect.
CURVE_MS = 250
VIEW_MS = 80


class FinetuneControl(QObject):
    """Joins the form's lower half, the viewer, and the training of a session's network.

    Parameters
    ----------
    viewer : Viewer
        Where predictions are shown.
    session : Session
        Whose network is trained.
    teaching : Teaching
        Runs trainings, and keeps what they give.
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
        self._viewer = viewer
        self._session = session
        self._teaching = teaching
        self._strokes = strokes
        self._form = form
        self._turns = Turns()
        self._live = LivePrediction(viewer, self._turns)
        self._placement: Placement | None = None
        self._before: Numbers | None = None
        self._after: Numbers | None = None
        self._validated: Validated | None = None
        self._trained: Trained | None = None
        #: Why training was stopped by something else than the user's Stop.
        self._why = ""
        self._drawing = _timer(CURVE_MS, self._draw)
        self._looking = _timer(VIEW_MS, self._look)
        camera, dims = viewer.scene.camera.events, viewer.dims.events
        view = (camera.center, camera.zoom, camera.angles, dims.point, dims.order, dims.ndisplay)
        self._connections = Connections(
            *((emitter, self._view_changed) for emitter in view),
            (session.image_changed, self._show_state),
            (session.network_changed, self._show_network),
            (session.plan_changed, self._show_state),
            (teaching.changed, self._show_state),
            (teaching.told, self._hear),
            (teaching.kept, self._say_kept),
            (teaching.exported, self._say_exported),
            (teaching.failed, self._fail),
        )
        strokes.changed.connect(self._show_state)
        strokes.removed.connect(self._stop_without_labels)
        form.start_clicked.connect(self._start)
        form.pause_clicked.connect(teaching.pause)
        form.stop_clicked.connect(self._stop)
        form.keep_clicked.connect(self._keep)
        form.discard_clicked.connect(self._discard)
        form.undo_clicked.connect(self._undo)
        form.export_clicked.connect(self._export)
        form.live_toggled.connect(self._show_live)
        form.before_toggled.connect(self._live.show_before)
        form.train.changed.connect(self._show_network)
        form.train.invalid.connect(lambda text: form.message.say(text, "error"))
        form.show_run(False)
        form.show_live(False)
        self._show_network()

    def close(self) -> None:
        """Follow viewer and session no more; the live prediction goes, as nobody keeps it up."""
        self._drawing.stop()
        self._looking.stop()
        self._turns.close()
        self._connections.close()
        self._live.remove()

    def _show_network(self, _: object = None) -> None:
        network = self._session.network
        try:
            norm = self._form.train.settings().norm
        except TilesegError:
            norm = TrainSettings().norm
        words = "" if network is None else conversion_words(network.spec, norm)
        self._form.train.conversion.say(words)
        self._show_state()

    def _show_state(self, _: object = None) -> None:
        session, teaching, form = self._session, self._teaching, self._form
        image, network = session.image, session.network
        missing = [name for name, part in (("an image", image), ("a network", network)) if part is None]
        if image is None or network is None:
            form.subject.say(f"Choose {' and '.join(missing)} in the Predict widget.")
        else:
            form.subject.say(f"{image.name} with {network.spec.name}")
        ready = not missing and session.normalization is not None and self._strokes.layer is not None
        form.set_state(teaching.state, ready=ready, paused=teaching.paused)
        tuned = network is not None and teaching.is_kept(network)
        form.set_network(undo=teaching.can_undo and teaching.state == "idle", export=tuned)

    def _start(self) -> None:
        form, session = self._form, self._session
        form.message.say("")
        try:
            meaning, settings = self._strokes.meaning(), form.train.settings()
            layer, image, network = self._strokes.layer, session.image, session.network
            assert layer is not None
            assert image is not None
            assert network is not None
            self._placement = placement_in(self._viewer, image)
            self._teaching.start(layer.data, meaning, settings, self._view(self._placement, image.shape))
        except TilesegError as error:
            form.message.say(str(error), "error")
            return
        self._before = self._after = self._validated = self._trained = None
        self._why = ""
        form.show_run(True)
        form.progress.say("Starting\N{HORIZONTAL ELLIPSIS}")
        self._draw()
        self._show_numbers()
        self._open_live(network.spec.classes, image.name)

    def _view(self, placement: Placement, shape: tuple[int, ...]) -> Box:
        return box_in_view(self._viewer, placement, shape)

    def _open_live(self, classes: tuple[str, ...], title: str) -> None:
        run = self._teaching.run
        if run is None or self._placement is None:
            return
        self._live.open(run.preview.before, run.preview.now, title, classes, self._placement)
        self._form.show_live(True)
        self._form.now.setChecked(True)
        self._show_live(self._form.live.isChecked())

    def _close_live(self) -> None:
        self._live.remove()
        self._form.show_live(False)

    def _show_live(self, shown: bool) -> None:
        self._live.show(shown)
        self._teaching.show_preview(shown)
        self._form.before.setEnabled(shown)
        self._form.now.setEnabled(shown)

    def _view_changed(self, event: object = None) -> None:
        del event
        if self._teaching.state == "running" and not self._looking.isActive():
            self._looking.start()

    def _look(self) -> None:
        run = self._teaching.run
        if run is not None and self._placement is not None:
            self._teaching.look_at(self._view(self._placement, run.order.image.shape))

    def _stop(self) -> None:
        self._teaching.stop()
        self._form.progress.say("Stopping after the present step\N{HORIZONTAL ELLIPSIS}")
        self._form.stop.setEnabled(False)
        self._form.pause.setEnabled(False)

    def _stop_without_labels(self) -> None:
        if self._teaching.state == "running":
            self._stop()
            self._why = "The labels layer was removed; what was learned can be kept."
            self._form.message.say(self._why, "warning")

    def _hear(self, event: object) -> None:
        form = self._form
        match event:
            case StepDone():
                self._show_step(event)
            case Validated():
                self._validated = event
                self._show_numbers()
            case TileShown():
                self._live.refresh()
            case Progress():
                self._show_bar(event.fraction, f"{event.what}: {event.fraction:.0%}")
            case Calibrated():
                form.train.conversion.say(calibrated_words(event), "ok")
            case Noted():
                form.message.say(event.message, "warning")
            case Scored():
                self._take_numbers(event)
            case Trained():
                self._trained = event
                self._draw()
            case Ended():
                self._end(event)

    def _end(self, event: Ended) -> None:
        """Say how training ended, once the numbers after it are there too."""
        trained = self._trained
        self._say_ended()
        if trained is not None:
            notes = " ".join(filter(None, (self._why, trained.message)))
            if notes:
                self._form.message.say(notes, "warning")
        if self._teaching.state == "idle":
            self._close_live()
            self._form.show_run(False)
            self._form.progress.say("" if event.error else "Stopped before the first step.")

    def _say_ended(self) -> None:
        trained = self._trained
        deciding = trained is not None and self._teaching.state == "deciding"
        kind = "warning" if trained is not None and trained.reason != "done" else "ok"
        self._form.progress.say(trained_words(trained) if deciding and trained is not None else "", kind)

    def _show_step(self, event: StepDone) -> None:
        self._show_bar(event.step / max(event.total, event.step), step_words(event, self._teaching.paused))
        if not self._drawing.isActive():
            self._drawing.start()

    def _show_bar(self, fraction: float, text: str) -> None:
        self._form.bar.setMaximum(1000)
        self._form.bar.setValue(round(fraction * 1000))
        self._form.progress.say(text)

    def _take_numbers(self, event: Scored) -> None:
        if event.when == "before":
            self._before = event.numbers
        else:
            self._after = event.numbers
        self._show_numbers()

    def _show_numbers(self) -> None:
        self._form.numbers.set_rows(number_rows(self._before, self._after, self._validated))

    def _draw(self) -> None:
        self._form.curve.show_curve(self._teaching.curve)

    def _keep(self, which: str) -> None:
        self._form.message.say("")
        self._form.progress.say("Keeping\N{HORIZONTAL ELLIPSIS}")
        self._teaching.keep("best" if which == "best" else "last")

    def _discard(self) -> None:
        self._teaching.discard()
        self._close_live()
        self._form.show_run(False)
        self._form.progress.say("Discarded; the network is the one it was.")
        self._show_network()

    def _undo(self) -> None:
        self._teaching.undo()
        self._form.message.say("The former network is back.")

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
        self._close_live()
        self._form.progress.say("")
        self._form.message.say(f"{path.stem} is the network from now on; it is kept in the project.", "ok")
        self._form.message.setToolTip(f"<p>{path}</p>")

    def _say_exported(self, path: Path) -> None:
        self._form.message.say(f"Exported: {path}", "ok")

    def _fail(self, error: Exception) -> None:
        known = isinstance(error, TilesegError)
        text = (
            str(error) if known else f"Unexpected {type(error).__name__}: {error}. The log has the details."
        )
        self._form.message.say(text, "error")
        self._say_ended()


def _timer(interval: int, tick: Callable[[], None]) -> QTimer:
    timer = QTimer()
    timer.setInterval(interval)
    timer.setSingleShot(True)
    timer.timeout.connect(tick)
    return timer
