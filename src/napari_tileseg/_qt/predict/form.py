"""The column of the Predict widget: what can be set, seen and pressed. Knows neither viewer nor session."""

from __future__ import annotations

from qtpy.QtCore import Qt, Signal
from qtpy.QtWidgets import QComboBox, QGridLayout, QPushButton, QWidget

from napari_tileseg._qt.common.factories import button, check, named, row
from napari_tileseg._qt.common.settings_form import SettingsForm
from napari_tileseg._qt.common.status_label import WordsLabel
from napari_tileseg._qt.predict.channel_form import ChannelForm
from napari_tileseg._qt.predict.image_picker import ImagePicker
from napari_tileseg._qt.predict.network_card import NetworkCard
from napari_tileseg._qt.predict.network_picker import NetworkPicker
from napari_tileseg._qt.predict.run_panel import RunPanel
from napari_tileseg.settings import PredictSettings

#: Ways to have statistics, each in a sentence.
_WAYS = {
    "auto": "Those of a part with content where that can be, otherwise each tile by itself, which is said.",
    "tile": "Each tile by itself, as everybody does: neighbours disagree, and tiles show.",
    "whole": "Exactly those of the whole image, gathered in passes before tiles are computed. No seams.",
    "sample": "Those of parts drawn over the image, until they are sure enough. No seams.",
    "region": "Those of a part with content, as if the network saw that alone: takes seconds. No seams.",
    "result": "Those of another prediction with this network, such as that of a control. No seams.",
}
#: Ways to have statistics for which a knob counts.
_OF_WAYS = {
    "sample_error": ("sample",),
    "sample_seed": ("sample",),
    "region": ("region",),
    "result": ("result",),
    "scratch": ("whole", "sample", "region"),
    "scratch_folder": ("whole", "sample", "region"),
}
#: Knobs with their own row in the column; the others unfold under "change".
_PLACED = ("core", "halo", "device", "dtype")


class PredictForm(QWidget):
    """One column of rows."""

    #: What to show has changed.
    shown_changed = Signal()
    #: What is in view, or was drawn, should be the region.
    view_clicked = Signal()
    shape_clicked = Signal()
    #: The user wants to open a project again.
    reopen_clicked = Signal()

    def __init__(self) -> None:
        super().__init__()
        self.image = ImagePicker()
        self.network = NetworkPicker()
        #: Why the network that was asked for last cannot be opened.
        self.refused = WordsLabel()
        self.card = NetworkCard()
        self.network.drop.watch(self.card)
        self.channels = ChannelForm()
        self.settings = SettingsForm(PredictSettings, offered=("device",))
        self.in_view = button("view", "Take what is in view as the region.", self.view_clicked)
        self.drawn = button(
            "shape",
            "Take the box around shapes that are selected in a Shapes layer, or around all, as the region.",
            self.shape_clicked,
        )
        beside = {"region": row(self.in_view, self.drawn, spacing=4)}
        self.more = self.settings.folded(_PLACED, beside)
        self._explain_ways()
        self.input = WordsLabel()
        self.tiles = WordsLabel()
        self.warnings = WordsLabel()
        self.probabilities = check("probabilities", "One image layer for each class.", checked=True)
        self.labels = check("labels", "A labels layer of the likeliest class.", checked=False)
        self.grid = check(
            "tile grid", "The borders of the tiles in the slice, to look for seams.", checked=False
        )
        self.run = RunPanel()
        self.notes = WordsLabel()
        self.message = WordsLabel()
        self.answer = WordsLabel()
        self.remedy = QPushButton()
        self.remedy.setVisible(False)
        self.reopen = button(
            "Open a project\N{HORIZONTAL ELLIPSIS}",
            "Take up a project folder again: its image, network, settings, results.",
            self.reopen_clicked,
        )
        self._lay_out()
        for box in (self.probabilities, self.labels, self.grid):
            box.toggled.connect(lambda _: self.shown_changed.emit())

    def _lay_out(self) -> None:
        rows = QGridLayout(self)
        rows.setContentsMargins(6, 2, 6, 2)
        rows.setHorizontalSpacing(6)
        rows.setVerticalSpacing(5)
        rows.setColumnStretch(1, 1)
        for number, (name, part) in enumerate(self._rows()):
            if name:
                rows.addWidget(named(name, part), number, 0)
                rows.addWidget(part, number, 1)
            else:
                rows.addWidget(part, number, 0, 1, 2)
        rows.setRowStretch(rows.rowCount(), 1)

    def _rows(self) -> tuple[tuple[str, QWidget], ...]:
        return (
            ("Image", self.image),
            ("", self.image.parts),
            ("Network", self.network),
            ("", self.refused),
            ("", self.card),
            ("", self.channels),
            ("Input", self._input_row()),
            ("", self.more),
            ("Tiles", self._pair("core", "halo")),
            ("", self.tiles),
            ("", self.warnings),
            ("", self.remedy),
            ("Run on", self._pair("device", "dtype", with_names=False)),
            ("Show", row(self.probabilities, self.labels, self.grid, spacing=6)),
            ("", self.run),
            ("", self.notes),
            ("", self.message),
            ("", self.answer),
            ("", self.reopen),
        )

    def _explain_ways(self) -> None:
        editor = self.settings.editors["statistics"]
        assert isinstance(editor, QComboBox)
        for index in range(editor.count()):
            words = _WAYS.get(editor.itemText(index), "")
            editor.setItemData(index, words, Qt.ItemDataRole.ToolTipRole)

    def show_rows(self, settings: PredictSettings) -> None:
        """Show of the knobs that depend on the way to have statistics those that count."""
        for name, ways in _OF_WAYS.items():
            counts = settings.statistics in ways or settings.intensities_of == name
            self.settings.show_row(name, counts)

    def _input_row(self) -> QWidget:
        change = button("change", "How intensities are prepared, and what else can be set.", checkable=True)
        change.toggled.connect(self.more.setVisible)
        return row((self.input, 1), change, spacing=6)

    def _pair(self, *names: str, with_names: bool = True) -> QWidget:
        parts: list[QWidget] = []
        for name in names:
            editor = self.settings.editors[name]
            parts += [named(name, editor), editor] if with_names else [editor]
        return row(*parts, spacing=6)
