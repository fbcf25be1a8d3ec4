"""What a diagnosis found: verdict, cause and cure, numbers of the classes, places and plots."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from qtpy.QtCore import Signal
from qtpy.QtWidgets import QSizePolicy, QTabWidget, QVBoxLayout, QWidget

from napari_tileseg._qt.common.factories import button, row
from napari_tileseg._qt.common.plots import BarsPlot, HistogramPlot, ProfilePlot
from napari_tileseg._qt.common.small_table import SmallTable
from napari_tileseg._qt.common.status_label import WordsLabel
from napari_tileseg._qt.diagnose.places_list import PlacesList
from napari_tileseg._qt.diagnose.trial_panel import TrialPanel
from napari_tileseg.diagnosis.result import ClassDiagnosis
from napari_tileseg.session.diagnosis.findings import Finding
from napari_tileseg.session.diagnosis.words import (
    cause_words,
    comparison,
    is_well,
    no_places_words,
    number_words,
    place_words,
    run_words,
    skipped_words,
    subject_words,
    verdict_words,
)

if TYPE_CHECKING:
    from napari_tileseg.diagnosis.trial import Trial

_HEADINGS = (
    ("class", ""),
    ("difference", "Largest difference of one voxel between two tiles: probabilities go from 0 to 1."),
    (
        "1 - Dice",
        "How much of the class depends on the tiles: 0 is nothing, 1 is all of it. Mean over pairs of tiles.",
    ),
    (
        "train/eval",
        "How differently the network behaves in training and in prediction: 1 - Dice between the prediction "
        "with the statistics of the tile and with the running ones; mean over tiles. 0 is alike.",
    ),
    ("Dice", "Agreement with the labels, in prediction / with batch statistics where that differs."),
)
_DICE = len(_HEADINGS) - 1


class FindingPanel(QWidget):
    """One finding, beside the one before."""

    #: Number of the worst place to go to.
    go_clicked = Signal(int)
    #: Whether to show the earlier of the last two findings.
    earlier_chosen = Signal(bool)
    #: The cure is to be tried.
    try_clicked = Signal()

    def __init__(self) -> None:
        super().__init__()
        self.subject, self.verdict, self.cause, self.cure, self.notes = (WordsLabel() for _ in range(5))
        for label in (self.subject, self.verdict, self.cause, self.cure, self.notes):
            # The height that its text needs is a label's minimum; the hint of a wrapped text is often more.
            label.setSizePolicy(QSizePolicy.Policy.Ignored, QSizePolicy.Policy.Ignored)
        self.try_it = button(
            "Try it",
            "Predict what is in view as it is, and with statistics of a region that are the same for all "
            "tiles; show both.",
            self.try_clicked,
        )
        self.trial = TrialPanel()
        self.classes = SmallTable(_HEADINGS)
        self.places = PlacesList()
        self.places.go_clicked.connect(self.go_clicked)
        self.histogram = HistogramPlot()
        self.histogram.setToolTip(
            "<p>Number of values (voxels and classes) over the absolute difference of two tiles.</p>"
        )
        self.disparity = BarsPlot()
        self.profile = ProfilePlot()
        self.profile.setToolTip("<p>Probability that each tile gives, along a line through the place.</p>")
        self.comparison = SmallTable((("", ""), ("before", ""), ("after", "")))
        self.before = button("show before", "What was found before the last time.", checkable=True)
        self.after = button("show after", "What was found the last time.", checkable=True)
        self.before.clicked.connect(lambda: self.earlier_chosen.emit(True))
        self.after.clicked.connect(lambda: self.earlier_chosen.emit(False))
        self.tabs = QTabWidget()
        self._lay_out()

    def _lay_out(self) -> None:
        runs = QWidget()
        column = QVBoxLayout(runs)
        column.setContentsMargins(0, 4, 0, 0)
        column.setSpacing(4)
        column.addWidget(self.comparison)
        column.addWidget(row((self.before, 1), (self.after, 1)))
        column.addStretch(1)
        self._runs = runs
        for title, part in (
            ("Places", self.places),
            ("Histogram", self.histogram),
            ("Train/eval", self.disparity),
            ("Profile", self.profile),
            ("Before", runs),
            ("Cure", self.trial),
        ):
            self.tabs.addTab(part, title)
        self.show_trial(None)
        self.tabs.currentChanged.connect(self._make_room)
        self.tabs.setSizePolicy(QSizePolicy.Policy.Ignored, QSizePolicy.Policy.Minimum)
        self.tabs.setUsesScrollButtons(False)
        self.tabs.tabBar().setExpanding(False)
        layout = QVBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.setSpacing(3)
        labels = (self.subject, self.verdict, self.cause, self.cure)
        for each in (*labels, row((self.notes, 1), self.try_it), self.classes, self.tabs):
            layout.addWidget(each)

    def _make_room(self, number: int) -> None:
        """Hide the cause and the table of classes beside what has a table and buttons of its own."""
        free = number != self.tabs.indexOf(self.trial)
        self.classes.setVisible(free)
        self.cause.setVisible(free and bool(self.cause.text()))

    def show_finding(self, finding: Finding) -> None:
        """Show a finding, and the profile of its worst place."""
        diagnosis = finding.diagnosis
        well, mismatch, disparity = is_well(diagnosis), diagnosis.mismatch, diagnosis.disparity
        self.verdict.show_text(verdict_words(diagnosis), "ok" if well else "warning")
        self.verdict.setToolTip(f"<p>Compared: {mismatch.compared}.</p>")
        self.cause.show_text(cause_words(diagnosis))
        self.cure.show_text(diagnosis.audit.cure if well else f"Cure: {diagnosis.audit.cure}")
        self.try_it.setVisible(diagnosis.of_statistics)
        self.notes.show_text(skipped_words(mismatch.skipped))
        self.classes.set_rows(
            [_numbers(each) for each in diagnosis.classes],
            [_details(each, disparity.reason) for each in diagnosis.classes],
        )
        self.classes.setColumnHidden(_DICE, not diagnosis.labelled)
        places = [place_words(place, diagnosis.axes) for place in mismatch.worst]
        self.places.set_places(places, no_places_words(diagnosis))
        self.histogram.show_counts(mismatch.histogram.counts, mismatch.histogram.edges, mismatch.tolerance)
        bars = [(each.name, each.train_eval_disparity) for each in disparity.classes]
        self.disparity.show_bars([(name, n) for name, n in bars if n is not None], disparity.reason)
        self.disparity.setToolTip(f"<p>{disparity.reason}</p>")
        if mismatch.worst:
            self.show_profile(finding, 0)
        else:
            self.profile.clear()

    def show_trial(self, trial: Trial | None) -> None:
        """Show what came of trying the cure; None where it was not tried."""
        number = self.tabs.indexOf(self.trial)
        self.tabs.setTabVisible(number, trial is not None)
        if trial is not None:
            self.trial.show_trial(trial)
            self.tabs.setCurrentIndex(number)

    def show_subject(self, finding: Finding, changes: Sequence[str], *, named: bool) -> None:
        """Show what the finding is of, which may be `named` above already, and what has changed since."""
        words = subject_words(finding, changes, named=named)
        self.subject.show_text(words, "warning" if changes else "")

    def show_profile(self, finding: Finding, number: int) -> None:
        """Show what both tiles give at one of the worst places."""
        profile = finding.profiles[number]
        if profile is None:
            self.profile.clear()
            return
        diagnosis = finding.diagnosis
        at = diagnosis.mismatch.worst[number].point[diagnosis.axes.index(profile.axis)]
        self.profile.show_profile(profile.first, profile.second, profile.start, profile.axis, at)

    def compare(self, before: Finding | None, after: Finding | None, *, earlier: bool) -> None:
        """Put the last two findings side by side."""
        self.tabs.setTabVisible(self.tabs.indexOf(self._runs), before is not None)
        if before is None or after is None:
            return
        self.comparison.set_rows(comparison(before, after))
        for column, finding in enumerate((before, after), start=1):
            self.comparison.horizontalHeaderItem(column).setToolTip(f"<p>{run_words(finding)}</p>")
        self.before.setChecked(earlier)
        self.after.setChecked(not earlier)


def _numbers(found: ClassDiagnosis) -> tuple[str, ...]:
    texts = [f"{value:.2f}" for value in (found.dice_eval, found.dice_train) if value is not None]
    dice = texts[0] if len(set(texts)) == 1 else " / ".join(texts)
    mismatch, disparity = found.mismatch, found.disparity
    values = (mismatch.largest, mismatch.tile_mismatch, disparity.train_eval_disparity)
    return (found.name, *map(number_words, values), dice)


def _details(found: ClassDiagnosis, reason: str) -> tuple[str, ...]:
    """Return what the narrow cells have no room for."""
    mismatch, interval = found.mismatch, found.mismatch.interval
    words = f"{mismatch.tile_mismatch:.3g}, {mismatch.worst:.3g} in the pair that differs most" + (
        f"; with 95 % confidence {interval[0]:.3g} to {interval[1]:.3g}" if interval else ""
    )
    return (found.name, f"{mismatch.largest:.3g}", words, reason, "")
