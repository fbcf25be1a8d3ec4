"""The column of the Diagnose widget: what can be set, seen and pressed. Knows neither viewer nor session."""

from __future__ import annotations

from collections.abc import Sequence

from qtpy.QtCore import Signal
from qtpy.QtWidgets import QLabel, QProgressBar, QVBoxLayout, QWidget

from napari_tileseg._progress import Progress
from napari_tileseg._qt.common.factories import add_named, button, check, choice, row
from napari_tileseg._qt.common.status_label import WordsLabel
from napari_tileseg._qt.diagnose.finding_panel import FindingPanel
from napari_tileseg._words import time_words
from napari_tileseg.session.prediction.readiness import Readiness, question_words

_LOOK_AT = (
    ("the view", "view", "All that is in view: each tile there with the same tile moved by half its size."),
    ("a sample", "sample", "Pairs of tiles drawn at random, at about a third of the cost of the prediction."),
    ("everything", "everything", "All tiles: it takes twice as long as the prediction."),
)
#: What labels of every voxel can hold; None until the user has chosen.
_HOLDING = (
    ("of what?", None, "Say what the values of the labels mean."),
    ("objects", "instances", "One number for each object; 0 is background."),
    ("classes", "classes", "1, 2, ... are the network's classes in its order; 0 is background."),
)
#: Parts of the bar.
_PARTS = 1000


class DiagnoseForm(QWidget):
    """One column of rows."""

    diagnose_clicked = Signal()
    cancel_clicked = Signal()
    choose_clicked = Signal()
    report_clicked = Signal()
    #: What to look at, the labels, or what they hold, were chosen.
    choice_changed = Signal()
    #: Whether the heatmap, and the two tiles of a place, are shown.
    shown_changed = Signal()

    def __init__(self) -> None:
        super().__init__()
        self.subject = WordsLabel()
        self.choose = button("Choose", "Choose image and network in the Predict widget.", self.choose_clicked)
        self.look_at = choice("Which tiles to compare.", _LOOK_AT)
        self.labels = choice("Labels of the image, for its Dice in prediction and with batch statistics.")
        self.holding = choice("What the labels hold.", _HOLDING)
        self.holding.setVisible(False)
        self.labels.currentIndexChanged.connect(lambda index: self.holding.setVisible(index > 0))
        for chosen in (self.look_at, self.labels, self.holding):
            chosen.currentIndexChanged.connect(lambda _: self.choice_changed.emit())
        self.set_labels(())
        self.diagnose = button(
            "Diagnose", "Compare overlapping tiles, and find the cause.", self.diagnose_clicked
        )
        self.cancel = button("Cancel", "Stop after the current tile.", self.cancel_clicked)
        self.bar = QProgressBar()
        self.bar.setTextVisible(False)
        self.progress = WordsLabel()
        self.why = WordsLabel()
        self.message = WordsLabel()
        self.panel = FindingPanel()
        self.heatmap = check("heatmap", "Absolute difference of two tiles, over the image.", checked=True)
        self.tiles = check(
            "tiles", "The two tiles of the place gone to, and a cross at its voxel.", checked=True
        )
        self.report = button(
            "Report\N{HORIZONTAL ELLIPSIS}",
            "Save the diagnosis as a page with pictures, and as JSON.",
            self.report_clicked,
        )
        for box in (self.heatmap, self.tiles):
            box.toggled.connect(lambda _: self.shown_changed.emit())
        self._lay_out()

    def _lay_out(self) -> None:
        layout = QVBoxLayout(self)
        layout.setContentsMargins(6, 6, 6, 6)
        layout.setSpacing(5)
        layout.addWidget(row((self.subject, 1), self.choose))
        layout.addWidget(row(QLabel("Look at"), (self.look_at, 4), (self.diagnose, 3), (self.cancel, 2)))
        layout.addWidget(row(QLabel("Labels"), (self.labels, 3), (self.holding, 2)))
        layout.addWidget(self.why)
        layout.addWidget(self.bar)
        layout.addWidget(self.progress)
        layout.addWidget(self.message)
        layout.addWidget(self.panel)
        self._results = row(self.heatmap, (self.tiles, 1), self.report)
        layout.addWidget(self._results)
        layout.addStretch(1)

    def set_labels(self, layers: Sequence[tuple[str, object]]) -> None:
        """Offer labels layers by name and key; the chosen one stays chosen while it is among them."""
        current = self.labels.currentData()
        self.labels.clear()
        self.labels.addItem("none", None)
        for name, key in layers:
            add_named(self.labels, name, key)
        keys = [key for _, key in layers]
        self.labels.setCurrentIndex(1 + keys.index(current) if current in keys else 0)

    def question(self) -> str:
        """Ask what has to be chosen before labels can be used, in the words of the menu; "" if nothing."""
        if self.labels.currentData() is None or self.holding.currentData() is not None:
            return ""
        return question_words(text for text, kind, _ in _HOLDING if kind is not None)

    def show_state(self, readiness: Readiness, *, running: bool, silent: bool) -> None:
        """Enable what can be done; show why nothing can be diagnosed, unless that is shown already."""
        self.diagnose.setEnabled(readiness.ready and not running)
        self.cancel.setEnabled(running)
        self.bar.setVisible(running)
        self.why.show_text(
            "" if running or silent else readiness.obstacle, "error" if readiness.wrong else ""
        )

    def show_results(self, there: bool) -> None:
        """Show the part for findings once there are any."""
        self.panel.setVisible(there)
        self._results.setVisible(there)

    def show_progress(self, progress: Progress) -> None:
        """Show how far the work is."""
        self.bar.setMaximum(_PARTS)
        self.bar.setValue(round(_PARTS * progress.fraction))
        words = progress.what
        if progress.seconds_left is not None:
            words += f", {progress.done:g} / {progress.total:g}"
            if progress.done < progress.total:
                words += f", about {time_words(progress.seconds_left)} left"
        self.progress.show_text(words)
