"""The column of the Predict widget: what can be set, seen and pressed. Knows neither viewer nor session."""

from __future__ import annotations

from qtpy.QtCore import Signal
from qtpy.QtWidgets import (
    QCheckBox,
    QFormLayout,
    QGridLayout,
    QHBoxLayout,
    QLabel,
    QPushButton,
    QWidget,
)

from napari_tileseg._qt.image_picker import ImagePicker
from napari_tileseg._qt.network_card import NetworkCard
from napari_tileseg._qt.network_picker import NetworkPicker
from napari_tileseg._qt.run_panel import RunPanel
from napari_tileseg._qt.settings_form import SettingsForm
from napari_tileseg._qt.words_label import WordsLabel
from napari_tileseg.settings import PredictSettings, knobs

#: Knobs with a place of their own in the column; the others unfold under "change".
_PLACED = ("core", "halo", "device", "dtype")


class PredictForm(QWidget):
    """One column of rows."""

    #: What to show has changed.
    shown_changed = Signal()
    #: The user wants to open a project again.
    reopen_clicked = Signal()

    def __init__(self) -> None:
        super().__init__()
        self.image = ImagePicker()
        self.network = NetworkPicker()
        self.card = NetworkCard()
        self.settings = SettingsForm(PredictSettings, offered=("device",))
        self.more = self._other_settings()
        self.input = WordsLabel()
        self.tiles = WordsLabel()
        self.warnings = WordsLabel()
        self.probabilities = _check("probabilities", "One image layer for each class.", checked=True)
        self.labels = _check("labels", "A labels layer of the likeliest class.", checked=False)
        self.grid = _check(
            "tile grid", "The borders of the tiles in the slice, to look for seams.", checked=False
        )
        self.run = RunPanel()
        self.message = WordsLabel()
        self.remedy = QPushButton()
        self.remedy.setVisible(False)
        self.reopen = QPushButton("Open a project\N{HORIZONTAL ELLIPSIS}")
        self.reopen.setToolTip(
            "<p>Take up a project folder again: its image, network, settings, results.</p>"
        )
        self.reopen.clicked.connect(lambda: self.reopen_clicked.emit())
        self._lay_out()
        for box in (self.probabilities, self.labels, self.grid):
            box.toggled.connect(lambda _: self.shown_changed.emit())

    def _lay_out(self) -> None:
        rows = QGridLayout(self)
        rows.setContentsMargins(6, 6, 6, 6)
        rows.setHorizontalSpacing(6)
        rows.setVerticalSpacing(5)
        rows.setColumnStretch(1, 1)
        for row, (name, part) in enumerate(self._rows()):
            if name:
                rows.addWidget(_named(name, part), row, 0)
                rows.addWidget(part, row, 1)
            else:
                rows.addWidget(part, row, 0, 1, 2)
        rows.setRowStretch(rows.rowCount(), 1)

    def _rows(self) -> tuple[tuple[str, QWidget], ...]:
        return (
            ("Image", self.image),
            ("", self.image.parts),
            ("Network", self.network),
            ("", self.card),
            ("Input", self._input_row()),
            ("", self.more),
            ("Tiles", self._pair("core", "halo")),
            ("", self.tiles),
            ("", self.warnings),
            ("Run on", self._pair("device", "dtype", named=False)),
            ("Show", _row(self.probabilities, self.labels, self.grid)),
            ("", self.run),
            ("", self.message),
            ("", self.remedy),
            ("", self.reopen),
        )

    def _input_row(self) -> QWidget:
        change = QPushButton("change")
        change.setCheckable(True)
        change.setToolTip("<p>How intensities are prepared, and what else can be set.</p>")
        change.toggled.connect(self.more.setVisible)
        return _row(self.input, change)

    def _other_settings(self) -> QWidget:
        """All that has no place of its own in the column, folded at first."""
        more = QWidget()
        form = QFormLayout(more)
        form.setContentsMargins(0, 0, 0, 0)
        form.setSpacing(4)
        for knob in knobs(PredictSettings):
            if knob.name not in _PLACED:
                editor = self.settings.editors[knob.name]
                form.addRow(_named(knob.name, editor), editor)
        more.setVisible(False)
        return more

    def _pair(self, *names: str, named: bool = True) -> QWidget:
        parts: list[QWidget] = []
        for name in names:
            if named:
                parts.append(_named(name, self.settings.editors[name]))
            parts.append(self.settings.editors[name])
        return _row(*parts)


def _named(name: str, part: QWidget) -> QLabel:
    """Name of a part, with its explanation."""
    label = QLabel(name)
    label.setToolTip(part.toolTip())
    return label


def _row(*parts: QWidget) -> QWidget:
    row = QWidget()
    layout = QHBoxLayout(row)
    layout.setContentsMargins(0, 0, 0, 0)
    layout.setSpacing(6)
    for part in parts:
        layout.addWidget(part, 1 if isinstance(part, WordsLabel) else 0)
    return row


def _check(text: str, tip: str, *, checked: bool) -> QCheckBox:
    box = QCheckBox(text)
    box.setChecked(checked)
    box.setToolTip(f"<p>{tip}</p>")
    return box
