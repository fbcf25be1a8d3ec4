"""What came of trying a cure: both predictions, their numbers, and what can be done now."""

from __future__ import annotations

from typing import TYPE_CHECKING

from qtpy.QtCore import Signal
from qtpy.QtWidgets import QVBoxLayout, QWidget

from napari_tileseg._qt.common.factories import button, row
from napari_tileseg._qt.common.small_table import SmallTable
from napari_tileseg._qt.common.status_label import WordsLabel
from napari_tileseg.session.diagnosis.words import EACH_TILE, FIXED, trial_rows, trial_words

if TYPE_CHECKING:
    from napari_tileseg.diagnosis.trial import Trial


class TrialPanel(QWidget):
    """Numbers of both predictions, which of them is shown, and three ways to go on."""

    #: Which prediction to show, by what it is called.
    group_chosen = Signal(str)
    predict_clicked = Signal()
    keep_clicked = Signal()
    finetune_clicked = Signal()

    def __init__(self) -> None:
        super().__init__()
        self.table = SmallTable(
            (
                ("", "Of what was in view."),
                ("each tile", "Predicted with statistics of each tile, as it is."),
                ("fixed", "Predicted with statistics of a region, one and the same for all tiles."),
            )
        )
        self.words = WordsLabel()
        self.before = button("show each tile", "Show the layers that are predicted as it is.", checkable=True)
        self.after = button("show fixed", "Show the layers that are predicted with them.", checkable=True)
        for each, group in ((self.before, EACH_TILE), (self.after, FIXED)):
            each.clicked.connect(lambda _, group=group: self.choose(group))
        self.predict = button(
            "Predict so",
            "Set statistics to region in the Predict panel: nothing is trained, and tiles make no seams.",
            self.predict_clicked,
        )
        self.keep = button(
            "Keep as a network\N{HORIZONTAL ELLIPSIS}",
            "Save a network of BatchNorm layers that hold these statistics, and open it.",
            self.keep_clicked,
        )
        self.finetune = button(
            "Fine-tune",
            "Open the Fine-tune panel, where such layers become BatchRenorm and learn from what you paint.",
            self.finetune_clicked,
        )
        layout = QVBoxLayout(self)
        layout.setContentsMargins(0, 4, 0, 0)
        layout.setSpacing(4)
        layout.addWidget(self.table)
        layout.addWidget(self.words)
        layout.addWidget(row((self.before, 1), (self.after, 1)))
        layout.addWidget(row((self.predict, 2), (self.keep, 3), (self.finetune, 2)))
        layout.addStretch(1)

    def show_trial(self, trial: Trial) -> None:
        """Show what came of a trial; the prediction with fixed statistics is the one that is shown."""
        self.table.set_rows(trial_rows(trial))
        self.words.show_text(trial_words(trial))
        self.choose(FIXED)

    def choose(self, group: str) -> None:
        """Mark one of the two predictions as the one that is shown."""
        self.before.setChecked(group == EACH_TILE)
        self.after.setChecked(group == FIXED)
        self.group_chosen.emit(group)

    def show_state(self, *, ready: bool, so_already: bool) -> None:
        """Enable what can be done; what Predict does already needs no button."""
        self.predict.setEnabled(ready and not so_already)
        self.keep.setEnabled(ready)
