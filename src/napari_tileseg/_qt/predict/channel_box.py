"""Choosing channels, one, several in order, or all."""

from __future__ import annotations

from collections.abc import Sequence

from qtpy.QtCore import Qt, Signal
from qtpy.QtWidgets import QComboBox, QSizePolicy

from napari_tileseg._types import Shape
from napari_tileseg.errors import SettingsError

_ALL = "all"


class ChannelBox(QComboBox):
    """A list with all channels and each of them, in which several can be typed, such as ``2,0,1``."""

    #: The user has chosen or typed something.
    edited = Signal()

    def __init__(self) -> None:
        super().__init__()
        self.setToolTip(
            "<p>Channels to feed to the network: all, one, or several in the order in which it wants them, "
            "such as 2,0,1.</p>"
        )
        self.setEditable(True)
        self.setInsertPolicy(QComboBox.InsertPolicy.NoInsert)
        self.setCompleter(None)
        self.setMinimumWidth(46)
        self.setMinimumContentsLength(3)
        self.setSizeAdjustPolicy(QComboBox.SizeAdjustPolicy.AdjustToMinimumContentsLengthWithIcon)
        self.setSizePolicy(QSizePolicy.Policy.Ignored, QSizePolicy.Policy.Fixed)
        self._count = 0
        #: What is shown that nobody has edited since.
        self._known = ""
        self.activated.connect(lambda _: self._emit_edited())
        line = self.lineEdit()
        assert line is not None
        # Leaving the line, too, finishes an edit.
        line.editingFinished.connect(self._emit_edited)

    def offer(self, count: int, names: Sequence[str] = ()) -> None:
        """Offer channels, and choose all of them.

        Parameters
        ----------
        count : int
            How many there are; 0 where the image has no channel axis.
        names : sequence of str, optional
            What they are called.
        """
        self._count = count
        self.clear()
        self.addItem(_ALL)
        for number in range(count):
            self.addItem(str(number))
            if number < len(names):
                self.setItemData(number + 1, names[number], Qt.ItemDataRole.ToolTipRole)
        self._known = self.currentText()
        self.setEnabled(count > 0)

    def channels(self) -> Shape | None:
        """Return the channels that are chosen, in order; None for all.

        Raises
        ------
        SettingsError
            If the text does not name channels of the image.
        """
        text = self.currentText().strip()
        if not self._count or text in {"", _ALL}:
            return None
        parts = text.replace(",", " ").split()
        if not all(part.isdecimal() and int(part) < self._count for part in parts):
            raise SettingsError(
                f"The channels should be all, or numbers from 0 to {self._count - 1}, such as "
                f"{_example(self._count)}; got {text!r}."
            )
        return tuple(int(part) for part in parts)

    def choose(self, channels: Sequence[int] | None) -> None:
        """Show these channels as chosen, all if None."""
        self.setEditText(_ALL if channels is None else ",".join(map(str, channels)))
        self._known = self.currentText()

    def _emit_edited(self) -> None:
        if self.currentText() != self._known:
            self._known = self.currentText()
            self.edited.emit()


def _example(count: int) -> str:
    return ",".join(map(str, range(min(count, 3))))
