"""Starting, watching and stopping a prediction, and keeping what it gave."""

from __future__ import annotations

from qtpy.QtCore import Signal
from qtpy.QtWidgets import QProgressBar, QVBoxLayout, QWidget

from napari_tileseg._qt.parts import button, row
from napari_tileseg._qt.words_label import WordsLabel
from napari_tileseg.predict.events import Progress, Started, TileDone
from napari_tileseg.session.words import time_words


class RunPanel(QWidget):
    """Buttons and a progress bar; says what it is asked to, and decides nothing."""

    predict_clicked = Signal()
    cancel_clicked = Signal()
    save_clicked = Signal()
    discard_clicked = Signal()
    copy_clicked = Signal()

    def __init__(self) -> None:
        super().__init__()
        self.predict = button("Predict", "Predict the image, tiles in view first.", self.predict_clicked)
        self.cancel = button(
            "Cancel", "Stop after the current tile; what is done stays.", self.cancel_clicked
        )
        self.save = button(
            "Save as OME-Zarr\N{HORIZONTAL ELLIPSIS}",
            "Move the result out of the project to a place of yours.",
            self.save_clicked,
        )
        self.discard = button("Discard", "Remove the result and its layers.", self.discard_clicked)
        self.copy = button(
            "Copy as command",
            "The same prediction as one line for the shell or a cluster.",
            self.copy_clicked,
        )
        self.bar = QProgressBar()
        self.bar.setTextVisible(False)
        self.progress = WordsLabel()
        self.room = WordsLabel()
        self.place = WordsLabel()
        layout = QVBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.setSpacing(4)
        layout.addWidget(row(self.predict, self.cancel, spacing=4))
        layout.addWidget(self.bar)
        layout.addWidget(self.progress)
        layout.addWidget(row(self.save, self.copy, self.discard, spacing=4))
        layout.addWidget(self.room)
        layout.addWidget(self.place)
        self.set_state(ready=False, running=False)
        self.set_result(False)

    def set_state(self, *, ready: bool, running: bool) -> None:
        """Enable what can be done with image and network ready, or a prediction running."""
        self.predict.setEnabled(ready and not running)
        self.cancel.setEnabled(running)
        self.copy.setEnabled(ready)

    def set_result(self, there: bool) -> None:
        """Enable what can be done with a result that is not being written."""
        self.save.setEnabled(there)
        self.discard.setEnabled(there)

    def show_event(self, event: object) -> None:
        """Show how far the work is."""
        if isinstance(event, Started):
            self._show_tiles(event.done, event.total, "")
        elif isinstance(event, TileDone):
            left = f", about {time_words(event.seconds_left)} left" if event.done < event.total else ""
            self._show_tiles(event.done, event.total, left)
        elif isinstance(event, Progress):
            self._show(round(event.fraction * 1000), 1000, f"{event.what}: {event.fraction:.0%}")

    def say(self, text: str, kind: str = "") -> None:
        """Say how the work stands or ended."""
        self.progress.say(text, kind)

    def _show_tiles(self, done: int, total: int, left: str) -> None:
        self._show(done, max(total, 1), f"{done} / {total} tiles{left}")

    def _show(self, value: int, maximum: int, text: str) -> None:
        self.bar.setMaximum(maximum)
        self.bar.setValue(value)
        self.progress.say(text)
