"""Starting, watching and stopping a prediction, and saving its result."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from qtpy.QtCore import Qt, Signal
from qtpy.QtWidgets import QProgressBar, QVBoxLayout, QWidget

from napari_tileseg._qt.common.factories import button, choice, row
from napari_tileseg._qt.common.status_label import WordsLabel
from napari_tileseg.session.prediction.readiness import Readiness
from napari_tileseg.session.prediction.run_story import RunWords


class RunPanel(QWidget):
    """Buttons and a progress bar; shows what it is given, and decides nothing."""

    predict_clicked = Signal()
    cancel_clicked = Signal()
    save_clicked = Signal()
    on_image_clicked = Signal()
    discard_clicked = Signal()
    copy_clicked = Signal()
    #: Path of a result that the user has picked.
    result_picked = Signal(object)

    def __init__(self) -> None:
        super().__init__()
        self.predict = button("Predict", "Predict the image, tiles in view first.", self.predict_clicked)
        self.cancel = button(
            "Cancel",
            "Stop after the current tile; what is done stays. Or stop saving; the result stays where it is.",
            self.cancel_clicked,
        )
        self.save = button(
            "Save as OME-Zarr\N{HORIZONTAL ELLIPSIS}",
            "Move the result out of the project to a folder of your choice.",
            self.save_clicked,
        )
        self.on_image = button(
            "Save on the image's voxels\N{HORIZONTAL ELLIPSIS}",
            "Write the result, which has the network's voxel size, interpolated on the voxels of its image.",
            self.on_image_clicked,
        )
        self.discard = button("Discard", "Remove the result and its layers.", self.discard_clicked)
        self.copy = button(
            "Copy as command",
            "The same prediction as one line for the shell or a cluster.",
            self.copy_clicked,
        )
        self.why = WordsLabel()
        self.bar = QProgressBar()
        self.bar.setTextVisible(False)
        self.progress = WordsLabel()
        self.results = choice("The result that is saved or discarded.")
        self.results.setPlaceholderText("results not saved yet")
        self.results.activated.connect(lambda _: self.result_picked.emit(self.results.currentData()))
        self.room = WordsLabel()
        self.result_path = WordsLabel()
        layout = QVBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.setSpacing(4)
        layout.addWidget(row(self.predict, self.cancel, spacing=4))
        layout.addWidget(self.why)
        layout.addWidget(self.bar)
        layout.addWidget(self.progress)
        layout.addWidget(self.results)
        layout.addWidget(row(self.save, self.copy, self.discard, spacing=4))
        layout.addWidget(self.on_image)
        layout.addWidget(self.room)
        layout.addWidget(self.result_path)
        self.show_state(Readiness(), running=False, stopping=False)
        self.show_run(RunWords())
        self.set_result(False)

    def show_state(
        self, readiness: Readiness, *, running: bool, stopping: bool, saving: bool = False
    ) -> None:
        """Enable what can be done; as long as nothing can be predicted, show why."""
        self.predict.setEnabled(readiness.ready and not running)
        self.copy.setEnabled(readiness.ready)
        self.cancel.setEnabled(saving or (running and not stopping))
        self.why.show_text(readiness.obstacle, "error" if readiness.wrong else "")

    def set_result(self, there: bool, *, resampled: bool = False) -> None:
        """Enable what can be done with a result that is not being written."""
        self.save.setEnabled(there)
        self.discard.setEnabled(there)
        self.on_image.setVisible(there and resampled)

    def offer_results(self, results: Sequence[tuple[str, Path]], chosen: Path | None) -> None:
        """Offer results by title and path, where there is more than the one that is shown as chosen."""
        self.results.clear()
        for title, path in results:
            self.results.addItem(title, path)
            self.results.setItemData(self.results.count() - 1, str(path), Qt.ItemDataRole.ToolTipRole)
        paths = [path for _, path in results]
        self.results.setCurrentIndex(paths.index(chosen) if chosen in paths else -1)
        self.results.setVisible(len(results) > 1 or (bool(results) and chosen is None))

    def show_run(self, words: RunWords) -> None:
        """Show how far the work is, or how it ended."""
        self.bar.setVisible(words.shown)
        self.bar.setMaximum(words.maximum)
        self.bar.setValue(words.value)
        self.progress.show_text(words.text, words.kind)
