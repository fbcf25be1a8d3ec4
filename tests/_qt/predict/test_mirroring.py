"""Mirrored copies of nnU-Net: what they cost, and how they are left out and made again."""

import numpy as np
import pytest
from qtpy.QtCore import Qt
from tests.nets.formats.nnunet.folders import checkpoint, network, write_folder

from napari_tileseg._qt.common import dialogs

FINAL = "checkpoint_final.pth"


@pytest.fixture
def trained(widget, viewer, tmp_path, until):
    """The panel with two folds of two axes, and an image of their channels."""
    folds = {f"fold_{n}/{FINAL}": checkpoint(network(n, 2), "2d", n) for n in (0, 1)}
    values = np.random.default_rng(0).integers(0, 4000, (2, 64, 48)).astype(np.uint16)
    layer = viewer.add_image(values, name="tissue", axis_labels=("c", "y", "x"))
    widget.form.image.choose(layer.unique_id)
    widget.form.network.chosen.emit(str(write_folder(tmp_path / "net", folds)))
    until(lambda: widget.session.network is not None and widget.session.readiness.ready)
    return widget


def click(widget, qtbot, until):
    former = widget.session.network
    qtbot.mouseClick(widget.form.card.mirroring, Qt.MouseButton.LeftButton)
    until(lambda: widget.session.network is not former and widget.session.readiness.ready)


def test_copies_are_counted_left_out_and_made_again(trained, qtbot, until):
    card, whole = trained.form.card, trained.session.network
    assert not card.mirroring.isHidden()
    assert card.mirroring.isChecked()
    assert "4 mirrored copies" in card.copies.text()
    assert card.copies.text().endswith("8 runs a voxel")
    assert "mirrored copies" not in card.notes.text(), "said once"
    click(trained, qtbot, until)
    assert card.copies.text().startswith("2 runs a voxel")
    assert not card.mirroring.isChecked()
    without = trained.session.network
    assert without.sha256 == whole.sha256
    assert without.description.arguments["mirrored"] == []
    assert whole.description.arguments["mirrored"] == [0, 1]
    click(trained, qtbot, until)
    assert card.mirroring.isChecked()
    assert trained.session.network.reference == whole.reference


def test_a_project_keeps_what_was_chosen_and_it_can_be_chosen_otherwise(trained, qtbot, until, monkeypatch):
    click(trained, qtbot, until)
    trained.session.project_folder.ensure_file()
    monkeypatch.setattr(dialogs, "ask_project_folder", lambda *_: trained.session.folder)
    former = trained.session.network
    trained.form.reopen.click()
    until(lambda: trained.session.network is not former and not trained.session.jobs.running("network"))
    assert not trained.form.card.mirroring.isChecked()
    click(trained, qtbot, until)
    assert trained.session.network.reference.architecture is None


def test_other_networks_have_no_such_box(ready):
    assert ready.form.card.copies.isHidden()
    assert not ready.form.card.mirroring.isVisible()
    assert ready.session.network.mirroring is None


def test_layers_of_several_networks_are_said_once(trained):
    card = trained.form.card
    assert card.verdict.text().endswith("5 InstanceNorm layers, in each of 2 networks")
    card.ask.click()
    assert card.why.text().startswith("In each of its 2 networks, 5 InstanceNorm layers (")
    assert card.why.text().count("encoder") <= 3
