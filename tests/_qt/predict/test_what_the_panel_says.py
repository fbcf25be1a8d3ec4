"""What the Predict panel says is so: as long as it is, and no longer."""

import shutil
import time

import numpy as np
import pytest

from napari_tileseg._qt.common import dialogs
from napari_tileseg._qt.predict.widget import PredictWidget
from napari_tileseg.prediction.events import TileDone
from napari_tileseg.samples.networks import sample_networks
from napari_tileseg.settings import PredictSettings


@pytest.fixture
def other(tmp_path):
    """Path of a network that was never opened before."""
    path = tmp_path / "mine.safetensors"
    path.write_bytes(
        next(n.path for n in sample_networks() if n.name == "cells_2d_batch_renorm").read_bytes()
    )
    return str(path)


def edit(form, name, text):
    form.settings.editors[name].setText(text)
    form.settings.editors[name].editingFinished.emit()


def choose(widget, name):
    widget.form.image.choose(widget.viewer.layers[name].unique_id)


def off(form, words):
    """Whether nothing can be predicted and the panel says why, once."""
    texts = [form.run.why.text(), form.message.text(), form.answer.text(), form.tiles.text()]
    return not form.run.predict.isEnabled() and [words in text for text in texts] == [
        True,
        False,
        False,
        False,
    ]


def test_predict_is_off_while_another_network_is_opened_and_runs_the_one_that_is_shown(ready, until, other):
    former = ready.session.network
    ready.form.network.chosen.emit(other)
    assert off(ready.form, "network is being opened")
    assert not ready.form.run.copy.isEnabled()
    assert "Opening" in ready.form.card.what.text()
    until(lambda: ready.form.run.predict.isEnabled())
    assert ready.form.run.why.text() == ""
    assert ready.session.network is not former
    ready.form.run.predict.click()
    until(lambda: ready.session.results.all and not ready.session.prediction.running)
    assert ready.session.results.all[-1].network == ready.session.network.spec.name


def test_nothing_is_shown_of_the_former_network_while_another_is_opened(ready, until, other):
    form = ready.form
    form.run.predict.click()
    until(lambda: "Done" in form.run.progress.text())
    form.network.chosen.emit(other)
    former = (form.tiles, form.warnings, form.run.progress, form.notes)
    assert [label.text() for label in former] == [""] * 4
    assert form.input.text() == "\N{EN DASH}"
    assert not any(editor.isEnabled() for editor in form.settings.editors.values())
    until(lambda: form.run.predict.isEnabled())
    assert "core: as you set it" in form.tiles.text()
    assert all(editor.isEnabled() for editor in form.settings.editors.values())


def test_a_panel_opened_meanwhile_shows_the_network_that_is_being_opened(ready, other, until):
    ready.form.network.chosen.emit(other)
    again = PredictWidget(ready.viewer)
    assert "Opening" in again.form.card.what.text()
    assert again.form.network.list.currentData() == other
    assert "network is being opened" in again.form.run.why.text()
    until(lambda: again.form.run.predict.isEnabled())
    assert "U-Net" in again.form.card.what.text()
    again.release()


@pytest.mark.parametrize("name", ["halo", "core", "box", "batch", "memory"])
def test_an_entry_that_cannot_be_read_keeps_predict_off(ready, until, name):
    form = ready.form
    for text in ("x", "4:", "1,2,3,4,5,6,7", "-3", "4;4"):
        edit(form, name, text)
        assert not form.run.predict.isEnabled()
        assert name in form.run.why.text()
        assert name not in form.message.text() + form.answer.text()
        edit(form, name, "")
        assert name not in form.run.why.text()
    edit(form, name, "x")
    form.settings.editors[name].setText("")
    assert name not in form.run.why.text(), "what is mended counts at once"
    until(lambda: form.run.predict.isEnabled())


def test_the_last_of_several_wrong_entries_goes_before_predict_is_on(ready, until):
    form = ready.form
    edit(form, "halo", "x")
    edit(form, "quantiles", "many")
    assert form.run.why.text()
    edit(form, "halo", "")
    assert "quantiles" in form.run.why.text()
    edit(form, "quantiles", "1,99")
    until(lambda: form.run.predict.isEnabled())


def test_what_is_typed_counts_though_its_field_was_not_left(ready):
    ready.form.settings.editors["halo"].setText("x")
    ready.form.run.predict.click()
    assert off(ready.form, "'x'")
    assert not ready.session.prediction.running
    ready.form.settings.editors["halo"].setText("8,8")
    ready.form.run.copy.click()
    assert ready.session.settings.halo == ((8, 8), (8, 8))


#: Images that a network of one channel and two axes cannot take.
UNFIT = {
    "rgb": lambda viewer: viewer.add_image(np.zeros((40, 50, 3), np.uint8), name="other", rgb=True),
    "rgba": lambda viewer: viewer.add_image(np.zeros((40, 50, 4), np.uint8), name="other", rgb=True),
    "flat": lambda viewer: viewer.add_image(np.full((40, 50), 7, np.uint8), name="other"),
    "nan": lambda viewer: viewer.add_image(np.full((40, 50), np.nan, np.float32), name="other"),
}


@pytest.mark.parametrize("add", UNFIT.values(), ids=UNFIT)
def test_an_image_that_does_not_fit_is_said_whatever_else_happens_and_not_beside_another(
    ready, viewer, until, add
):
    form = ready.form
    add(viewer)
    choose(ready, "other")
    until(lambda: not ready.session.jobs.running("measure") and not ready.session.jobs.running("image"))
    words = form.run.why.text()
    assert off(form, words)
    assert words
    edit(form, "quantiles", "2,98")
    form.grid.setChecked(True)
    until(lambda: not ready.session.jobs.running("measure") and not ready.session.jobs.running("image"))
    assert off(form, words)
    choose(ready, "cells")
    until(lambda: form.run.predict.isEnabled())
    texts = [label.text() for label in (form.run.why, form.message, form.answer, form.warnings)]
    assert words not in texts


def test_a_channel_that_fits_and_all_again_is_said_each_time(ready, viewer, until):
    form = ready.form
    colours = np.random.default_rng(0).integers(0, 255, (40, 50, 3)).astype(np.uint8)
    viewer.add_image(colours, name="colours", rgb=True)
    choose(ready, "colours")
    for _ in range(2):
        form.image.channel.setCurrentIndex(0)
        form.image.channel.activated.emit(0)
        assert off(form, "1 channel")
        assert "--" not in form.run.why.text()
        form.image.channel.setCurrentIndex(1)
        form.image.channel.activated.emit(1)
        until(lambda: form.run.predict.isEnabled())
        assert form.run.why.text() == ""


def test_axes_that_were_mended_leave_no_sentence(ready, until):
    form = ready.form
    for wrong in ("y", "yy", "zyx", "ab"):
        form.image.axes.setText(wrong)
        form.image.axes.editingFinished.emit()
        assert not form.run.predict.isEnabled()
        assert form.run.why.text()
    form.image.axes.setText("yx")
    form.image.axes.editingFinished.emit()
    until(lambda: form.run.predict.isEnabled())
    assert form.run.why.text() == form.message.text() == form.answer.text() == ""


def test_settings_go_with_the_image_they_were_typed_for(ready, viewer, until):
    form = ready.form
    edit(form, "core", "32,32")
    assert "as you set it" in form.tiles.text()
    viewer.add_image(np.random.default_rng(0).random((50, 60)), name="other")
    choose(ready, "other")
    until(lambda: form.run.predict.isEnabled())
    assert "as you set it" not in form.tiles.text()
    assert form.settings.settings().core is None
    choose(ready, "cells")
    assert form.settings.editors["core"].text() == "32,32"


def test_a_run_says_of_which_image_it_is_while_another_is_chosen(ready, viewer, until):
    form, seen = ready.form, []
    viewer.add_image(np.random.default_rng(0).random((50, 60)), name="other")
    ready.session.prediction.tile_written.connect(lambda _: time.sleep(0.1))

    def look(event):
        if isinstance(event, TileDone) and event.done == 2:
            choose(ready, "other")
        if isinstance(event, TileDone) and event.done > 2:
            seen.append((form.run.progress.text(), form.run.why.text(), form.run.predict.isEnabled()))

    ready.session.prediction.reported.connect(look)
    form.run.predict.click()
    until(lambda: ready.session.results.all and not ready.session.prediction.running)
    assert seen
    for progress, why, enabled in seen:
        assert progress.startswith(f"cells with {ready.session.network.spec.name}: ")
        assert why == "Another prediction runs; wait until it is done, or cancel it."
        assert not enabled
    until(lambda: form.run.predict.isEnabled())
    assert form.run.progress.text() == "", "what was done is of another image"
    assert not form.run.save.isEnabled()
    assert "not saved yet; choose one here" in form.run.result_path.text()
    choose(ready, "cells")
    ready.session.set_settings(PredictSettings(core=(64, 64)))
    until(lambda: form.run.progress.text().endswith(" s"))
    assert form.run.progress.text().startswith("\N{CHECK MARK} Done")
    assert form.run.save.isEnabled()


def test_a_cancelled_run_and_its_bar_are_of_its_image_only(ready, viewer, until):
    form = ready.form
    ready.session.prediction.tile_written.connect(lambda _: time.sleep(0.05))
    ready.session.prediction.reported.connect(lambda e: isinstance(e, TileDone) and form.run.cancel.click())
    form.run.predict.click()
    until(lambda: "Cancelled" in form.run.progress.text())
    assert not form.run.bar.isHidden()
    viewer.add_image(np.random.default_rng(0).random((50, 60)), name="other")
    choose(ready, "other")
    assert form.run.progress.text() == ""
    assert form.run.bar.isHidden()
    choose(ready, "cells")
    until(lambda: "Cancelled" in form.run.progress.text())


def test_voxels_changed_in_their_place_are_predicted_anew_without_a_word_of_the_shell(ready, viewer, until):
    ready.form.run.predict.click()
    until(lambda: ready.session.results.all and not ready.session.prediction.running)
    layer = viewer.layers["cells"]
    values = layer.data.copy()
    layer.data //= 2
    layer.refresh()
    ready.form.run.predict.click()
    until(lambda: len(ready.session.results.all) == 2 and not ready.session.prediction.running)
    layer.data[...] = values
    assert "Done" in ready.form.run.progress.text()
    assert "have changed" in ready.form.notes.text()
    assert ready.form.message.text() == ""


def test_a_failed_save_is_said_until_something_else_is_chosen(ready, viewer, until, monkeypatch, tmp_path):
    ready.form.run.predict.click()
    until(lambda: ready.session.results.all and not ready.session.prediction.running)
    (tmp_path / "taken.ome.zarr").mkdir()
    monkeypatch.setattr(dialogs, "ask_save_path", lambda *_: tmp_path / "taken.ome.zarr")
    ready.form.run.save.click()
    until(lambda: "exists already" in ready.form.message.text())
    viewer.add_image(np.random.default_rng(0).random((50, 60)), name="other")
    choose(ready, "other")
    assert "exists already" not in ready.form.message.text()


def test_saving_says_how_far_it_is_and_can_be_cancelled(ready, until, monkeypatch, tmp_path, no_thread_left):
    def slowly(*args, copy=shutil.copy2, **options):
        time.sleep(0.25)
        return copy(*args, **options)

    form, target = ready.form, tmp_path / "mine.ome.zarr"
    form.run.predict.click()
    until(lambda: ready.session.results.all and not ready.session.prediction.running)
    monkeypatch.setattr("shutil.copy2", slowly)
    monkeypatch.setattr(dialogs, "ask_save_path", lambda *_: target)
    form.run.save.click()
    assert form.run.why.text() == "The result is being saved."
    until(lambda: form.run.result_path.text().startswith("Saving cells with cells 2D, BatchRenorm: "))
    form.run.cancel.click()
    until(lambda: form.run.predict.isEnabled())
    no_thread_left()
    assert list(tmp_path.iterdir()) == []
    assert "not saved yet" in form.run.result_path.text()
    assert form.run.save.isEnabled()
    assert not form.run.cancel.isEnabled()


def test_an_answer_goes_with_what_it_was_about(ready, viewer):
    ready.form.run.copy.click()
    assert "only in memory" in ready.form.answer.text()
    viewer.add_image(np.random.default_rng(0).random((50, 60)), name="other")
    choose(ready, "other")
    assert ready.form.answer.text() == ""


def test_another_voxel_size_is_mended_by_one_press(widget, viewer, cells, until):
    fine = np.kron(cells.image[:96, :80], np.ones((2, 2), np.uint16))
    viewer.add_image(fine, name="fine", scale=(0.325, 0.325), units="micrometer")
    choose(widget, "fine")
    widget.form.network.chosen.emit("sample:cells_2d_batch_renorm")
    until(lambda: widget.session.readiness.ready)
    assert widget.form.warnings.text().count("trained at") == 1
    assert not widget.form.remedy.isHidden()
    widget.form.remedy.click()
    assert widget.session.settings.resample
    assert widget.form.settings.editors["resample"].isChecked()
    assert widget.form.remedy.isHidden()
    assert "trained at" not in widget.form.warnings.text()
