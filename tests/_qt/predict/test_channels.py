"""The panel asks which channel is which where nobody can know it, and only there."""

import imageio.v3 as imageio
import numpy as np
import pytest
from qtpy.QtCore import Qt

from napari_tileseg._qt.common import dialogs
from napari_tileseg.nets import Description, save_network
from napari_tileseg.nets.architectures.registry import build


def network(path, *names):
    arguments = {"ndim": 2, "in_channels": len(names), "features": (2, 4), "blocks": 1}
    said = Description(architecture="unet", arguments=arguments, activation="sigmoid", channel_names=names)
    return str(save_network(build("unet", **arguments), path, said))


@pytest.fixture
def tissue(viewer):
    values = np.random.default_rng(0).integers(0, 4000, (2, 64, 48)).astype(np.uint16)
    return viewer.add_image(values, name="tissue", axis_labels=("c", "y", "x"))


@pytest.fixture
def two(tmp_path):
    return network(tmp_path / "two.safetensors", "CT", "membrane")


def choose(widget, layer, path, until):
    widget.form.image.choose(layer.unique_id)
    widget.form.network.chosen.emit(path)
    until(lambda: widget.session.network is not None and widget.session.readiness.ready)


def pick(box, qtbot, down):
    """Choose another entry as with the keyboard."""
    box.setFocus()
    qtbot.keyClick(box, Qt.Key.Key_Down if down else Qt.Key.Key_Up)


def test_channels_of_other_names_are_asked_for_and_swapped_by_hand(widget, tissue, two, until, qtbot):
    choose(widget, tissue, two, until)
    form = widget.form
    assert not form.channels.isHidden()
    assert "Which channel" in form.channels.words.text()
    assert [box.accessibleName() for box in form.channels.lists] == ["CT", "membrane"]
    assert "CT from 0, membrane from 1" in form.tiles.text()
    assert "say above which is which" in form.warnings.text()
    assert form.run.predict.isEnabled()
    pick(form.channels.lists[0], qtbot, down=True)
    assert widget.session.image.channels == (1, 0)
    assert [box.currentIndex() for box in form.channels.lists] == [1, 0]
    assert form.image.channel.currentText() == "1,0"
    until(lambda: widget.session.readiness.ready)
    assert "CT from 1, membrane from 0" in form.tiles.text()
    assert "which" not in form.warnings.text()
    assert form.channels.confirm.isHidden()


def test_the_order_as_it_is_can_be_confirmed(widget, tissue, two, until, qtbot):
    choose(widget, tissue, two, until)
    qtbot.mouseClick(widget.form.channels.confirm, Qt.MouseButton.LeftButton)
    assert widget.session.image.channels == (0, 1)
    until(lambda: widget.session.readiness.ready)
    assert "which" not in widget.form.warnings.text()


def test_an_answer_is_not_used_for_a_network_of_other_channels_and_comes_back(
    widget, tissue, two, tmp_path, until, qtbot
):
    other = network(tmp_path / "other.safetensors", "DNA", "actin")
    choose(widget, tissue, two, until)
    pick(widget.form.channels.lists[0], qtbot, down=True)
    choose(widget, tissue, other, until)
    until(lambda: widget.session.network.reference.path == other)
    assert widget.session.image.channels is None
    assert "Which channel" in widget.form.channels.words.text()
    widget.form.network.chosen.emit(two)
    until(lambda: widget.session.network.reference.path == two)
    assert widget.session.image.channels == (1, 0)


def test_what_was_answered_and_typed_of_two_images_is_kept_apart(widget, viewer, tissue, two, until, qtbot):
    choose(widget, tissue, two, until)
    pick(widget.form.channels.lists[0], qtbot, down=True)
    other = viewer.add_image(np.asarray(tissue.data), name="other", axis_labels=("c", "y", "x"))
    form, session = widget.form, widget.session
    form.image.choose(other.unique_id)
    assert session.image.channels is None
    form.image.channel.setEditText("1,0")
    form.image.channel.lineEdit().editingFinished.emit()
    for _ in range(2):
        for layer in (tissue, other):
            form.image.choose(layer.unique_id)
            assert session.image.channels == (1, 0)
            assert form.channels.confirm.isHidden()
    form.image.channel.setEditText("0,1")
    form.image.channel.lineEdit().editingFinished.emit()
    form.image.choose(tissue.unique_id)
    form.image.choose(other.unique_id)
    assert session.image.channels == (0, 1)


def test_an_answer_outlives_axes_that_were_mistyped(widget, tissue, two, until, qtbot):
    choose(widget, tissue, two, until)
    pick(widget.form.channels.lists[0], qtbot, down=True)
    for axes, channels in (("cyy", None), ("cyx", (1, 0))):
        widget.form.image.axes.setText(axes)
        widget.form.image.axes.editingFinished.emit()
        image = widget.session.image
        assert (None if image is None else image.channels) == channels


def test_equal_names_are_taken_and_nothing_is_asked(widget, viewer, two, until):
    values = np.random.default_rng(0).integers(0, 4000, (2, 64, 48)).astype(np.uint16)
    viewer.add_image(values, channel_axis=0, name=["slide membrane", "slide ct"])
    widget.form.image.list.setCurrentIndex(widget.form.image.list.count() - 1)
    widget.form.network.chosen.emit(two)
    until(lambda: widget.session.network is not None and widget.session.readiness.ready)
    assert widget.form.channels.isHidden()
    assert widget.session.image.channels == (1, 0)
    assert "CT from 1 (ct), membrane from 0 (membrane)" in widget.form.tiles.text()


def test_a_network_of_one_channel_asks_which_of_several_it_is(widget, tissue, tmp_path, until, qtbot):
    one = network(tmp_path / "one.safetensors", "membrane")
    widget.form.image.choose(tissue.unique_id)
    widget.form.network.chosen.emit(one)
    until(lambda: not widget.form.channels.isHidden())
    assert not widget.form.run.predict.isEnabled()
    pick(widget.form.channels.lists[0], qtbot, down=True)
    until(lambda: widget.session.readiness.ready)
    assert widget.session.image.channels == (1,)


def test_one_channel_for_one_asks_nothing(ready, tmp_path, until):
    one = network(tmp_path / "one.safetensors", "membrane")
    ready.form.network.chosen.emit(one)
    until(lambda: ready.session.network.reference.path == one and ready.session.readiness.ready)
    assert ready.form.channels.isHidden()
    assert "Channels" not in ready.form.tiles.text()


def test_an_answer_is_remembered_with_the_project(widget, viewer, tmp_path, until, qtbot, monkeypatch):
    values = np.random.default_rng(0).integers(0, 255, (48, 64, 3), dtype=np.uint8)
    imageio.imwrite(tmp_path / "picture.png", values)
    (layer,) = viewer.open(tmp_path / "picture.png", plugin="napari")
    choose(widget, layer, network(tmp_path / "three.safetensors", "DNA", "actin", "wall"), until)
    qtbot.mouseClick(widget.form.channels.confirm, Qt.MouseButton.LeftButton)
    until(lambda: widget.session.readiness.ready)
    widget.form.run.predict.click()
    until(lambda: widget.session.results.all and not widget.session.prediction.running)
    viewer.layers.clear()
    monkeypatch.setattr(dialogs, "ask_project_folder", lambda *_: widget.session.folder)
    widget.form.reopen.click()
    until(lambda: widget.session.readiness.ready)
    assert widget.session.image.channels == (0, 1, 2)
    assert not widget.form.channels.isHidden()
    assert widget.form.channels.confirm.isHidden()
    assert "which" not in widget.form.warnings.text()
    widget.form.run.copy.click()
    assert "--channel=0,1,2" in widget.form.answer.text()
