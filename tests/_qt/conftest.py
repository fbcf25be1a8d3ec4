"""A real viewer with the Predict widget, and a way to wait."""

import gc
import threading

import pytest
from qtpy.QtWidgets import QApplication

from napari_tileseg._qt.common import dialogs
from napari_tileseg._qt.predict.widget import PredictWidget
from napari_tileseg._qt.viewer.registry import forget_session
from napari_tileseg.samples import cells_image
from napari_tileseg.settings import PredictSettings

NETWORK = "sample:cells_2d_batch_renorm"


@pytest.fixture(autouse=True)
def _no_dialogs(monkeypatch):
    """Nobody is there to answer: a question that was not expected is an error."""

    def unexpected(*_):
        raise AssertionError("nobody answers")

    for name in [name for name in vars(dialogs) if name.startswith("ask_")]:
        monkeypatch.setattr(dialogs, name, unexpected)


@pytest.fixture(scope="session")
def cells():
    return cells_image((192, 160))


@pytest.fixture
def viewer(make_napari_viewer, cells):
    viewer = make_napari_viewer()
    viewer.add_image(cells.image, name="cells", scale=cells.voxel_size, units="micrometer")
    return viewer


@pytest.fixture
def let_go():
    """Let a widget, and the work of its viewer, go as when the window has closed."""

    def let_go(widget):
        widget._window_closes()
        forget_session(widget.viewer)

    return let_go


@pytest.fixture
def widget(viewer, qtbot, let_go):
    widget = PredictWidget(viewer)
    viewer.window.add_dock_widget(widget, name="Predict")
    yield widget
    let_go(widget)
    qtbot.wait(10)


@pytest.fixture
def ready(widget, qtbot):
    widget.session.set_settings(PredictSettings(core=(64, 64)))
    widget.form.network.chosen.emit(NETWORK)
    qtbot.waitUntil(lambda: widget.session.readiness.ready, timeout=60_000)
    return widget


@pytest.fixture
def until(qtbot):
    return lambda condition: qtbot.waitUntil(lambda: bool(condition()), timeout=60_000)


@pytest.fixture
def no_thread_left(until):
    def check():
        until(lambda: not [t for t in threading.enumerate() if t.name.startswith("tileseg-")])

    return check


@pytest.fixture
def predict_widgets():
    """Count Predict widgets that are alive."""

    def count():
        gc.collect()
        QApplication.processEvents()
        return sum(isinstance(w, PredictWidget) for w in QApplication.allWidgets())

    return count
