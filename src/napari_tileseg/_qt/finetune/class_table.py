"""Which class each value of labels means, and how much of it is painted."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from qtpy.QtCore import Qt, Signal
from qtpy.QtGui import QColor, QPixmap

from napari_tileseg._qt.common.small_table import SmallTable
from napari_tileseg.session.painting.counts import Painted
from napari_tileseg.session.painting.record import StrokeClass
from napari_tileseg.session.text.network_words import NO_NUMBER

_HEADINGS = (
    ("class", "Click one to paint it."),
    ("value", "The number of this class in the labels layer."),
    ("strokes", "Connected pieces. Some are held out to score the network, whole ones at a time."),
    ("voxels", "How many are painted."),
)
_SWATCH = 11


class ClassTable(SmallTable):
    """One row a class; a click chooses it for painting."""

    #: Value of the class.
    chosen = Signal(int)

    def __init__(self) -> None:
        super().__init__(_HEADINGS)
        self._values: tuple[int, ...] = ()
        self.cellClicked.connect(lambda row, _: self.chosen.emit(self._values[row]))

    def show_classes(self, classes: Sequence[StrokeClass], painted: Mapping[int, Painted]) -> None:
        """Show classes with their colours, and what is painted of them."""
        self._values = tuple(each.value for each in classes)
        self.set_rows([(each.name, str(each.value), *_counts(painted.get(each.value))) for each in classes])
        for row, each in enumerate(classes):
            swatch = QPixmap(_SWATCH, _SWATCH)
            swatch.fill(QColor(*each.color))
            self.item(row, 0).setData(Qt.ItemDataRole.DecorationRole, swatch)


def _counts(painted: Painted | None) -> tuple[str, str]:
    if painted is None:
        return "0", "0"
    return NO_NUMBER if painted.strokes is None else str(painted.strokes), f"{painted.voxels:,}"
