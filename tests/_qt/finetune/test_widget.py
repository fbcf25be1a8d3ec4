"""Wiring of the Fine-tune widget in a real viewer."""

import threading

import numpy as np
import pytest
import torch
import zarr
from qtpy.QtWidgets import QApplication, QPushButton

from napari_tileseg._napari.images.layer_image import image_of
from napari_tileseg._qt.finetune.control import FinetuneControl
from napari_tileseg._qt.finetune.form import FinetuneForm
from napari_tileseg._qt.finetune.stroke_control import StrokeControl
from napari_tileseg._qt.finetune.widget import FinetuneWidget
from napari_tileseg.errors import DeviceError
from napari_tileseg.nets import Description, open_network, save_network
from napari_tileseg.nets.architectures.registry import build
from napari_tileseg.session.finetune.preview import TileShown
from napari_tileseg.session.finetune.words import trained_words
from napari_tileseg.session.project.network_files import new_network_path
from napari_tileseg.session.project.project import Project, write_project
from napari_tileseg.session.project.recent import record_recent
from napari_tileseg.settings import ImageSettings, PredictSettings, TrainSettings
from napari_tileseg.training.events import StepDone
from napari_tileseg.training.steps.stepper import Stepper
from napari_tileseg.training.trainer import Trainer

STEPS = 6


@pytest.fixture(scope="module")
def network(tmp_path_factory):
    """Make a small network whose tiles disagree."""
    torch.manual_seed(0)
    arguments = {"ndim": 2, "norm": "instance", "in_channels": 1, "features": (3, 4), "blocks": 1}
    path = tmp_path_factory.mktemp("networks") / "small.safetensors"
    save_network(
        build("unet", **arguments),
        path,
        Description(
            architecture="unet", arguments=arguments, activation="sigmoid", classes=("foreground", "boundary")
        ),
    )
    return open_network(path)


@pytest.fixture(autouse=True)
def _own_home(monkeypatch, tmp_path):
    """What other tests have painted on the same image is not offered."""
    monkeypatch.setenv("TILESEG_HOME", str(tmp_path))


@pytest.fixture
def alone(viewer, qtbot, let_go):
    """Dock a Fine-tune widget without a Predict widget."""
    widget = FinetuneWidget(viewer)
    viewer.window.add_dock_widget(widget, name="Fine-tune")
    yield widget
    let_go(widget)
    qtbot.wait(10)


@pytest.fixture
def asked(alone, viewer, network, until):
    """Give its session an image and a network, and press New."""
    alone.session.set_settings(PredictSettings(core=(64, 64)))
    alone.session.set_image(image_of(viewer.layers["cells"], ImageSettings()))
    alone.session.set_network(network)
    until(lambda: alone.session.plan.normalization is not None)
    alone.form.new.click()
    return alone


@pytest.fixture
def layer(asked, viewer):  # noqa: ARG001 - it presses New
    return viewer.layers["cells strokes"]


def paint(layer):
    """Paint a few strokes of each class, as a mouse would."""
    for value, row in ((1, 20), (1, 60), (2, 90), (2, 120), (3, 150), (3, 180)):
        with layer.block_history():
            for column in range(20, 40):
                layer.paint((row, column), value)


@pytest.fixture
def begin(asked, layer):
    """Paint, and press Start."""

    def run(steps):
        paint(layer)
        unit = asked.form.train.unit
        unit.setCurrentIndex(unit.findData("steps"))
        asked.form.train.form.editors["steps"].setText(str(steps))
        asked.form.start.click()

    return run


@pytest.fixture
def train(asked, begin, until):
    """Paint, and train for a few steps."""

    def run(steps=STEPS):
        begin(steps)
        assert asked.form.message.text() == ""
        until(lambda: steps_taken(asked) or asked.finetuner.state != "running")
        assert asked.form.message.text() == ""

    return run


def steps_taken(widget):
    return sum(isinstance(event, StepDone) for event in widget.finetuner.log.curve)


def stored(widget):
    return np.asarray(zarr.open_array(widget._strokes.painting.folder / "0", mode="r"))


def test_untouched_it_holds_the_defaults_and_says_what_to_choose(alone, viewer, network):
    assert alone.form.train.settings() == TrainSettings()
    unit = alone.form.train.unit
    unit.setCurrentIndex(unit.findData("steps"))
    assert alone.form.train.settings() == TrainSettings()
    assert "an image and a network" in alone.form.subject.text()
    alone.form.new.click()
    assert "choose both" in alone.form.message.text()
    alone.session.set_image(image_of(viewer.layers["cells"], ImageSettings()))
    alone.session.set_network(network)
    assert alone.form.subject.text().startswith("cells with")
    assert "InstanceNorm layers become BatchRenorm" in alone.form.train.conversion.text()
    assert not alone.form.start.isEnabled()


def test_new_labels_are_aligned_saved_and_counted(asked, layer, viewer, until):
    cells = viewer.layers["cells"]
    assert layer.data.shape == cells.data.shape
    np.testing.assert_array_equal(layer.scale, cells.scale)
    assert layer.units == cells.units
    names = [asked.form.classes.item(row, 0).text() for row in range(asked.form.classes.rowCount())]
    assert names == ["foreground", "boundary", "background"]
    assert asked.form.kind.currentData() == "strokes"
    assert asked.form.start.isEnabled()
    asked.form.classes.cellClicked.emit(1, 0)
    assert (layer.selected_label, layer.mode) == (2, "paint")
    paint(layer)
    until(lambda: "6 strokes, saved" in asked.form.saved.text() and asked._strokes.painting.settled)
    np.testing.assert_array_equal(stored(asked), np.asarray(layer.data))
    counts = [asked.form.classes.item(row, 2).text() for row in range(3)]
    assert counts == ["2", "2", "2"]
    layer.undo()
    until(lambda: "5 strokes" in asked.form.saved.text())
    np.testing.assert_array_equal(stored(asked), np.asarray(layer.data))


def test_a_removed_layer_is_offered_again_and_saved_without_the_dock(asked, layer, viewer, until):
    paint(layer)
    until(lambda: "saved" in asked.form.saved.text())
    painted = np.asarray(layer.data)
    viewer.layers.remove(layer)
    assert not asked.form.start.isEnabled()
    until(lambda: "were saved" in asked.form.offer.text())
    asked.form.open.click()
    until(lambda: asked._strokes.layer is not None)
    np.testing.assert_array_equal(np.asarray(asked._strokes.layer.data), painted)
    until(lambda: "6 strokes" in asked.form.saved.text())
    painting = asked._strokes.painting
    viewer.window.remove_dock_widget(asked)
    viewer.layers[-1].paint((5, 5), 1)
    until(lambda: painting.painted[1].strokes == 3)


def test_labels_made_elsewhere_have_to_be_explained_and_are_saved(asked, viewer, cells, until):
    viewer.add_labels(cells.labels.copy(), name="truth")
    form = asked.form
    form.labels.setCurrentIndex(form.labels.findText("truth"))
    form.labels.activated.emit(form.labels.currentIndex())
    assert not form.start.isEnabled()
    assert form.why.text() == "Say what the labels hold: strokes, classes or instances."
    form.kind.setCurrentIndex(form.kind.findData("classes"))
    form.kind.activated.emit(0)
    assert form.why.text() == ""
    form.map.setText("one")
    form.map.editingFinished.emit()
    assert not form.start.isEnabled()
    assert "map" in form.why.text()
    form.map.setText("")
    form.map.editingFinished.emit()
    form.train.form.editors["learning_rate"].setText("much")
    form.train.form.editors["learning_rate"].editingFinished.emit()
    assert not form.start.isEnabled()
    assert "learning_rate" in form.why.text()
    form.train.form.editors["learning_rate"].setText("")
    asked.session.note_unread("settings", "halo should be pairs.")
    assert not form.start.isEnabled()
    asked.session.note_unread("settings", "")
    assert form.start.isEnabled()
    form.start.click()
    until(lambda: "should hold 0, 1, 2 only" in form.message.text())
    assert asked.finetuner.state == "idle"
    form.kind.setCurrentIndex(form.kind.findData("instances"))
    form.kind.activated.emit(0)
    assert asked._strokes.meaning().labels_kind == "instances"
    viewer.layers["truth"].paint((5, 5), 7)
    until(lambda: asked._strokes.painting.saved)
    np.testing.assert_array_equal(stored(asked), viewer.layers["truth"].data)


def test_train_keep_and_undo(asked, train, network, viewer, until):
    shown = []
    asked.finetuner.reported.connect(lambda event: isinstance(event, TileShown) and shown.append(event))
    train()
    assert asked.form.stop.isEnabled()
    until(lambda: "live boundary of cells" in viewer.layers)
    assert viewer.layers["live foreground of cells"].visible
    until(lambda: asked.finetuner.state == "deciding")
    assert shown
    assert np.isfinite(np.asarray(viewer.layers["live foreground of cells"].data)).any()
    rows = [[asked.form.numbers.item(r, c).text() for c in range(3)] for r in range(3)]
    assert rows[1][2] == "not at all"
    assert not asked.form.start.isEnabled()
    assert asked.form.minimumSizeHint().width() <= 360
    asked.form.decision.best.click()
    until(lambda: asked.session.network is not network)
    assert asked.session.network.spec.seam_free
    assert "live foreground of cells" not in viewer.layers
    assert asked.form.undo.isEnabled()
    assert "small" in asked.form.undo.toolTip()
    asked.form.undo.click()
    assert asked.session.network is network
    assert "small is the network again" in asked.form.message.text()
    assert not asked.form.undo.isEnabled()


def test_while_it_is_kept_nothing_else_can_be_pressed(asked, train, network, until, monkeypatch):
    train(steps=2)
    until(lambda: asked.finetuner.state == "deciding")
    form, gate, save = asked.form, threading.Event(), Trainer.save
    monkeypatch.setattr(Trainer, "save", lambda *args: gate.wait(60) and save(*args))
    form.decision.best.click()
    assert form.progress.text().startswith("Keeping")
    assert not any(
        each.isEnabled() for each in (*form.decision.findChildren(QPushButton), form.start, form.stop)
    )
    gate.set()
    until(lambda: asked.finetuner.state == "idle")
    assert asked.session.network is not network
    assert "is the network from now on" in form.message.text()
    assert form.progress.text() == ""


def test_one_paints_pauses_and_stops_while_it_trains(asked, train, layer, until):
    train(steps=500)
    layer.paint((100, 100), 2)
    until(lambda: asked._strokes.painting.settled and stored(asked)[100, 100] == 2)
    assert asked.finetuner.state == "running"
    asked.form.pause.click()
    assert asked.finetuner.paused
    assert asked.form.pause.text() == "Resume"
    asked.form.pause.click()
    assert not asked.finetuner.paused
    asked.form.stop.click()
    until(lambda: asked.finetuner.state == "deciding")
    assert "Stopped after" in asked.form.progress.text()
    asked.form.decision.discard.click()
    assert asked.finetuner.state == "idle"
    assert asked.form.start.isEnabled()


def test_layers_deleted_while_it_trains_lose_nothing(asked, train, viewer, until):
    train(steps=500)
    viewer.layers.clear()
    until(lambda: asked.finetuner.state == "deciding")
    assert "labels layer was removed. What was learned can be kept." in asked.form.message.text()
    asked.finetuner.discard()


def test_closing_the_window_while_it_trains_keeps_the_best(asked, train, viewer):
    train(steps=500)
    folder = asked.session.folder / "networks"
    viewer.window.remove_dock_widget(asked)
    assert asked.finetuner.state == "running"
    viewer.close()
    assert not [t for t in threading.enumerate() if t.name.startswith("tileseg-")]
    QApplication.processEvents()
    assert open_network(folder / "small-rescued-1.safetensors").spec.classes == ("foreground", "boundary")


@pytest.fixture
def dock(asked, viewer, qtbot):
    """Make the parts of another dock over the same training, once the one before has closed."""
    parts = [asked._control, asked._strokes]

    def opened():
        for part in parts:
            part.close()
        form = FinetuneForm()
        qtbot.addWidget(form)
        strokes = StrokeControl(viewer, asked.session, asked.strokes, form)
        parts[:] = [FinetuneControl(viewer, asked.session, asked.finetuner, strokes, form), strokes]
        return form

    yield opened
    for part in parts:
        part.close()


def shown(form, *names):
    return {name: not getattr(form, name).isHidden() for name in names}


def points(form):
    return 0 if form.curve._losses.xData is None else len(form.curve._losses.xData)


def test_a_dock_opened_again_shows_the_training_that_went_on_and_decides(
    asked, train, viewer, dock, network, until
):
    train(steps=500)
    until(lambda: np.isfinite(np.asarray(asked.finetuner.preview.now)).any())
    layer = "live foreground of cells"
    until(lambda: layer in viewer.layers)
    chosen = asked.form.labels.currentText()
    form = dock()
    assert form.labels.currentText() == chosen
    assert asked.finetuner.state == "running"
    assert shown(form, "curve", "numbers", "_live_row", "decision") == {
        "curve": True,
        "numbers": True,
        "_live_row": True,
        "decision": False,
    }
    assert points(form) > 0
    assert form.numbers.item(1, 1).text() != "\N{EN DASH}"
    assert "Step" in form.progress.text()
    assert form.stop.isEnabled()
    assert not form.start.isEnabled()
    until(lambda: layer in viewer.layers)
    taken = points(form)
    until(lambda: points(form) > taken)
    form.live.setChecked(False)
    form.stop.click()
    assert not form.stop.isEnabled()
    form = dock()
    assert not form.live.isChecked()
    assert not form.stop.isEnabled()
    until(lambda: asked.finetuner.state == "deciding")
    form = dock()
    assert shown(form, "curve", "numbers", "decision") == dict.fromkeys(
        ("curve", "numbers", "decision"), True
    )
    course = asked.finetuner.log
    assert form.progress.text().endswith(trained_words(course.trained, course.tuned))
    assert "scoring before: " in form.progress.toolTip()
    assert form.numbers.item(1, 2).text() == "not at all"
    assert "cells with small" in form.subject.text()
    form.decision.best.click()
    form = dock()
    until(lambda: asked.finetuner.state == "idle")
    assert asked.session.network is not network
    assert layer not in viewer.layers
    form.undo.click()
    assert asked.session.network is network


def test_a_result_left_when_a_window_closed_is_told_of_the_next_time(dock, tmp_path):
    path = new_network_path(tmp_path, "small", "rescued")
    write_project(tmp_path, Project())
    path.parent.mkdir()
    path.touch()
    assert dock().message.text() == ""
    record_recent(str(path))
    assert "small-rescued-1, among the networks of the Predict widget" in dock().message.text()


def test_what_ends_a_training_is_said_with_what_can_be_done(asked, begin, dock, until, monkeypatch):
    usual = Stepper.take_step

    def fail(self, step, limits):
        if step < 2:
            return (yield from usual(self, step, limits))
        raise DeviceError("It has too little memory.")

    monkeypatch.setattr(Stepper, "take_step", fail)
    begin(steps=6)
    until(lambda: asked.finetuner.state == "deciding")
    for form in (asked.form, dock()):
        assert "too little memory. What was learned can be kept." in form.message.text()
        assert form.decision.best.isEnabled()


def press(asked, until):
    """Press Start, and wait until it is over."""
    asked.form.start.click()
    until(lambda: asked.finetuner.state != "running")


def test_what_was_wrong_with_the_labels_is_said_until_they_change(asked, layer, viewer, until):
    press(asked, until)
    assert "hold no stroke" in asked.form.message.text()
    paint(layer)
    until(lambda: "6 strokes" in asked.form.saved.text())
    assert asked.form.message.text() == ""
    layer.data[...] = 0
    layer.data = np.asarray(layer.data) * 0
    viewer.add_labels(np.zeros(layer.data.shape, np.uint8), name="empty")
    form = asked.form
    form.labels.setCurrentIndex(form.labels.findText("empty"))
    form.labels.activated.emit(form.labels.currentIndex())
    form.kind.setCurrentIndex(form.kind.findData("instances"))
    form.kind.activated.emit(0)
    press(asked, until)
    assert "hold no object" in form.message.text()
    form.kind.setCurrentIndex(form.kind.findData("classes"))
    form.kind.activated.emit(0)
    assert form.message.text() == ""


@pytest.mark.parametrize("change", ["image", "network"])
@pytest.mark.parametrize("decided", ["discard", "last"])
def test_what_was_decided_goes_with_image_and_network(asked, train, viewer, network, until, change, decided):
    train(steps=2)
    until(lambda: asked.finetuner.state == "deciding")
    getattr(asked.form.decision, decided if decided == "discard" else "best").click()
    until(lambda: asked.finetuner.state == "idle")
    said = asked.form.message.text()
    assert said.startswith("Discarded; small") if decided == "discard" else "is the network from now" in said
    if change == "image":
        asked.session.set_image(image_of(viewer.layers["cells"], ImageSettings()))
    else:
        asked.session.set_network(open_network(network.reference.path))
    assert asked.form.message.text() == ""
    assert asked.form.progress.text() == ""
    assert asked.form.curve.isHidden()


def test_a_prediction_from_before_is_called_so_and_can_be_made_again(asked, train, viewer, until, network):
    asked.form.choose.click()
    form, session = asked.form, asked.session
    panel = viewer.window.dock_widgets["Predict (napari-tileseg)"]
    until(lambda: session.readiness.ready)
    panel.form.run.predict.click()
    until(lambda: session.results.all and session.results.all[-1].complete)
    assert form.earlier.text() == ""
    train(steps=2)
    until(lambda: asked.finetuner.state == "deciding")
    form.decision.best.click()
    until(lambda: asked.finetuner.state == "idle" and session.readiness.ready)
    assert "made by small, before this training" in form.earlier.text()
    until(form.again.isEnabled)
    form.again.click()
    until(lambda: len(session.results.all) == 2 and session.results.all[-1].complete)
    assert session.results.all[-1].network_sha256 == session.network.sha256 != network.sha256
    assert form.earlier.text() == ""


@pytest.mark.usefixtures("qapp")
def test_a_decision_takes_the_room_of_what_does_not_count_meanwhile():
    form = FinetuneForm()
    form.show_offer("Labels painted on this image were saved today.")
    heights = {}
    for state in ("idle", "running", "deciding", "idle"):
        form.set_state(state, ready=True, paused=False, stopping=False)
        deciding = state == "deciding"
        assert form.decision.isVisibleTo(form) is deciding
        assert all(each.isVisibleTo(form) is not deciding for each in (form.classes, form.offer, form.start))
        form.layout().activate()
        heights[state] = form.minimumSizeHint().height()
        assert form.train.form.editors["minutes"].isVisibleTo(form) is (state == "idle")
    assert heights["deciding"] <= heights["running"]


@pytest.mark.usefixtures("qapp")
def test_a_curve_takes_no_room_before_there_is_one():
    form = FinetuneForm()
    for drawn in (False, True):
        form.show_run(True, drawn=drawn)
        assert form.curve.isVisibleTo(form) is drawn
        assert form.numbers.isVisibleTo(form)
