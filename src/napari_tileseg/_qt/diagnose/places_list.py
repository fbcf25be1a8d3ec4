"""The worst places, each with a button that goes there."""

from __future__ import annotations

from collections.abc import Sequence

from qtpy.QtCore import Signal
from qtpy.QtWidgets import QGridLayout, QLabel, QPushButton, QWidget

from napari_tileseg._qt.common.factories import button

#: As many as fit without scrolling.
SHOWN = 3


class PlacesList(QWidget):
    """Rows of text with [go]."""

    #: Number of the place to go to, from 0.
    go_clicked = Signal(int)

    def __init__(self) -> None:
        super().__init__()
        self._rows = [self._row(number) for number in range(SHOWN)]
        self._nothing = QLabel()
        self._nothing.setWordWrap(True)
        layout = QGridLayout(self)
        layout.setContentsMargins(4, 2, 4, 2)
        layout.setVerticalSpacing(2)
        layout.setColumnStretch(1, 1)
        layout.addWidget(self._nothing, 0, 0, 1, 3)
        for number, (label, go) in enumerate(self._rows, start=1):
            layout.addWidget(label, number, 0, 1, 2)
            layout.addWidget(go, number, 2)
        layout.setRowStretch(SHOWN + 1, 1)
        self.set_places(())

    def set_places(self, places: Sequence[str], nothing: str = "") -> None:
        """List places, worst first; `nothing` explains why there are none."""
        self._nothing.setText(nothing)
        self._nothing.setVisible(not places)
        for number, (label, go) in enumerate(self._rows):
            text = f"{number + 1}   {places[number]}" if number < len(places) else ""
            label.setText(text)
            label.setVisible(bool(text))
            go.setVisible(bool(text))

    def _row(self, number: int) -> tuple[QLabel, QPushButton]:
        go = button("go", "Centre the view there, mark the voxel, and draw the two tiles.")
        go.setMaximumWidth(40)
        go.clicked.connect(lambda: self.go_clicked.emit(number))
        return QLabel(), go
