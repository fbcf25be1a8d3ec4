"""Asking which channel of an image is which of a network's."""

from __future__ import annotations

from functools import partial

from qtpy.QtCore import Signal
from qtpy.QtWidgets import QComboBox, QFormLayout, QVBoxLayout, QWidget

from napari_tileseg._qt.common.factories import button, choice, named
from napari_tileseg._qt.common.status_label import WordsLabel
from napari_tileseg.session.prediction.channel_memory import ChannelQuestion


class ChannelForm(QWidget):
    """A list of the image's channels for each channel of the network; hidden where nothing is asked."""

    #: Numbers of the image's channels, in the network's order, that the user has chosen.
    chosen = Signal(tuple)
    _confirmed = Signal()

    def __init__(self) -> None:
        super().__init__()
        self.lists: list[QComboBox] = []
        self.words = WordsLabel()
        self.confirm = button("They are right", "Take the channels as they are listed here.", self._confirmed)
        self._rows = QFormLayout()
        self._rows.setContentsMargins(0, 0, 0, 0)
        self._rows.setSpacing(4)
        layout = QVBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.setSpacing(4)
        layout.addWidget(self.words)
        layout.addLayout(self._rows)
        layout.addWidget(self.confirm)
        self._shown: ChannelQuestion | None = None
        self._confirmed.connect(self._emit)
        self.setVisible(False)

    def show_question(self, question: ChannelQuestion | None) -> None:
        """Ask a question, or show its answer; None asks nothing."""
        self.setVisible(question is not None)
        if question is None:
            return
        shown, self._shown = self._shown, question
        if shown is None or (shown.names, shown.titles) != (question.names, question.titles):
            self._make_lists(question)
        for box, channel in zip(self.lists, question.chosen, strict=True):
            box.setCurrentIndex(channel)
        if question.answered:
            self.words.show_text("Channels of the image, as the network calls them:")
        else:
            self.words.show_text("Which channel of the image is which?", "warning")
        self.confirm.setVisible(not question.answered)

    def _make_lists(self, question: ChannelQuestion) -> None:
        for box in self.lists:
            # It may be what this is an answer to: it goes once its event is over.
            row = self._rows.takeRow(box)
            for item in (row.labelItem, row.fieldItem):
                part = item.widget()
                part.hide()
                part.deleteLater()
        self.lists = []
        for number, name in enumerate(question.names):
            entries = [(title, index, "") for index, title in enumerate(question.titles)]
            box = choice(f"The channel of the image that the network takes as {name}.", entries)
            box.setAccessibleName(name)
            box.activated.connect(partial(self._choose, number))
            self._rows.addRow(named(name, box), box)
            self.lists.append(box)

    def _choose(self, number: int, channel: int) -> None:
        """Take a channel; the list that had it gets the one that is free now."""
        assert self._shown is not None
        chosen = list(self._shown.chosen)
        if channel in chosen:
            chosen[chosen.index(channel)] = chosen[number]
        chosen[number] = channel
        self.chosen.emit(tuple(chosen))

    def _emit(self) -> None:
        assert self._shown is not None
        self.chosen.emit(self._shown.chosen)
