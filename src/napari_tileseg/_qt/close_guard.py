"""Asking before a window closes on running work, and letting go of it when it does."""

from __future__ import annotations

from collections.abc import Callable

from qtpy.QtCore import QEvent, QObject
from qtpy.QtWidgets import QMainWindow, QWidget


class CloseGuard(QObject):
    """Looks at the closing of the main window that a widget is docked in.

    Parameters
    ----------
    may_close : callable
        Asked when the user closes the window; False keeps it open.
    closing : callable
        Called when the window does close.
    """

    def __init__(self, may_close: Callable[[], bool], closing: Callable[[], None]) -> None:
        super().__init__()
        self._may_close = may_close
        self._closing = closing
        self._window: QMainWindow | None = None

    def watch(self, widget: QWidget) -> None:
        """Watch the main window that `widget` is in, if it is in one."""
        parent = widget.parentWidget()
        while parent is not None and not isinstance(parent, QMainWindow):
            parent = parent.parentWidget()
        if parent is not None and parent is not self._window:
            self.leave()
            self._window = parent
            parent.installEventFilter(self)

    def leave(self) -> None:
        """Watch no more."""
        if self._window is not None:
            self._window.removeEventFilter(self)
            self._window = None

    def eventFilter(self, watched: QObject, event: QEvent) -> bool:  # noqa: N802
        """Hold back a closing that the user does not want."""
        if watched is self._window and event.type() == QEvent.Type.Close:
            # Only a person's closing is spontaneous; a program that closes the window knows what it does.
            if event.spontaneous() and not self._may_close():
                event.ignore()
                return True
            self._closing()
        return False
