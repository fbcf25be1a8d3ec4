"""A window asks once about all that runs before it closes; nothing lets go unless it does close."""

import threading

import napari._qt.qt_main_window as napari_window
import pytest
from qtpy.QtGui import QCloseEvent
from qtpy.QtWidgets import QApplication, QDialog, QMainWindow

from napari_tileseg._qt.common import dialogs
from napari_tileseg._qt.diagnose.widget import DiagnoseWidget
from napari_tileseg._qt.finetune.widget import FinetuneWidget
from napari_tileseg._qt.viewer.close_guard import guard_of
from napari_tileseg.prediction.events import Saved
from napari_tileseg.session.diagnosis.diagnoser import Diagnoser
from napari_tileseg.session.finetune.finetuner import Finetuner
from napari_tileseg.session.painting.record import StrokeClass
from napari_tileseg.session.prediction.run import PredictionRun
from napari_tileseg.session.project.results import Results
from napari_tileseg.settings import PredictSettings

CLASSES = (StrokeClass(value=1, name="foreground", color=(255, 0, 255)),)
OURS = {
    "ask_close": "prediction",
    "ask_close_saving": "saving",
    "ask_close_diagnosis": "diagnosis",
    "ask_close_training": "training",
    "ask_close_unsaved": "unsaved",
}
ALL = ["prediction", "saving", "diagnosis", "training", "napari"]


class ByAPerson(QCloseEvent):
    """As if a person had clicked the cross of the window, which only the window system can say."""

    def spontaneous(self):
        return True


def click_the_cross(window):
    event = ByAPerson()
    QApplication.sendEvent(window, event)
    return event.isAccepted()


def press_ctrl_w(window):
    """Close the window as napari's menu does."""
    return bool(window.close(quit_app=False, confirm_need=True))


def press_ctrl_q(window):
    return bool(window.close(quit_app=True, confirm_need=True))


@pytest.fixture
def questions(monkeypatch):
    """Note who asks what, and answer yes to all but those that are refused."""

    class Questions(list):
        refused = ()
        then = staticmethod(lambda: None)

        def answer(self, what, window):
            self.then()
            # Not the window itself, which would stay alive.
            self.append((what, id(window)))
            return what not in self.refused

    asked = Questions()

    class NapariAsks(QDialog):
        def __init__(self, window, *_, **__):
            super().__init__(window)
            self._window = window

        def exec_(self):
            code = QDialog.DialogCode
            return code.Accepted if asked.answer("napari", self._window) else code.Rejected

    monkeypatch.setattr(napari_window, "ConfirmCloseDialog", NapariAsks)
    for name, what in OURS.items():
        monkeypatch.setattr(dialogs, name, lambda window, what=what: asked.answer(what, window))
    return asked


@pytest.fixture
def docks(ready, qtbot):
    """Dock all widgets, of a viewer whose session has an image and a network."""
    tune, diagnose = FinetuneWidget(ready.viewer), DiagnoseWidget(ready.viewer)
    for widget in (tune, diagnose):
        ready.viewer.window.add_dock_widget(widget)
    qtbot.wait(10)
    return ready, tune, diagnose


@pytest.fixture
def busy(monkeypatch):
    """Call to have every session predict and save, and every diagnosis and training be under way."""

    def busy():
        monkeypatch.setattr(PredictionRun, "running", True)
        monkeypatch.setattr(Results, "saving", True)
        monkeypatch.setattr(Diagnoser, "running", True)
        monkeypatch.setattr(Finetuner, "state", "deciding")

    return busy


def window_of(widget):
    return widget.viewer.window._qt_window


@pytest.mark.parametrize("refused", ALL)
@pytest.mark.parametrize("close", [click_the_cross, press_ctrl_w, press_ctrl_q])
def test_one_no_keeps_the_window_open_and_all_that_is_in_it(docks, busy, questions, until, close, refused):
    window = window_of(docks[0])
    busy()
    questions.refused = (refused,)
    assert not close(window)
    assert questions == [(what, id(window)) for what in ALL[: ALL.index(refused) + 1]]
    assert not any(widget._closed for widget in docks)
    strokes = docks[1].strokes
    painting = strokes.begin(CLASSES)
    painting.array[5:8, 5] = 1
    until(lambda: painting.saved and painting.settled)


def test_all_let_go_once_the_window_closes(docks, busy, questions, no_thread_left):
    busy()
    painting = docks[1].strokes.begin(CLASSES)
    painting.array[5:8, 5] = 1
    assert click_the_cross(window_of(docks[0]))
    assert [what for what, _ in questions] == ALL
    assert all(widget._closed for widget in docks)
    assert painting.settled
    assert painting.folder
    no_thread_left()


@pytest.mark.usefixtures("questions")
def test_a_window_is_out_of_sight_while_what_runs_in_it_stops(docks):
    seen = []

    def look():
        # Holds no window, which would stay alive.
        seen.append(
            [each.isVisible() for each in QApplication.topLevelWidgets() if isinstance(each, QMainWindow)]
        )

    window_of(docks[0]).show()
    look()
    guard_of(docks[0].viewer, docks[0]).closed.connect(look)
    assert click_the_cross(window_of(docks[0]))
    assert seen == [[True], [False]]


def test_a_window_that_closes_lets_go_even_if_quitting_fails(docks, questions, monkeypatch):
    def fail():
        raise RuntimeError("another window is gone already")

    monkeypatch.setattr(napari_window, "quit_app_", fail)
    window_of(docks[0])._quit_app = True
    with pytest.raises(RuntimeError, match="gone already"):
        window_of(docks[0]).closeEvent(ByAPerson())
    window_of(docks[0])._quit_app = False
    assert [what for what, _ in questions] == ["napari"]
    assert all(widget._closed for widget in docks)


def test_a_program_closes_without_a_question(docks, busy, questions, no_thread_left):
    busy()
    docks[0].viewer.close()
    assert questions == []
    assert all(widget._closed for widget in docks)
    no_thread_left()


def test_quitting_asks_in_every_window(docks, busy, questions, make_napari_viewer, qtbot):
    second, third = make_napari_viewer(), make_napari_viewer()
    other = FinetuneWidget(second)
    second.window.add_dock_widget(other)
    third.add_image(docks[0].viewer.layers[0].data)
    qtbot.wait(10)
    busy()
    questions.refused = ("napari",)
    quitting = third.window._qt_window
    assert not press_ctrl_q(quitting)
    assert questions[-1] == ("napari", id(quitting))
    training = {window for what, window in questions if what == "training"}
    assert training == {id(window_of(docks[0])), id(window_of(other))}
    assert not other._closed


def test_a_training_is_asked_about_after_its_dock_was_closed(docks, busy, questions):
    tune = docks[1]
    finetuner = tune.finetuner
    busy()
    tune.viewer.window.remove_dock_widget(tune)
    assert tune._closed
    questions.refused = ("training",)
    window = window_of(docks[0])
    assert not click_the_cross(window)
    assert questions[-1] == ("training", id(window))
    again = FinetuneWidget(tune.viewer)
    assert again.finetuner is finetuner
    again.release()


def test_what_cannot_be_saved_is_asked_about(docks, questions, until, monkeypatch):
    def broken(*_):
        raise OSError("no space left")

    monkeypatch.setattr("napari_tileseg.session.painting.files.write_bytes", broken)
    strokes = docks[1].strokes
    painting = strokes.begin(CLASSES)
    painting.array[5:8, 5] = 1
    until(lambda: painting.error)
    docks[1].viewer.window.remove_dock_widget(docks[1])
    questions.refused = ("unsaved",)
    assert not click_the_cross(window_of(docks[0]))
    assert [what for what, _ in questions] == ["unsaved"]
    monkeypatch.undo()


def test_closing_asks_only_what_napari_asks_when_nothing_runs(docks, questions):
    assert click_the_cross(window_of(docks[0]))
    assert [what for what, _ in questions] == ["napari"]


def test_a_prediction_goes_on_after_a_no_and_stops_after_a_yes(docks, questions, until, no_thread_left):
    ready, told, go_on, written = docks[0], [], threading.Event(), threading.Event()

    def wait_for_the_question(_):
        written.set()
        go_on.wait(60)

    ready.session.prediction.reported.connect(told.append)
    ready.session.prediction.tile_written.connect(wait_for_the_question)
    questions.then = go_on.set
    ready.form.run.predict.click()
    until(written.is_set)
    questions.refused = ("prediction",)
    assert not click_the_cross(window_of(ready))
    until(lambda: any(isinstance(event, Saved) for event in told))
    questions.refused = ()
    ready.session.set_settings(PredictSettings(core=(32, 32)))
    # What is saved is not over yet, and the button stays off until it is.
    until(ready.form.run.predict.isEnabled)
    go_on.clear()
    written.clear()
    ready.form.run.predict.click()
    until(written.is_set)
    assert click_the_cross(window_of(ready))
    assert [what for what, _ in questions] == ["prediction", "prediction", "napari"]
    no_thread_left()
