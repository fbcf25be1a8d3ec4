"""The panels share one place in the window, and leave room for the image."""

import pytest
from qtpy.QtWidgets import QMainWindow, QTabBar

from napari_tileseg._qt import all_panels
from napari_tileseg._qt.diagnose.widget import DiagnoseWidget
from napari_tileseg._qt.finetune.widget import FinetuneWidget
from napari_tileseg._qt.predict.widget import PredictWidget

KINDS = {"Predict": PredictWidget, "Diagnose": DiagnoseWidget, "Fine-tune": FinetuneWidget}


@pytest.fixture
def dock(viewer, let_go, qtbot):
    made = []

    def dock(name, **where):
        widget = KINDS[name](viewer)
        made.append(widget)
        docked = viewer.window.add_dock_widget(widget, name=f"{name} (napari-tileseg)", **where)
        qtbot.wait(20)
        return docked

    yield dock
    for widget in made:
        let_go(widget)
    qtbot.wait(10)


def tabs(dock):
    window = dock.parentWidget()
    assert isinstance(window, QMainWindow)
    return {each.windowTitle() for each in window.tabifiedDockWidgets(dock)}


@pytest.mark.parametrize(
    "order", [("Predict", "Diagnose", "Fine-tune"), ("Fine-tune", "Predict", "Diagnose")]
)
def test_panels_are_tabs_in_any_order(dock, order):
    docks = [dock(name) for name in order]
    for each, name in zip(docks, order, strict=True):
        assert tabs(each) == set(order) - {name}


def test_a_panel_that_the_user_puts_elsewhere_is_left_there(dock):
    predict = dock("Predict")
    assert tabs(dock("Diagnose", area="bottom")) == set()
    predict.setFloating(True)
    assert tabs(dock("Fine-tune")) == set()


def test_no_panel_is_wider_than_a_small_window_has_room_for(dock):
    for name in KINDS:
        assert dock(name).widget().minimumSizeHint().width() <= 360


def test_one_command_opens_all_panels_with_predict_in_front(viewer, let_go, qtbot, monkeypatch):
    made = {}

    def add(plugin, name):
        assert plugin == "napari-tileseg"
        if name not in made:
            widget = KINDS[name](viewer)
            made[name] = viewer.window.add_dock_widget(widget, name=name), widget
        return made[name]

    monkeypatch.setattr(type(viewer.window), "add_plugin_dock_widget", lambda _, *names: add(*names))
    for _ in range(2):
        all_panels.open_panels(viewer)
        qtbot.wait(20)
        bars = made["Predict"][0].parentWidget().findChildren(QTabBar)
        assert [bar.tabText(bar.currentIndex()) for bar in bars if bar.tabText(0) == "Predict"] == ["Predict"]
    assert list(made) == list(KINDS)
    assert tabs(made["Predict"][0]) == {"Diagnose", "Fine-tune"}
    for _, widget in made.values():
        let_go(widget)
