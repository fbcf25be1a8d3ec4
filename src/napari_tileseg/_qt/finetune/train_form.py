"""How to train: what learns, for how long, and, folded, all else that can be set."""

from __future__ import annotations

from qtpy.QtCore import Signal
from qtpy.QtWidgets import QComboBox, QLineEdit, QVBoxLayout, QWidget

from napari_tileseg._qt.common.factories import button, named, row
from napari_tileseg._qt.common.settings_form import SettingsForm
from napari_tileseg._qt.common.status_label import WordsLabel
from napari_tileseg.settings import TrainSettings

#: Minutes of a training for which none are set.
MINUTES = 1.0
#: Knobs with their own row; the others unfold under "more".
_PLACED = ("norm", "train", "minutes", "steps")
_CHOICES = {
    "norm": {"batch_renorm": "to BatchRenorm", "keep": "as they are"},
    "train": {
        "everything": "everything",
        "decoder_and_norms": "decoder and norms",
        "norms": "norms only",
        "last_layer": "last layer",
    },
}


class TrainForm(QWidget):
    """Two rows and a fold."""

    #: `TrainSettings` that the editors now hold.
    changed = Signal(object)
    #: What is wrong with the text of an editor, as a sentence; "" once all texts can be read.
    checked = Signal(str)

    def __init__(self) -> None:
        super().__init__()
        self.form = SettingsForm(TrainSettings)
        self.conversion = WordsLabel()
        self.unit = QComboBox()
        for text, name in (("min", "minutes"), ("steps", "steps")):
            self.unit.addItem(text, name)
        self.unit.setToolTip("<p>How long to train. Minutes count from Start to the decision.</p>")
        self.form.set_derived("minutes", MINUTES)
        for name, words in _CHOICES.items():
            self.form.offer(name, words)
            self.form.editors[name].setMinimumWidth(60)
        self._more = self.form.folded(_PLACED)
        self._rows = QWidget()
        self._lay_out()
        self.unit.currentIndexChanged.connect(self._show_unit)
        self.form.changed.connect(self.changed)
        self.form.checked.connect(self.checked)
        self._show_unit()

    def settings(self) -> TrainSettings:
        """Return the settings that the editors hold.

        Raises
        ------
        SettingsError
            If a text cannot be read, or is out of bounds.
        """
        settings: TrainSettings = self.form.settings()
        return settings

    def _show_unit(self) -> None:
        """Show the editor of the chosen unit; the other one has no effect."""
        for name in ("minutes", "steps"):
            editor = self.form.editors[name]
            assert isinstance(editor, QLineEdit)
            chosen = name == self.unit.currentData()
            editor.setVisible(chosen)
            if not chosen:
                editor.clear()
        self.form.set_derived("minutes", MINUTES if self.unit.currentData() == "minutes" else None)

    def _lay_out(self) -> None:
        more = button("more", "Learning rate, patches, device and what else can be set.", checkable=True)
        more.toggled.connect(self._more.setVisible)
        for name in ("minutes", "steps"):
            self.form.editors[name].setFixedWidth(52)
        editors = self.form.editors
        rows = QVBoxLayout(self._rows)
        rows.setContentsMargins(0, 0, 0, 0)
        rows.setSpacing(4)
        rows.addWidget(row(named("Norms", editors["norm"]), (editors["norm"], 1), more))
        rows.addWidget(
            row(
                named("Train", editors["train"]),
                (editors["train"], 1),
                named("for", self.unit),
                editors["minutes"],
                editors["steps"],
                self.unit,
            )
        )
        rows.addWidget(self._more)
        layout = QVBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.setSpacing(4)
        layout.addWidget(self.conversion)
        layout.addWidget(self._rows)

    def show_rows(self, shown: bool) -> None:
        """Show what can be set, or only what has become of the network's layers."""
        self._rows.setVisible(shown)
