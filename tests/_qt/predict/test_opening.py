"""Opening networks by the panel: dropped, refused, asked about, and told from one another."""

import hashlib
import json
import zipfile

import numpy as np
import pytest
import torch
import yaml
from qtpy.QtCore import QMimeData, QPoint, QPointF, Qt, QUrl
from qtpy.QtGui import QDragEnterEvent, QDropEvent
from qtpy.QtWidgets import QApplication, QMessageBox
from tests.nets.formats.nnunet.folders import plans
from tests.nets.formats.test_bioimageio import logits, package_05

from napari_tileseg._qt.common import dialogs

ASK_TRUST = dialogs.ask_trust
CODE = b"import torch\n\n\nclass Net(torch.nn.Module):\n    pass\n"


def drop(widget, *paths):
    """Drag files onto a widget and let them go; returns whether they were taken."""
    data = QMimeData()
    data.setUrls([QUrl.fromLocalFile(str(path)) for path in paths])
    how = (Qt.DropAction.CopyAction, data, Qt.MouseButton.LeftButton, Qt.KeyboardModifier.NoModifier)
    entering = QDragEnterEvent(QPoint(5, 5), *how)
    QApplication.sendEvent(widget, entering)
    if entering.isAccepted():
        QApplication.sendEvent(widget, QDropEvent(QPointF(5, 5), *how))
    return entering.isAccepted()


@pytest.mark.parametrize("onto", ["network", "card"])
def test_a_file_or_folder_is_dropped_onto_list_and_card(widget, until, tmp_path, onto):
    (tmp_path / "empty").mkdir()
    assert drop(getattr(widget.form, onto), tmp_path / "empty")
    until(lambda: "empty is a folder without a network" in widget.form.refused.text())
    assert not drop(getattr(widget.form, onto), tmp_path / "empty", tmp_path)


def test_what_is_no_network_is_said_beside_the_list_in_one_breath_and_no_longer(widget, until, tmp_path):
    form, page = widget.form, tmp_path / "page.pt"
    page.write_text("<html></html>")
    form.network.chosen.emit(str(page))
    until(lambda: form.refused.text())
    assert form.refused.text().endswith(
        "page.pt is a web page. The download did not give the file; download it again."
    )
    rows = form.layout()
    assert rows.indexOf(form.network) < rows.indexOf(form.refused) < rows.indexOf(form.card)
    form.network.chosen.emit("sample:cells_2d_batch_renorm")
    assert form.refused.isHidden()
    until(lambda: widget.session.network is not None)
    assert form.refused.isHidden()


def test_half_of_a_network_is_told_what_is_missing(widget, until, tmp_path):
    half = tmp_path / "half"
    half.mkdir()
    (half / "plans.json").write_text(json.dumps(plans()))
    (tmp_path / "package").mkdir()
    package = package_05(tmp_path / "package").write("zip")
    with zipfile.ZipFile(tmp_path / "twice.zip", "w") as archive:
        archive.write(package, "package.zip")
    alone = tmp_path / "alone"
    alone.mkdir()
    (alone / "rdf.yaml").write_text(yaml.safe_dump(package_05(tmp_path / "other").said))
    for path, words in (
        (half, "half is a trained nnU-Net with files missing. Open the whole trained folder"),
        (half / "plans.json", "the plans of an nnU-Net, without weights. Open the whole trained folder"),
        (tmp_path / "twice.zip", "a zip file with package.zip inside. Unpack it, and open"),
        (alone, "weights.pt is missing in the package). Download the whole package as its zip file"),
    ):
        widget.form.network.chosen.emit(str(path))
        until(lambda words=words: words in widget.form.refused.text())


def test_a_script_in_a_package_is_asked_about_by_file_and_hash(widget, until, tmp_path, monkeypatch):
    found = package_05(tmp_path / "mine")
    module = torch.jit.trace(found.module, torch.from_numpy(found.x + 1))
    (tmp_path / "mine").mkdir()
    module.save(str(tmp_path / "mine" / "weights.pt"))
    for name, values in (("test_input.npy", found.x), ("test_output.npy", logits(found.module, found.x))):
        np.save(tmp_path / "mine" / name, values)
    path = found.write()
    sha256 = hashlib.sha256((path / "weights.pt").read_bytes()).hexdigest()
    shown = []

    monkeypatch.setattr(dialogs, "ask_trust", ASK_TRUST)
    monkeypatch.setattr(QMessageBox, "exec", lambda box: shown.append(box.text()))
    monkeypatch.setattr(QMessageBox, "clickedButton", lambda box: box.buttons()[0] if shown[1:] else None)
    widget.form.network.chosen.emit(str(path))
    until(lambda: shown)
    assert f"{path / 'weights.pt'} is a TorchScript file: to open it runs the code in it." in shown[0]
    assert sha256 in shown[0]
    assert "--" not in shown[0]
    until(lambda: "which was not allowed" in widget.form.refused.text())
    widget.form.network.chosen.emit(str(path))
    until(lambda: widget.session.network is not None)
    assert "Reproduces its test output" in widget.form.card.test.text()
    assert widget.form.refused.isHidden()


def test_source_in_a_package_is_not_run_and_what_to_do_is_said(widget, until, tmp_path):
    found = package_05(tmp_path / "mine")
    found.folder.mkdir()
    torch.save(found.module.state_dict(), found.folder / "state.pt")
    found.files["net.py"] = CODE
    architecture = {"source": "net.py", "callable": "Net", "sha256": hashlib.sha256(CODE).hexdigest()}
    found.said["weights"] = {"pytorch_state_dict": {"source": "state.pt", "architecture": architecture}}
    widget.form.network.chosen.emit(str(found.write()))
    until(lambda: "Net in net.py, whose code is not run here" in widget.form.refused.text())
    assert "Take a package with TorchScript or ONNX weights" in widget.form.refused.text()


def test_files_that_are_called_alike_are_told_by_their_folders(widget, tmp_path):
    names = {
        "one/fold_0/checkpoint_final.pth": "one/fold_0/checkpoint_final.pth",
        "two/best_checkpoint.pytorch": "two/best_checkpoint.pytorch",
        "three/rdf.yaml": "three/rdf.yaml",
        "nuclei.onnx": "nuclei.onnx",
    }
    widget.form.network.set_networks({str(tmp_path / name): "" for name in names})
    texts = [widget.form.network.list.itemText(n) for n in range(len(names))]
    assert texts == list(names.values())
