"""The column of the Fine-tune widget: what can be set, seen and pressed. Knows neither viewer nor session."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from qtpy.QtCore import Signal
from qtpy.QtWidgets import (
    QButtonGroup,
    QLabel,
    QLineEdit,
    QMenu,
    QProgressBar,
    QVBoxLayout,
    QWidget,
)

from napari_tileseg._qt.common.factories import add_named, button, check, choice, column, row
from napari_tileseg._qt.common.small_table import SmallTable
from napari_tileseg._qt.common.status_label import WordsLabel
from napari_tileseg._qt.finetune.class_table import ClassTable
from napari_tileseg._qt.finetune.curve_plot import CurvePlot
from napari_tileseg._qt.finetune.decision_box import DecisionBox
from napari_tileseg._qt.finetune.train_form import TrainForm
from napari_tileseg.errors import SettingsError
from napari_tileseg.session.prediction.readiness import question_words
from napari_tileseg.settings import LabelSettings, knobs

if TYPE_CHECKING:
    from napari_tileseg.session.finetune.request import State

_KINDS = (
    ("what do they hold?", None, "Say what the values of the labels mean."),
    ("strokes", "strokes", "One value for each class; 0 is not labelled, and counts for nothing."),
    ("classes", "classes", "One value for each class; 0 is background."),
    ("instances", "instances", "One number for each object; 0 is background."),
)
_MAP = next(each for each in knobs(LabelSettings) if each.name == "map")


class FinetuneForm(QWidget):
    """One column of rows."""

    choose_clicked = Signal()
    new_clicked = Signal()
    #: Number of the earlier labels to open, 0 being the latest.
    open_clicked = Signal(int)
    start_clicked = Signal()
    pause_clicked = Signal(bool)
    stop_clicked = Signal()
    #: "best" or "last".
    keep_clicked = Signal(str)
    discard_clicked = Signal()
    undo_clicked = Signal()
    export_clicked = Signal()
    again_clicked = Signal()
    #: Key of the labels layer that the user has chosen, or None.
    labels_chosen = Signal(object)
    #: What the labels hold, or which value is which class, has changed.
    meaning_changed = Signal()
    #: Whether the live prediction is shown.
    live_toggled = Signal(bool)
    #: Whether the prediction as it was is shown instead of the newest.
    before_toggled = Signal(bool)

    def __init__(self) -> None:
        super().__init__()
        self.subject = WordsLabel()
        self.labels = choice("Labels layer to learn from.")
        self.kind = choice("What the values of the labels mean.", _KINDS)
        self.map = QLineEdit()
        self.map.setPlaceholderText("1=first class,2=second class, ...")
        self.map.setToolTip(f"<p>{_MAP.help}</p>")
        self.offer = WordsLabel()
        self._offered: tuple[str, ...] = ()
        self.classes = ClassTable()
        self.saved = WordsLabel()
        self.train = TrainForm()
        self.why = WordsLabel()
        self.bar = QProgressBar()
        self.bar.setTextVisible(False)
        self.bar.setMaximumHeight(8)
        self.progress = WordsLabel()
        self.curve = CurvePlot()
        self.numbers = SmallTable((("", ""), ("before", ""), ("now", "")))
        self.live = check(
            "live prediction",
            "Predict what is in view every few seconds with the newest weights.",
            checked=True,
        )
        self.decision = DecisionBox()
        self.earlier = WordsLabel()
        self.message = WordsLabel()
        self._make_buttons()
        self._connect()
        self._lay_out()

    def _make_buttons(self) -> None:
        dots = "\N{HORIZONTAL ELLIPSIS}"
        self.choose = button("Choose", "Choose image and network in the Predict widget.", self.choose_clicked)
        self.new = button(
            "New", "A labels layer aligned with the image, in the network's classes.", self.new_clicked
        )
        self.open = button("Open", "Continue the labels that were painted earlier.")
        self.start = button("Start", "Train on the labels, and watch it learn.", self.start_clicked)
        self.pause = button("Pause", "Wait after the present step.", checkable=True)
        self.stop = button("Stop", "End after the present step, and measure the result.", self.stop_clicked)
        self.again = button(
            "Predict again", "Predict the image with the network that was kept.", self.again_clicked
        )
        self.undo = button("Undo", "", self.undo_clicked)
        self.export = button(
            f"Export{dots}", "Copy the file of the network to a folder of your choice.", self.export_clicked
        )
        self.before = button("before", "The prediction of the network as it was.", checkable=True)
        self.now = button("now", "The prediction with the newest weights.", checkable=True)
        self.now.setChecked(True)
        self._versions = QButtonGroup(self)
        self._versions.addButton(self.before)
        self._versions.addButton(self.now)

    def _connect(self) -> None:
        self.open.clicked.connect(self._ask_which)
        self.decision.keep_clicked.connect(self.keep_clicked)
        self.decision.discard_clicked.connect(self.discard_clicked)
        self.pause.toggled.connect(self.pause_clicked)
        self.live.toggled.connect(self.live_toggled)
        self.before.toggled.connect(self.before_toggled)
        self.labels.activated.connect(lambda _: self.labels_chosen.emit(self.labels.currentData()))
        self.kind.activated.connect(lambda _: self.meaning_changed.emit())
        self.map.editingFinished.connect(self.meaning_changed)

    def _lay_out(self) -> None:
        layout = QVBoxLayout(self)
        layout.setContentsMargins(6, 6, 6, 6)
        layout.setSpacing(4)
        self._offer_row = row((self.offer, 1), self.open)
        self._live_row = row((self.live, 1), self.before, self.now)
        self._earlier_row = row((self.earlier, 1), self.again)
        self._network_row = row((self.undo, 1), (self.export, 1))
        self._labels_part = column(self._offer_row, self.map, self.classes, self.saved)
        self._run_row = row((self.start, 1), (self.pause, 1), (self.stop, 1))
        for part in (
            row((self.subject, 1), self.choose),
            row(QLabel("Labels"), (self.labels, 3), (self.kind, 2), self.new),
            self._labels_part,
            self.train,
            self._run_row,
            self.why,
            self.bar,
            self.progress,
            self.curve,
            self.numbers,
            self._live_row,
            self.decision,
            self._network_row,
            self._earlier_row,
            self.message,
        ):
            layout.addWidget(part)
        layout.addStretch(1)

    def set_layers(self, layers: Sequence[tuple[str, object]], chosen: object) -> None:
        """Offer labels layers by name and key, and show which is chosen."""
        self.labels.clear()
        self.labels.addItem("none" if layers else "press New", None)
        for name, key in layers:
            add_named(self.labels, name, key)
        keys = [key for _, key in layers]
        self.labels.setCurrentIndex(1 + keys.index(chosen) if chosen in keys else 0)

    def meaning(self) -> LabelSettings:
        """Return what the labels hold, as the user has chosen.

        Raises
        ------
        SettingsError
            If that is not chosen, or the map cannot be read.
        """
        kind = self.kind.currentData()
        if kind is None:
            raise SettingsError(question_words(text for text, kind, _ in _KINDS if kind is not None))
        text = self.map.text().strip()
        needed = kind != "instances" and bool(text) and self.map.isVisibleTo(self)
        return LabelSettings(labels_kind=kind, map=_MAP.parse(text) if needed else None)

    def show_meaning(self, kind: str | None, *, fixed: bool, text: str = "") -> None:
        """Show what labels hold; fixed where that is known, as they were made here."""
        self.kind.setCurrentIndex(max(0, self.kind.findData(kind)))
        self.kind.setEnabled(not fixed)
        self.map.setText(text)
        self.show_map(not fixed and kind in {"strokes", "classes"})

    def show_map(self, shown: bool) -> None:
        """Show where the user enters which value is which class."""
        self.map.setVisible(shown)

    def show_offer(self, text: str, choices: Sequence[str] = ()) -> None:
        """Offer labels that were painted earlier, the latest first; "" for none."""
        self.offer.show_text(text)
        self._offered = tuple(choices)
        self._offer_row.setVisible(bool(text))

    def _ask_which(self) -> None:
        """Let the user choose where there is more than one."""
        if len(self._offered) < 2:
            self.open_clicked.emit(0)
            return
        menu = QMenu(self)
        for number, words in enumerate(self._offered):
            menu.addAction(words, lambda number=number: self.open_clicked.emit(number))
        menu.exec(self.open.mapToGlobal(self.open.rect().bottomLeft()))

    def set_state(self, state: State, *, ready: bool, paused: bool, stopping: bool) -> None:
        """Enable what can be done."""
        running, settled = state == "running", state in {"idle", "running"}
        self.start.setEnabled(ready and state == "idle")
        self.pause.setEnabled(running and not stopping)
        self.pause.blockSignals(True)
        self.pause.setChecked(paused)
        self.pause.blockSignals(False)
        self.pause.setText("Resume" if paused else "Pause")
        self.stop.setEnabled(running and not stopping)
        self.bar.setVisible(running)
        # What a training shows, and the decision, have to be in sight: what does not count then makes room.
        self.train.show_rows(state == "idle")
        for part in (self._labels_part, self._run_row):
            part.setVisible(settled)
        self.decision.setVisible(not settled)
        self.decision.allow(state == "deciding")

    def set_network(self, *, former: str, settled: bool, export: bool) -> None:
        """Enable what can be done with the session's network.

        Parameters
        ----------
        former : str
            Name of the network that it has replaced; "" where there is none.
        settled : bool
            Whether no training runs or waits for a decision.
        export : bool
            Whether it has a file of the project.
        """
        self.undo.setEnabled(bool(former) and settled)
        back = f"Bring back {former}. The present network stays a file of the project."
        self.undo.setToolTip(f"<p>{back if former else 'The present network has replaced no other.'}</p>")
        self.export.setEnabled(export)
        self._network_row.setVisible(bool(former) or export)

    def show_earlier(self, text: str, *, ready: bool) -> None:
        """Show that what is seen was made by another network; offer to predict again once that can be."""
        self.earlier.show_text(text, "warning")
        self.again.setEnabled(ready)
        self._earlier_row.setVisible(bool(text))

    def show_run(self, there: bool, *, drawn: bool) -> None:
        """Show numbers once there is a training, and its curve once something of that is drawn."""
        self.curve.setVisible(there and drawn)
        self.numbers.setVisible(there)

    def show_live(self, there: bool) -> None:
        """Show what can be chosen of a live prediction, while there is one."""
        self._live_row.setVisible(there)
