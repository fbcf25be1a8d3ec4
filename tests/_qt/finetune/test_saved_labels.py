"""The panel saves what is painted on any labels that it can save, and says so where it cannot."""

import dask.array as da
import numpy as np
import pytest
import zarr
from napari.layers._layer_actions import _duplicate_layer

from napari_tileseg._napari.images.layer_image import image_of
from napari_tileseg._qt.finetune.widget import FinetuneWidget
from napari_tileseg.session.painting.files import StrokeFiles
from napari_tileseg.settings import ImageSettings


@pytest.fixture(autouse=True)
def _own_home(monkeypatch, tmp_path):
    """What other tests have painted on the same image is not offered."""
    monkeypatch.setenv("TILESEG_HOME", str(tmp_path))


@pytest.fixture
def panel(viewer, networks, qtbot, let_go):
    """Dock a Fine-tune widget whose session has a network, and no image yet."""
    widget = FinetuneWidget(viewer)
    viewer.window.add_dock_widget(widget)
    widget.session.set_network(networks["batch"])
    yield widget
    let_go(widget)
    qtbot.wait(10)


@pytest.fixture
def choose_image(panel, viewer, until):
    def choose(name="cells"):
        panel.session.set_image(image_of(viewer.layers[name], ImageSettings()))
        until(lambda: panel.session.image_choice.reference is not None)

    return choose


def choose(panel, layer):
    panel.form.labels_chosen.emit(layer.unique_id)


def say(panel, kind, pairs=""):
    panel.form.kind.setCurrentIndex(panel.form.kind.findData(kind))
    panel.form.kind.activated.emit(0)
    panel.form.map.setText(pairs)
    panel.form.map.editingFinished.emit()


def record_of(panel):
    return StrokeFiles.open(panel._strokes.painting.folder).record


def stored(panel):
    return np.asarray(zarr.open_array(panel._strokes.painting.folder / "0", mode="r"))


def saved(panel):
    painting = panel._strokes.painting
    return painting is not None and painting.saved and painting.settled


def test_labels_chosen_before_the_image_are_saved_once_it_is_there(panel, choose_image, viewer, cells, until):
    layer = viewer.add_labels(cells.labels.copy())
    choose(panel, layer)
    assert "not saved here. Labels are painted on an image" in panel.form.saved.text()
    choose_image()
    assert panel.form.saved.text() == "What you paint on this layer is saved as you paint."
    layer.paint((5, 5), 7)
    until(lambda: saved(panel))
    np.testing.assert_array_equal(stored(panel), layer.data)


@pytest.mark.parametrize(
    ("make", "why"),
    [
        (lambda shape: da.zeros(shape, dtype=np.uint8), "an array of dask"),
        (lambda shape: zarr.zeros(shape, dtype=np.uint8), "an array of zarr"),
        (lambda shape: np.zeros((9, *shape), np.uint8), "the shape of the image"),
    ],
)
def test_it_says_which_labels_are_not_saved_and_why(panel, choose_image, viewer, cells, make, why):
    choose_image()
    choose(panel, viewer.add_labels(make(cells.image.shape)))
    text = panel.form.saved.text()
    assert "not saved here" in text
    assert why in text


def test_a_duplicate_of_painted_labels_is_saved_too(panel, choose_image, viewer, until):
    choose_image()
    panel.form.new.click()
    layer = viewer.layers["cells strokes"]
    layer.paint((5, 5), 1)
    viewer.layers.selection = {layer}
    _duplicate_layer(viewer.layers)
    copied = viewer.layers["cells strokes copy"]
    choose(panel, copied)
    assert panel.form.kind.currentData() == "strokes"
    assert panel.form.kind.isEnabled()
    copied.paint((50, 50), 2)
    until(lambda: saved(panel))
    until(lambda: (stored(panel) == np.asarray(copied.data)).all())
    assert layer.data[50, 50] == 0


def test_what_labels_hold_is_said_by_the_user_and_offered_again_as_said(
    panel, choose_image, viewer, cells, until
):
    choose_image()
    layer = viewer.add_labels((cells.labels > 0).astype(np.uint8) * 5, name="truth")
    choose(panel, layer)
    layer.paint((5, 5), 5)
    until(lambda: saved(panel))
    assert (record_of(panel).kind, record_of(panel).fixed) == (None, False)
    say(panel, "classes", "5=foreground")
    until(lambda: saved(panel))
    assert record_of(panel).kind == "classes"
    assert [(each.value, each.name) for each in record_of(panel).classes if each.value] == [(5, "foreground")]
    painted = layer.data.copy()
    viewer.layers.remove(layer)
    until(lambda: "were saved" in panel.form.offer.text())
    panel.form.open.click()
    until(lambda: panel._strokes.layer is not None)
    assert (panel.form.kind.currentData(), panel.form.kind.isEnabled()) == ("classes", True)
    assert panel.form.map.text() == "5=foreground"
    np.testing.assert_array_equal(np.asarray(panel._strokes.layer.data), painted)
    say(panel, "instances")
    until(lambda: saved(panel) and record_of(panel).kind == "instances")


def test_what_was_said_is_known_to_the_next_panel(panel, choose_image, viewer, cells, until, qtbot, let_go):
    choose_image()
    layer = viewer.add_labels(cells.labels.copy(), name="truth")
    choose(panel, layer)
    say(panel, "instances")
    viewer.window.remove_dock_widget(panel)
    again = FinetuneWidget(viewer)
    viewer.window.add_dock_widget(again)
    choose(again, layer)
    assert again.form.kind.currentData() == "instances"
    layer.data = np.ones_like(layer.data)
    until(lambda: saved(again))
    assert stored(again).all()
    let_go(again)
    qtbot.wait(10)


def test_labels_of_another_image_are_warned_about(panel, choose_image, viewer, cells, until):
    viewer.add_image(cells.image[::-1].copy(), name="other")
    choose_image()
    panel.form.new.click()
    viewer.layers["cells strokes"].paint((5, 5), 1)
    until(lambda: saved(panel) and "saved" in panel.form.saved.text())
    assert "another image" not in panel.form.saved.text()
    choose_image("other")
    until(lambda: "another image, cells" in panel.form.saved.text())
    choose_image()
    until(lambda: "another image" not in panel.form.saved.text())


def test_new_labels_whose_data_are_replaced_are_saved_all_the_same(panel, choose_image, viewer, until):
    choose_image()
    panel.form.new.click()
    layer = viewer.layers["cells strokes"]
    layer.paint((5, 5), 1)
    until(lambda: saved(panel))
    former = panel._strokes.painting
    layer.data = np.asarray(former.array)
    layer.paint((50, 60), 2)
    until(lambda: panel._strokes.painting is not former and saved(panel))
    np.testing.assert_array_equal(stored(panel), layer.data)
    assert {1, 2} <= set(np.unique(layer.data))
    assert record_of(panel).kind == "strokes"


def test_what_was_painted_on_labels_that_are_gone_is_told_of(panel, choose_image, viewer, until, monkeypatch):
    choose_image()
    panel.form.new.click()

    def full(*_):
        raise OSError("No space left")

    with monkeypatch.context() as patch:
        patch.setattr(StrokeFiles, "create", full)
        viewer.layers["cells strokes"].paint((5, 5), 1)
        until(lambda: "No space left" in panel.form.saved.text())
        viewer.layers.remove("cells strokes")
        until(lambda: "No space left" in panel.form.message.text())
    assert panel.form.saved.text().startswith("Press New")
    until(lambda: panel.strokes.settle(0.0))
