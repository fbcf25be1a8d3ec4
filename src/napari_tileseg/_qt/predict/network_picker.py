"""Choosing a network: one that comes along, one recently opened, a file or folder, or one dropped here."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from qtpy.QtCore import Qt, Signal
from qtpy.QtGui import QDragEnterEvent, QDropEvent
from qtpy.QtWidgets import QFileDialog, QHBoxLayout, QMenu, QWidget

from napari_tileseg._qt.common.factories import button, choice

_KINDS = "*.safetensors *.pt *.pth *.pt2 *.onnx *.ts *.torchscript *.zip *.yaml *.yml *.json"
_FILTER = f"Networks ({_KINDS});;All files (*)"
#: Files that are called alike in every package: the folder tells them apart.
_DESCRIPTIONS = (".yaml", ".yml", ".json")
_CONFIGS = "configs"
_CHOOSE = "choose or drop a network"


class NetworkPicker(QWidget):
    """A list of networks and a button to open another."""

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
            "Open a network: .safetensors, a state dict, TorchScript, or a package of bioimage.io or a "
            "MONAI bundle as a zip file, a folder, or its description.",
        )
        menu = QMenu(self.open)
        self.open_file = menu.addAction("File or zip file\N{HORIZONTAL ELLIPSIS}", self._browse)
        self.open_folder = menu.addAction("Folder\N{HORIZONTAL ELLIPSIS}", self._browse_folders)
        self.open.setMenu(menu)
        layout = QHBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.addWidget(self.list, 1)
        layout.addWidget(self.open)
        self.setAcceptDrops(True)
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

    def dragEnterEvent(self, event: QDragEnterEvent) -> None:  # noqa: N802
        """Take what is one file or folder."""
        urls = event.mimeData().urls()
        if len(urls) == 1 and urls[0].isLocalFile():
            event.acceptProposedAction()

    def dropEvent(self, event: QDropEvent) -> None:  # noqa: N802
        """Open the file or folder."""
        event.acceptProposedAction()
        self.chosen.emit(str(Path(event.mimeData().urls()[0].toLocalFile())))


def _title(path: Path) -> str:
    if path.suffix not in _DESCRIPTIONS:
        return path.name
    # Folders of configurations are called alike, too.
    folder = path.parent.parent if path.parent.name == _CONFIGS else path.parent
    return f"{folder.name}/{path.name}"
