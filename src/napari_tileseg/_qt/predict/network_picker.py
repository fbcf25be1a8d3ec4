"""Choosing a network: one that comes along, one recently opened, a file or folder, or one dropped here."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path

from qtpy.QtCore import Qt, Signal
from qtpy.QtWidgets import QFileDialog, QHBoxLayout, QMenu, QWidget

from napari_tileseg._qt.common.factories import button, choice
from napari_tileseg._qt.common.file_drop import FileDrop

_FILTER = (
    "Networks (*.safetensors *.pt *.pth *.pt2 *.onnx *.ts *.torchscript *.pytorch *.torch *.ckpt *.zip "
    "*.yaml *.yml *.json);;All files (*)"
)
#: Files and folders that are called alike in every package: the folder above tells them apart.
_ALIKE = re.compile(
    r".*\.(ya?ml|json)|configs|fold_\w+|models?|package\.zip|"
    r"(checkpoint_\w+|(best|last)_checkpoint|weights|model|network|state_dict|best_metric_model)\.\w+"
)
_CHOOSE = "choose or drop a network"


class NetworkPicker(QWidget):
    """A list of networks and a button to open another; `drop` takes files on further widgets."""

    #: Path, or ``sample:NAME``, that the user has chosen.
    chosen = Signal(str)

    def __init__(self) -> None:
        super().__init__()
        self.list = choice(
            "Network to predict with: samples and recently opened ones. Or drop a file or a folder.",
            least=100,
        )
        self.list.setPlaceholderText(_CHOOSE)
        self.open = button(
            "Open\N{HORIZONTAL ELLIPSIS}",
            "Open a network: a package of bioimage.io, a MONAI bundle, a trained folder of nnU-Net, a "
            "checkpoint of pytorch-3dunet or PlantSeg, ONNX, an exported program (.pt2), TorchScript, a "
            "state dict or .safetensors; as a file, a folder or a zip file.",
        )
        menu = QMenu(self.open)
        self.open_file = menu.addAction("File or zip file\N{HORIZONTAL ELLIPSIS}", self._browse)
        self.open_folder = menu.addAction("Folder\N{HORIZONTAL ELLIPSIS}", self._browse_folders)
        self.open.setMenu(menu)
        layout = QHBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.addWidget(self.list, 1)
        layout.addWidget(self.open)
        drop = FileDrop(self)
        drop.watch(self)
        drop.dropped.connect(self.chosen)
        self.drop = drop
        self.list.activated.connect(self._choose)

    def set_networks(self, networks: Mapping[str, str]) -> None:
        """Offer networks: path or ``sample:NAME`` to its title, "" standing for the file's name."""
        current = self.list.currentData()
        self.list.clear()
        for network, title in networks.items():
            self._add(network, title)
        self.show_choice(current)

    def show_choice(self, network: str | None) -> None:
        """Show `network` as chosen, without emitting that."""
        if network is not None and self.list.findData(network) < 0:
            self._add(network, "")
        self.list.setCurrentIndex(-1 if network is None else self.list.findData(network))

    def _add(self, network: str, title: str) -> None:
        self.list.addItem(title or _title(Path(network)), network)
        self.list.setItemData(self.list.count() - 1, network, Qt.ItemDataRole.ToolTipRole)

    def _choose(self, index: int) -> None:
        self.chosen.emit(self.list.itemData(index))

    def _browse(self) -> None:
        path, _ = QFileDialog.getOpenFileName(self, "Open a network", "", _FILTER)
        if path:
            self.chosen.emit(path)

    def _browse_folders(self) -> None:
        path = QFileDialog.getExistingDirectory(self, "Open the folder of a network")
        if path:
            self.chosen.emit(path)


def _title(path: Path) -> str:
    """Return the name of a network's file or folder, after those above it that tell it from others."""
    parts = path.parts
    first = len(parts) - 1
    while first > 1 and _ALIKE.fullmatch(parts[first]):
        first -= 1
    return "/".join(parts[first:])
