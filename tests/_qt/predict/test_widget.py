"""Wiring of the Predict widget in a real viewer."""

import time
import warnings

import numpy as np
import torch
from qtpy.QtWidgets import QApplication

from napari_tileseg._qt.common import dialogs
from napari_tileseg._qt.predict.widget import PredictWidget
from napari_tileseg.prediction import open_prediction
from napari_tileseg.prediction.events import Saved, TileDone
from napari_tileseg.session import Ended
from napari_tileseg.session.project.project import Project, write_project
from napari_tileseg.settings import PredictSettings


def listen(widget):
    events = []
    widget.session.prediction.reported.connect(events.append)
    return events


def slowly(_):
    """Take time for each tile, in the prediction's thread, so that the interface keeps up."""
    time.sleep(0.1)


def settle(widget, until):
    """Let the layers come that wait for their turn."""
    until(lambda: not widget.live._turns._waiting)


def run(widget, until):
    widget.form.run.predict.click()
    until(lambda: widget.session.results.all and not widget.session.prediction.running)
    settle(widget, until)


def test_predicting_gives_aligned_layers(ready, viewer, until):
    run(ready, until)
    by = "(cells 2D, BatchRenorm)"
    names = [layer.name for layer in viewer.layers]
    assert names == ["cells", f"foreground of cells {by}", f"boundary of cells {by}"]
    stored = open_prediction(ready.session.results.all[0].path).view()
    for index, layer in enumerate(viewer.layers[1:]):
        np.testing.assert_array_equal(np.asarray(layer.data), stored[index])
        assert not np.isnan(layer._slice.image.raw).any()
        np.testing.assert_array_equal(layer.scale, viewer.layers[0].scale)
        assert layer.units == viewer.layers[0].units
        assert layer.axis_labels == viewer.layers[0].axis_labels
    assert "Done: 9 tiles" in ready.form.run.progress.text()


def test_a_tile_shows_while_others_are_not_done_yet(ready, viewer, until):
    seen = []

    ready.session.prediction.tile_written.connect(slowly)

    def look(event):
        if isinstance(event, TileDone) and event.done == 6:
            ready.live._draw()
            seen.append(np.isnan(viewer.layers[1]._slice.image.raw).mean())

    ready.session.prediction.reported.connect(look)
    run(ready, until)
    assert 0 < seen[0] < 1


def test_the_view_decides_what_comes_first(ready, viewer, until):
    events = listen(ready)
    viewer.scene.camera.center = (180 * 0.65, 150 * 0.65)
    viewer.scene.camera.zoom = 100
    run(ready, until)
    assert next(e.tile.index for e in events if isinstance(e, TileDone)) == (2, 2)


def test_cancel(ready, until):
    events = listen(ready)
    ready.session.prediction.tile_written.connect(slowly)

    def cancel(event):
        if isinstance(event, TileDone) and event.done == 2:
            ready.form.run.cancel.click()

    ready.session.prediction.reported.connect(cancel)
    run(ready, until)
    assert isinstance(events[-1], Ended)
    assert events[-1].cancelled
    assert not any(isinstance(event, Saved) for event in events)
    assert "Cancelled" in ready.form.run.progress.text()
    assert ready.form.run.predict.isEnabled()
    assert not ready.form.run.cancel.isEnabled()


def test_layers_renamed_and_deleted_while_it_runs(ready, viewer, until):
    def meddle(event):
        if not isinstance(event, TileDone):
            return
        if event.done == 4:
            viewer.layers[1].name = "mine"
        if event.done == 5:
            del viewer.layers["mine"]
            del viewer.layers["cells"]
        if event.done == 7:
            viewer.layers.clear()

    ready.session.prediction.tile_written.connect(slowly)
    ready.session.prediction.reported.connect(meddle)
    run(ready, until)
    assert ready.session.results.all[0].complete
    assert ready.form.message.text() == ""


def test_another_image_chosen_while_it_runs(ready, viewer, until):
    def choose(event):
        if isinstance(event, TileDone) and event.done == 1:
            viewer.add_image(np.random.default_rng(0).random((50, 60)), name="other")
            ready.form.image.choose(viewer.layers["other"].unique_id)

    ready.session.prediction.reported.connect(choose)
    run(ready, until)
    assert ready.session.results.all[0].complete
    assert ready.session.image.name == "other"


def test_labels_and_grid_on_request(ready, viewer, until):
    run(ready, until)
    ready.form.labels.setChecked(True)
    ready.form.grid.setChecked(True)
    settle(ready, until)
    until(lambda: "tile grid" in viewer.layers)
    labels, grid = viewer.layers["labels of cells (cells 2D, BatchRenorm)"], viewer.layers["tile grid"]
    assert set(np.unique(np.asarray(labels.data))) == {0, 1, 2}
    assert len(grid.data) == 4 + 4
    np.testing.assert_array_equal(labels.scale, viewer.layers["cells"].scale)
    ready.form.grid.setChecked(False)
    until(lambda: not grid.visible)


def test_images_are_followed_as_layers_come_go_and_are_renamed(widget, viewer):
    names = lambda: [widget.form.image.list.itemText(i) for i in range(widget.form.image.list.count())]  # noqa: E731
    viewer.layers[0].name = "renamed"
    assert names() == ["renamed"]
    viewer.add_image(np.zeros((3, 30, 30)), name="more")
    viewer.add_labels(np.zeros((3, 30, 30), int))
    assert names() == ["renamed", "more"]
    assert widget.form.image.list.currentText() == "renamed"
    del viewer.layers["renamed"]
    assert widget.form.image.list.currentText() == "more"
    viewer.layers.clear()
    assert widget.session.image is None


def test_tiles_are_filled_in_and_an_override_that_makes_seams_is_explained(ready):
    form = ready.form
    assert form.settings.editors["core"].text() == "64,64"
    halo = form.settings.editors["halo"].text()
    assert halo
    assert form.warnings.text() == ""
    form.settings.editors["halo"].setText("0,0")
    form.settings.editors["halo"].editingFinished.emit()
    assert "Seams" in form.warnings.text()
    form.settings.editors["core"].setText("33,33")
    form.settings.editors["core"].editingFinished.emit()
    assert "multiple of the network's stride" in form.run.why.text()
    assert form.tiles.text() == ""
    assert not form.run.predict.isEnabled()


def test_a_derived_halo_goes_with_the_image_and_a_chosen_core_stays(ready, viewer):
    core, halo = (ready.form.settings.editors[name] for name in ("core", "halo"))
    assert halo.text()
    viewer.layers.clear()
    assert (core.text(), halo.text()) == ("64,64", "")


def test_what_is_derived_is_filled_in_again_after_an_image_that_does_not_fit(ready, viewer):
    ready.session.set_settings(PredictSettings())
    core, halo = (ready.form.settings.editors[name] for name in ("core", "halo"))
    known = core.text(), halo.text()
    viewer.add_image(np.zeros((2, 40, 50), np.uint8), name="pair", axis_labels=("c", "y", "x"))
    ready.form.image.choose(viewer.layers["pair"].unique_id)
    assert (core.text(), halo.text()) == ("", "")
    ready.form.image.choose(viewer.layers["cells"].unique_id)
    assert (core.text(), halo.text()) == known
    assert all(known)


def test_nan_is_explained_and_the_user_chooses(ready, viewer, until):
    values = np.random.default_rng(0).random((100, 100)).astype(np.float32)
    values[5, 6] = np.nan
    viewer.add_image(values, name="broken")
    ready.form.image.choose(viewer.layers["broken"].unique_id)
    until(lambda: "1 that are NaN" in ready.form.run.why.text())
    assert not ready.form.run.predict.isEnabled()
    ready.form.remedy.click()
    until(lambda: ready.form.run.predict.isEnabled())


def test_a_network_that_cannot_be_opened_is_said(widget, tmp_path, until):
    path = tmp_path / "broken.pt"
    path.write_bytes(b"nothing of use")
    widget.form.network.chosen.emit(str(path))
    until(lambda: "broken.pt" in widget.form.refused.text())
    assert widget.form.message.text() == ""


def test_an_untrusted_network_asks_with_its_hash(widget, tmp_path, until, monkeypatch):
    path = tmp_path / "script.pt"
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # torch says of each such file that its format is old
        traced = torch.jit.trace(torch.nn.Conv2d(1, 1, 3, padding=1), torch.zeros(1, 1, 16, 16))
        traced.save(str(path))
    asked = []
    monkeypatch.setattr(dialogs, "ask_trust", lambda _, error: asked.append(error.sha256) or True)
    widget.form.network.chosen.emit(str(path))
    until(lambda: widget.session.network is not None)
    assert asked == [widget.session.network.sha256]


def test_an_untrusted_network_of_a_project_asks_the_same_question(
    widget, tmp_path, until, monkeypatch, marking_script
):
    asked, mark = [], tmp_path / "mark"
    sha256 = marking_script(tmp_path / "script.pt", mark)
    project = Project(network={"path": str(tmp_path / "script.pt"), "sha256": sha256, "trust_sha256": sha256})
    write_project(tmp_path / "theirs", project)

    def answers(_, error):
        asked.append((error.sha256, mark.exists()))
        return len(asked) > 1

    monkeypatch.setattr(dialogs, "ask_trust", answers)
    monkeypatch.setattr(dialogs, "ask_project_folder", lambda *_: tmp_path / "theirs")
    widget.form.reopen.click()
    until(lambda: asked)
    assert widget.session.network is None
    widget.form.reopen.click()
    until(lambda: widget.session.network is not None)
    assert asked == [(sha256, False), (sha256, False)]


def test_save_then_the_layers_read_the_new_place(ready, viewer, until, monkeypatch, tmp_path):
    run(ready, until)
    before = np.asarray(viewer.layers[1].data)
    target = tmp_path / "mine.ome.zarr"
    monkeypatch.setattr(dialogs, "ask_save_path", lambda *_: target)
    ready.form.run.save.click()
    until(lambda: ready.session.results.all[0].saved and not ready.session.jobs.running("save"))
    viewer.layers[1].data.cache._kept.clear()
    np.testing.assert_array_equal(np.asarray(viewer.layers[1].data), before)
    assert str(target) in ready.form.run.result_path.text()


def test_discard(ready, viewer, until, monkeypatch):
    run(ready, until)
    monkeypatch.setattr(dialogs, "ask_discard", lambda *_: True)
    ready.form.run.discard.click()
    assert [layer.name for layer in viewer.layers] == ["cells"]


def test_copy_as_command_says_why_not_for_an_image_in_memory(ready):
    ready.form.run.copy.click()
    assert "only in memory" in ready.form.answer.text()


def test_taking_the_dock_away_stops_the_run_and_a_new_one_goes_on(ready, viewer, until, no_thread_left):
    ready.session.prediction.tile_written.connect(slowly)

    def close(event):
        if isinstance(event, TileDone) and event.done == 2:
            viewer.window.remove_dock_widget(ready)

    ready.session.prediction.reported.connect(close)
    ready.form.run.predict.click()
    until(lambda: ready._closed)
    no_thread_left()
    ready.session.prediction.reported.disconnect(close)
    again = PredictWidget(viewer)
    viewer.window.add_dock_widget(again, name="Predict")
    until(lambda: again.session.readiness.ready)
    events = listen(again)
    run(again, until)
    assert next(e.tiles_computed for e in events if isinstance(e, Saved)) <= 7


def test_closing_while_it_runs_asks_and_leaves_no_thread(ready, viewer, until, no_thread_left):
    events = listen(ready)
    ready.form.run.predict.click()
    until(lambda: any(isinstance(event, TileDone) for event in events))
    viewer.close()
    no_thread_left()


def test_it_fits_into_360_pixels(widget):
    assert widget.form.minimumSizeHint().width() <= 360
    QApplication.processEvents()
    assert not widget.horizontalScrollBar().isVisible()


def test_the_form_untouched_equals_the_defaults(widget):
    assert widget.form.settings.settings() == PredictSettings()
