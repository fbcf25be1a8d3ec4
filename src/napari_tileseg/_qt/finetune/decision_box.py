"""What can be done with a training that has ended: one button each, the advised one first."""

from __future__ import annotations

from qtpy.QtCore import Signal
from qtpy.QtWidgets import QSizePolicy, QVBoxLayout, QWidget

from napari_tileseg._qt.common.factories import button
from napari_tileseg._qt.common.status_label import WordsLabel
from napari_tileseg.session.finetune.decision import Decision


class DecisionBox(QWidget):
    """The result of a training, and a column of buttons."""

    #: "best" or "last".
    keep_clicked = Signal(str)
    discard_clicked = Signal()

    def __init__(self) -> None:
        super().__init__()
        self.words = WordsLabel()
        self.best = button("Keep best", "Use the weights of the best score on what is held out from now on.")
        self.last = button("Keep last", "Use the last weights from now on.")
        self.discard = button("Discard", "Forget what was learned.", self.discard_clicked)
        self.best.clicked.connect(lambda: self.keep_clicked.emit("best"))
        self.last.clicked.connect(lambda: self.keep_clicked.emit("last"))
        self._buttons = {"best": self.best, "last": self.last, "discard": self.discard}
        self._layout = QVBoxLayout(self)
        self._layout.setContentsMargins(0, 0, 0, 0)
        self._layout.setSpacing(4)
        self._layout.addWidget(self.words)
        for each in self._buttons.values():
            # A long text must not make the panel wider.
            each.setSizePolicy(QSizePolicy.Policy.Ignored, QSizePolicy.Policy.Fixed)
            self._layout.addWidget(each)

    def show_decision(self, decision: Decision) -> None:
        """Show the result, and offer what can be done in the order of the choices."""
        self.words.show_text(decision.words, decision.kind)
        for each in self._buttons.values():
            self._layout.removeWidget(each)
            each.hide()
        for choice in decision.choices:
            made = self._buttons[choice.key]
            made.setText(choice.text)
            font = made.font()
            font.setBold(choice.advised)
            made.setFont(font)
            self._layout.addWidget(made)
            made.show()

    def allow(self, allowed: bool) -> None:
        """Let it be decided, or not."""
        for each in self._buttons.values():
            each.setEnabled(allowed)
