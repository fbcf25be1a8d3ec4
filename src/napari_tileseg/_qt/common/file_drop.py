"""Dropping one file or folder onto widgets."""

from __future__ import annotations

from pathlib import Path

from qtpy.QtCore import QEvent, QObject, Signal
from qtpy.QtGui import QDropEvent
from qtpy.QtWidgets import QWidget


class FileDrop(QObject):
    """Takes one file or folder that is dropped onto widgets; anything else is left to what is below them.

    Parameters
    ----------
    parent : QObject
        Its owner.
    """

    #: Path of what was dropped.
    dropped = Signal(str)

    def watch(self, widget: QWidget) -> None:
        """Take what is dropped onto a widget."""
        widget.setAcceptDrops(True)
        widget.installEventFilter(self)

    def eventFilter(self, watched: QObject | None, event: QEvent | None) -> bool:  # noqa: N802
        """Answer events of dragging and dropping."""
        kinds = (QEvent.Type.DragEnter, QEvent.Type.DragMove, QEvent.Type.Drop)
        if event is None or event.type() not in kinds or not isinstance(event, QDropEvent):
            return bool(super().eventFilter(watched, event))
        data = event.mimeData()
        urls = [] if data is None else data.urls()
        if len(urls) != 1 or not urls[0].isLocalFile():
            event.ignore()
            return True
        event.acceptProposedAction()
        if event.type() == QEvent.Type.Drop:
            self.dropped.emit(str(Path(urls[0].toLocalFile())))
        return True
