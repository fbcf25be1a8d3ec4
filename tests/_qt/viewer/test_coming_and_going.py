"""Coming back to a project, dropped files, time series and other voxel sizes."""

import hashlib
import json
import threading
import warnings
import zipfile

import numpy as np
import pytest
import tifffile
import torch
import zarr
from qtpy.QtCore import QMimeData, QPoint, QPointF, Qt, QUrl
from qtpy.QtGui import QDragEnterEvent, QDropEvent
from qtpy.QtWidgets import QApplication

from napari_tileseg._qt.common import dialogs
from napari_tileseg._qt.predict.widget import PredictWidget
from napari_tileseg.nets import trust
from napari_tileseg.prediction.events import Saved
from napari_tileseg.samples.networks import sample_networks
from napari_tileseg.session.project.project import Project, write_project
from napari_tileseg.settings import PredictSettings

NETWORK = "sample:cells_2d_batch_renorm"


def predict(widget, until):
    until(lambda: widget.session.readiness.ready)
    widget.form.run.predict.click()
    until(lambda: widget.session.results.all and not widget.session.prediction.running)
    until(lambda: not widget.live._turns._waiting)


def drop(widget, path):
    mime = QMimeData()
    mime.setUrls([QUrl.fromLocalFile(str(path))])
    how = (Qt.DropAction.CopyAction, mime, Qt.MouseButton.LeftButton, Qt.KeyboardModifier.NoModifier)
    QApplication.sendEvent(widget.form.network, QDragEnterEvent(QPoint(5, 5), *how))
    QApplication.sendEvent(widget.form.network, QDropEvent(QPointF(5, 5), *how))


def test_a_dropped_file_is_opened(widget, until):
    path = next(network.path for network in sample_networks() if network.name == "cells_2d_batch_renorm")
    drop(widget, path)
    until(lambda: widget.session.network is not None)
    assert "U-Net 2D" in widget.form.card.what.text()


def package(folder):
    """A package of bioimage.io around a network that passes its input on, and a test that it passes."""
    folder.mkdir()
    layer = torch.nn.Conv2d(1, 1, 3, padding=1, bias=False)
    torch.nn.init.dirac_(layer.weight)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # torch says of each such file that its format is old
        torch.jit.trace(layer.eval(), torch.zeros(1, 1, 16, 16)).save(str(folder / "script.pt"))
    trust(hashlib.sha256((folder / "script.pt").read_bytes()).hexdigest())
    axes = {"axes": "bcyx", "shape": [1, 1, 16, 16]}
    said = {
        "format_version": "0.4.10",
        "type": "model",
        "name": "nothing done",
        "inputs": [{"name": "raw", **axes}],
        "outputs": [{"name": "out", **axes}],
        "test_inputs": ["test.npy"],
        "test_outputs": ["test.npy"],
        "weights": {"torchscript": {"source": "script.pt"}},
    }
    (folder / "rdf.yaml").write_text(json.dumps(said))
    np.save(folder / "test.npy", np.random.default_rng(0).random((1, 1, 16, 16), "f4"))
    with zipfile.ZipFile(folder.with_suffix(".zip"), "w") as archive:
        for name in ("rdf.yaml", "test.npy", "script.pt"):
            archive.write(folder / name, name)


@pytest.mark.parametrize("name", ["nothing", "nothing.zip", "nothing/rdf.yaml"])
def test_a_dropped_package_is_opened_and_its_test_is_on_the_card(widget, until, tmp_path, name):
    package(tmp_path / "nothing")
    drop(widget, tmp_path / name)
    until(lambda: widget.session.network is not None)
    assert "TorchScript network 2D" in widget.form.card.what.text()
    assert "Reproduces its test output to 0." in widget.form.card.test.text()
    assert widget.form.network.list.currentText() == name


def test_devices_are_offered_once_a_network_is_open(widget, until):
    device = widget.form.settings.editors["device"]
    widget.form.network.chosen.emit(NETWORK)
    until(lambda: widget.session.network is not None)
    words = [device.itemText(i) for i in range(device.count())]
    assert words == [
        f"auto: {widget.session.network_choice.devices[0]}",
        *widget.session.network_choice.devices,
    ]
    assert widget.session.settings.device == "auto"


def test_a_project_is_come_back_to(make_napari_viewer, tmp_path, cells, until, monkeypatch, let_go):
    path = tmp_path / "cells.tif"
    tifffile.imwrite(path, cells.image, metadata={"axes": "YX"})
    first = docked(make_napari_viewer())
    first.viewer.open(path, plugin="napari")
    first.session.set_settings(PredictSettings(core=(64, 64)))
    first.form.network.chosen.emit(NETWORK)
    predict(first, until)
    folder, before = first.session.folder, np.asarray(first.viewer.layers[1].data)
    let_go(first)

    again = docked(make_napari_viewer())
    monkeypatch.setattr(dialogs, "ask_project_folder", lambda *_: folder)
    again.form.reopen.click()
    until(lambda: again.session.readiness.ready)
    until(lambda: len(again.viewer.layers) == 3)
    assert again.form.image.list.currentText() == "cells"
    assert again.form.settings.editors["core"].text() == "64,64"
    shown = next(layer for layer in again.viewer.layers if layer.name.startswith("foreground of cells"))
    np.testing.assert_array_equal(np.asarray(shown.data), before)
    told = []
    again.session.prediction.reported.connect(told.append)
    predict(again, until)
    assert [event.tiles_computed for event in told if isinstance(event, Saved)] == [0]
    assert len(again.viewer.layers) == 3
    let_go(again)


@pytest.mark.parametrize("yes", [True, False])
def test_a_project_opened_while_a_prediction_runs_leaves_nothing_of_it_in_sight(
    ready, viewer, until, monkeypatch, tmp_path, no_thread_left, yes
):
    write_project(tmp_path / "other", Project())
    monkeypatch.setattr(dialogs, "ask_project_folder", lambda *_: tmp_path / "other")
    monkeypatch.setattr(dialogs, "ask_leave", lambda *_: yes)
    form, go_on = ready.form, threading.Event()
    ready.session.prediction.tile_written.connect(lambda _: go_on.wait(60))
    form.run.predict.click()
    until(lambda: "tiles" in form.run.progress.text())
    # The tile at which it is ends after the click: nothing waits for it.
    form.reopen.click()
    assert ready.session.prediction.running is not yes
    assert ("tiles" in form.run.progress.text()) is not yes
    assert form.run.bar.isHidden() is yes
    assert form.run.cancel.isEnabled() is not yes
    go_on.set()
    until(lambda: not ready.session.prediction.running)
    no_thread_left()
    until(lambda: not ready.live._turns._waiting)
    assert len(ready.session.results.all) == (0 if yes else 1)
    assert any("foreground" in layer.name for layer in viewer.layers) is not yes


def docked(viewer):
    widget = PredictWidget(viewer)
    viewer.window.add_dock_widget(widget, name="Predict")
    return widget


def test_frames_of_a_time_series_are_predicted_one_by_one(widget, viewer, cells, until):
    frames = np.stack([cells.image[:64, :96], cells.image[64:128, :96]])
    viewer.add_image(frames, name="frames", scale=(3, 0.65, 0.65), axis_labels=("t", "y", "x"))
    widget.form.image.choose(viewer.layers["frames"].unique_id)
    assert widget.form.image.axes.text() == "tyx"
    widget.form.network.chosen.emit(NETWORK)
    until(lambda: widget.session.network is not None)
    predict(widget, until)
    shown = viewer.layers["foreground of frames (cells 2D, BatchRenorm)"]
    assert shown.data.shape == frames.shape
    assert np.isfinite(np.asarray(shown.data)).all()
    np.testing.assert_array_equal(shown.scale, (3, 0.65, 0.65))
    viewer.dims.set_point(0, 3)
    np.testing.assert_array_equal(shown._slice.image.raw, np.asarray(shown.data)[1])


def test_a_resampled_prediction_lies_over_its_image(widget, viewer, cells, until):
    fine = np.kron(cells.image[:96, :80], np.ones((2, 2), np.uint16))
    viewer.add_image(fine, name="fine", scale=(0.325, 0.325), translate=(7, 9), units="micrometer")
    widget.form.image.choose(viewer.layers["fine"].unique_id)
    widget.form.network.chosen.emit(NETWORK)
    until(lambda: widget.session.readiness.ready)
    assert "Resample the image" in widget.form.warnings.text()
    widget.form.settings.editors["resample"].setChecked(True)
    predict(widget, until)
    shown = viewer.layers["foreground of fine (cells 2D, BatchRenorm)"]
    assert shown.data.shape == (96, 80)
    np.testing.assert_allclose(shown.scale, (0.65, 0.65))
    np.testing.assert_allclose(shown.extent.world, viewer.layers["fine"].extent.world, atol=0.65)


def test_a_resampled_prediction_can_be_saved_on_the_voxels_of_its_image(
    widget, viewer, cells, until, monkeypatch, tmp_path
):
    fine = np.kron(cells.image[:96, :80], np.ones((2, 2), np.uint16))
    viewer.add_image(fine, name="fine", scale=(0.325, 0.325), translate=(7, 9), units="micrometer")
    widget.form.image.choose(viewer.layers["fine"].unique_id)
    widget.form.network.chosen.emit(NETWORK)
    until(lambda: widget.session.readiness.ready)
    predict(widget, until)
    on_image = widget.form.run.on_image
    assert not on_image.isVisibleTo(widget)
    widget.form.settings.editors["resample"].setChecked(True)
    until(lambda: widget.session.readiness.ready)
    predict(widget, until)
    until(lambda: on_image.isVisibleTo(widget))
    target = tmp_path / "mine.ome.zarr"
    monkeypatch.setattr(dialogs, "ask_save_path", lambda *_: target)
    on_image.click()
    until(lambda: "Written on the image's voxels" in widget.form.answer.text())
    group = zarr.open_group(target, mode="r")
    assert group["0"].shape == (2, 192, 160)
    scale = group.attrs["ome"]["multiscales"][0]["datasets"][0]["coordinateTransformations"][0]["scale"]
    np.testing.assert_allclose(scale, (1, 0.325, 0.325))
    # The result stays to be saved or discarded.
    until(lambda: widget.form.run.save.isEnabled())
