"""A project of several images, and images of several channels, in the panel."""

import imageio.v3 as imageio
import numpy as np
import pytest
import torch
import zarr

from napari_tileseg._qt.common import dialogs
from napari_tileseg._qt.predict.widget import PredictWidget
from napari_tileseg.nets import Description, open_network, save_network
from napari_tileseg.nets.architectures.registry import build
from napari_tileseg.settings import PredictSettings


@pytest.fixture(scope="module")
def colours(tmp_path_factory):
    """Make a network that wants three channels."""
    torch.manual_seed(0)
    arguments = {
        "ndim": 2,
        "norm": "batch",
        "in_channels": 3,
        "out_channels": 1,
        "features": (2, 3),
        "blocks": 1,
    }
    path = save_network(
        build("unet", **arguments),
        tmp_path_factory.mktemp("network") / "colours.safetensors",
        Description(architecture="unet", arguments=arguments, activation="sigmoid", classes=("inside",)),
    )
    return open_network(path)


@pytest.fixture
def pictures(tmp_path):
    random, paths = np.random.default_rng(0), []
    for name, shape in (("first", (48, 64, 4)), ("second", (40, 56, 3))):
        imageio.imwrite(tmp_path / f"{name}.png", random.integers(0, 255, shape, dtype=np.uint8))
        paths.append(tmp_path / f"{name}.png")
    return paths


@pytest.fixture
def panel(make_napari_viewer, colours, let_go, qtbot):
    viewer = make_napari_viewer()
    widget = PredictWidget(viewer)
    viewer.window.add_dock_widget(widget, name="Predict")
    widget.session.set_network(colours)
    yield widget
    let_go(widget)
    qtbot.wait(10)


def type_channels(widget, text):
    widget.form.image.channel.setEditText(text)
    widget.form.image.channel.lineEdit().editingFinished.emit()


def predict(widget, until, path, channels):
    widget.viewer.open(path, plugin="napari")
    widget.form.image.list.setCurrentText(path.stem)
    type_channels(widget, channels)
    until(lambda: widget.session.readiness.ready)
    widget.form.run.predict.click()
    until(lambda: not widget.session.prediction.running and widget.session.prediction.story.saved)
    until(lambda: not widget.live._turns._waiting)


def reopen(widget, until, monkeypatch, folder):
    monkeypatch.setattr(dialogs, "ask_project_folder", lambda *_: folder)
    widget.form.reopen.click()
    until(lambda: widget.session.readiness.ready and not widget.live._turns._waiting)


def test_pictures_come_back_each_with_its_result(panel, pictures, until, monkeypatch):
    viewer, form = panel.viewer, panel.form
    before = []
    for path, channels in zip(pictures, ("2,0,1", "all"), strict=True):
        predict(panel, until, path, channels)
        before.append(np.asarray(viewer.layers[f"inside of {path.stem} (colours)"].data))
    viewer.layers.clear()
    reopen(panel, until, monkeypatch, panel.session.folder)
    assert [layer.name for layer in viewer.layers] == ["second", "inside of second (colours)"]
    assert viewer.layers["second"].rgb
    np.testing.assert_array_equal(np.asarray(viewer.layers[1].data), before[1])
    assert form.image.list.currentText() == "second"
    form.run.results.setCurrentIndex(1)
    form.run.results.activated.emit(1)
    until(lambda: "first" in viewer.layers and not panel.live._turns._waiting)
    np.testing.assert_array_equal(np.asarray(viewer.layers["inside of first (colours)"].data), before[0])
    assert not viewer.layers["inside of second (colours)"].visible
    assert form.image.list.currentText() == "second"
    assert panel.session.image.name == "second"


def test_channels_that_were_chosen_are_chosen_again(panel, pictures, until, monkeypatch):
    predict(panel, until, pictures[0], "3,1,0")
    whole = np.asarray(imageio.imread(pictures[0]))
    panel.viewer.layers.clear()
    for _ in range(2):
        reopen(panel, until, monkeypatch, panel.session.folder)
        assert panel.form.image.channel.currentText() == "3,1,0"
        box = panel.session.plan.tiles.grid.box
        expected = np.moveaxis(whole[..., [3, 1, 0]], -1, 0)
        np.testing.assert_array_equal(panel.session.image.read(box), expected)
        assert panel.session.image_choice.reference.uri == str(pictures[0])
    assert len(panel.viewer.layers) == 2


@pytest.mark.parametrize("joined", [False, True])
def test_layers_of_channels_come_back_with_their_names(ready, tmp_path, until, monkeypatch, joined):
    path = tmp_path / "cells.zarr"
    axes = [
        {"name": name, "type": kind} for name, kind in zip("czyx", ("channel", *["space"] * 3), strict=True)
    ]
    scale = [{"type": "scale", "scale": [1.0, 1.0, 0.5, 0.5]}]
    about = {"axes": axes, "datasets": [{"path": "0", "coordinateTransformations": scale}]}
    labels = {"channels": [{"label": "DNA"}, {"label": "wall"}]}
    group = zarr.create_group(
        path, attributes={"ome": {"version": "0.5", "multiscales": [about], "omero": labels}}
    )
    group.create_array("0", data=np.random.default_rng(0).random((2, 8, 32, 32), dtype="f4"))
    viewer, form = ready.viewer, ready.form
    viewer.layers.clear()
    viewer.open(path, plugin="napari-tileseg")
    form.image.list.setCurrentText("cells.zarr: 2 layers as channels" if joined else "cells wall")
    if joined:
        type_channels(ready, "1")
    until(lambda: ready.session.readiness.ready)
    form.run.predict.click()
    until(lambda: not ready.session.prediction.running and ready.session.prediction.story.saved)
    until(lambda: not ready.live._turns._waiting)
    before = [layer.name for layer in viewer.layers]
    chosen = form.image.list.currentText(), form.image.axes.text(), form.image.channel.currentText()
    viewer.layers.clear()
    reopen(ready, until, monkeypatch, ready.session.folder)
    assert [layer.name for layer in viewer.layers] == before
    assert (form.image.list.currentText(), form.image.axes.text(), form.image.channel.currentText()) == chosen


def test_looking_for_the_image_of_a_project_among_the_layers_is_nothing_wrong(
    panel, pictures, until, monkeypatch
):
    predict(panel, until, pictures[0], "3,1,0")
    said = []
    panel.session.situation_changed.connect(lambda: said.append(panel.session.readiness))
    reopen(panel, until, monkeypatch, panel.session.folder)
    assert not [each.obstacle for each in said if each.wrong]
    assert len(panel.viewer.layers) == 2


def test_several_channels_are_typed_in_order(panel, pictures, until):
    panel.viewer.open(pictures[0], plugin="napari")
    form = panel.form
    assert not form.run.predict.isEnabled()
    for text, channels in (("0,1,2", (0, 1, 2)), ("2 0 0", (2, 0, 0)), (" 1, 3,2 ", (1, 3, 2))):
        type_channels(panel, text)
        assert panel.session.image.channels == channels
        until(lambda: form.run.predict.isEnabled())
    for wrong in ("0,1,4", "x", "0;1;2", "-1,0,1"):
        type_channels(panel, wrong)
        assert not form.run.predict.isEnabled()
        assert "numbers from 0 to 3" in form.run.why.text()
    type_channels(panel, "all")
    assert panel.session.image.channels is None


def test_an_image_that_is_chosen_again_has_the_channels_level_and_axes_it_had(panel, pictures, until):
    form, data = panel.form, np.random.default_rng(0).random((64, 48, 3))
    panel.viewer.open(pictures[0], plugin="napari")
    type_channels(panel, "3,1,0")
    panel.viewer.add_image([data, data[::2, ::2]], name="levels", multiscale=True, rgb=False)
    form.image.list.setCurrentText("levels")
    form.image.axes.setText("yxc")
    form.image.axes.editingFinished.emit()
    form.image.level.setCurrentIndex(1)
    form.image.level.activated.emit(1)
    type_channels(panel, "2,1,0")
    for _ in range(2):
        form.image.list.setCurrentText("first")
        assert panel.session.image.channels == (3, 1, 0)
        form.image.list.setCurrentText("levels")
        assert panel.session.image.channels == (2, 1, 0)
        assert (form.image.level.currentIndex(), form.image.axes.text()) == (1, "yxc")
    form.image.list.setCurrentText("first")
    until(lambda: panel.session.readiness.ready)
    assert panel.session.image_choice.reference.settings.channel == (3, 1, 0)


def test_leaving_the_lines_of_axes_and_channels_changes_nothing(panel, pictures):
    panel.viewer.open(pictures[0], plugin="napari")
    type_channels(panel, "3,1,0")
    chosen = panel.session.image
    panel.form.image.axes.editingFinished.emit()
    panel.form.image.channel.lineEdit().editingFinished.emit()
    assert panel.session.image is chosen


def test_layers_of_one_image_are_offered_as_one(panel, until):
    data = np.random.default_rng(0).integers(0, 4000, (3, 48, 64)).astype("u2")
    layers = panel.viewer.add_image(data, channel_axis=0, name=["a", "b", "c"])
    names = [panel.form.image.list.itemText(i) for i in range(panel.form.image.list.count())]
    assert names == ["a", "b", "c", "a: 3 layers as channels"]
    panel.form.image.list.setCurrentIndex(3)
    until(lambda: panel.session.readiness.ready)
    np.testing.assert_array_equal(panel.session.image.read(panel.session.plan.tiles.grid.box), data)
    panel.session.set_settings(PredictSettings(core=(16, 16)))
    until(lambda: panel.session.readiness.ready)
    panel.form.run.predict.click()
    until(lambda: not panel.session.prediction.running and panel.session.prediction.story.saved)
    until(lambda: not panel.live._turns._waiting)
    assert panel.viewer.layers[-1].name.startswith("inside of a")
    panel.viewer.layers.remove(layers[1])
    assert panel.form.image.list.count() == 3
