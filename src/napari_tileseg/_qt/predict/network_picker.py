"""Choosing a network: one that comes along, one recently opened, a file, or a file dropped here."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from qtpy.QtCore import Qt, Signal
from qtpy.QtGui import QDragEnterEvent, QDropEvent
from qtpy.QtWidgets import QFileDialog, QHBoxLayout, QWidget

from napari_tileseg._qt.common.factories import button, choice

_FILTER = "Networks (*.safetensors *.pt *.pth *.ts *.torchscript);;All files (*)"
_CHOOSE = "choose or drop a network"


class NetworkPicker(QWidget):
    """A list of networks and a button to open another."""

    #: Path, or ``sample:NAME``, that the user has chosen.
    chosen = Signal(str)

    def __init__(self) -> None:
        super().__init__()
        self.list = choice(
            "Network to predict with: samples and recently opened ones. Or drop a file.", least=100
        )
        self.list.setPlaceholderText(_CHOOSE)
        self.open = button(
            "Open\N{HORIZONTAL ELLIPSIS}",
            "Open a network's file: .safetensors, a state dict, or TorchScript.",
        )
        layout = QHBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.addWidget(self.list, 1)
        layout.addWidget(self.open)
        self.setAcceptDrops(True)
        self.list.activated.connect(self._choose)
        self.open.clicked.connect(self._browse)

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
        self.list.addItem(title or Path(network).name, network)
        self.list.setItemData(self.list.count() - 1, network, Qt.ItemDataRole.ToolTipRole)

    def _choose(self, index: int) -> None:
        self.chosen.emit(self.list.itemData(index))

    def _browse(self) -> None:
        path, _ = QFileDialog.getOpenFileName(self, "Open a network", "", _FILTER)
        if path:
            self.chosen.emit(path)

    def dragEnterEvent(self, event: QDragEnterEvent) -> None:  # noqa: N802
        """Take what is one file."""
        urls = event.mimeData().urls()
        if len(urls) == 1 and urls[0].isLocalFile():
            event.acceptProposedAction()

    def dropEvent(self, event: QDropEvent) -> None:  # noqa: N802
        """Open the file."""
        event.acceptProposedAction()
        self.chosen.emit(event.mimeData().urls()[0].toLocalFile())
