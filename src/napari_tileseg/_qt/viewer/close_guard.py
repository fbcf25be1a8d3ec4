"""Asking before a person closes a window on running work, and letting go of the work once it has closed."""

from __future__ import annotations

from collections.abc import Iterable
from functools import cache
from typing import Any

from napari._qt.qt_main_window import _QtMainWindow
from napari.components import ViewerModel
from qtpy.QtCore import QObject, Qt, Signal
from qtpy.QtGui import QCloseEvent
from qtpy.QtWidgets import QApplication, QMainWindow, QWidget

from napari_tileseg._qt.viewer.registry import forget_session, may_forget


class CloseGuard(QObject):
    """The one guard of a viewer's window, which owns it.

    Parameters
    ----------
    viewer : ViewerModel
        Whose work is asked about, and let go of.
    window : QMainWindow
        The window of the viewer.
    """

    #: The window has closed: what is docked in it lets go, before the work of the viewer ends.
    closed = Signal()

    def __init__(self, viewer: ViewerModel, window: QMainWindow) -> None:
        super().__init__(window)
        self._viewer = viewer
        self._gone = False

    def may_close(self) -> bool:
        """Return whether the window may close; where something could be lost, the user is asked."""
        # Asked for, not held: a panel holds its guard, and would hold the window alive.
        window = self.parent()
        assert isinstance(window, QWidget)
        return self._gone or may_forget(self._viewer, window)

    def let_go(self) -> None:
        """Let go of all, as the window has closed."""
        window = self.parent()
        assert isinstance(window, QWidget)
        if not self._gone:
            self._gone = True
            # What runs ends after a tile or a step: no window that does not answer stays in sight.
            window.hide()
            self.closed.emit()
            forget_session(self._viewer)


def guard_of(viewer: ViewerModel, widget: QWidget) -> CloseGuard | None:
    """Guard of the viewer's window that `widget` is in, made when first asked for; None if it is in none."""
    parent = widget.parentWidget()
    while parent is not None and not isinstance(parent, _QtMainWindow):
        parent = parent.parentWidget()
    if parent is None:
        return None
    _have_windows_ask()
    return next(iter(_guards([parent])), None) or CloseGuard(viewer, parent)


def _guards(windows: Iterable[QWidget]) -> list[CloseGuard]:
    only_own = Qt.FindChildOption.FindDirectChildrenOnly
    found = [window.findChild(CloseGuard, options=only_own) for window in windows]
    return [guard for guard in found if guard is not None]


@cache
def _have_windows_ask() -> None:
    """Make all windows of napari ask their guards.

    The cross of a window is a spontaneous event. The menu and the keys call ``close(confirm_need=True)``; its
    event looks like that of a program, and comes after napari has asked its own question. Whether an event
    closes the window is known only after napari has handled it. So both methods are led through here.
    """
    close, close_event = _QtMainWindow.close, _QtMainWindow.closeEvent

    def ask_and_close(window: QMainWindow, quit_app: bool = False, confirm_need: bool = False) -> Any:
        asked = QApplication.topLevelWidgets() if quit_app else [window]
        if confirm_need and not _may_close(asked):
            return None
        return close(window, quit_app, confirm_need)

    def handle_close(window: QMainWindow, event: QCloseEvent) -> None:
        if event.spontaneous() and not _may_close([window]):
            event.ignore()
            return
        try:
            close_event(window, event)
        finally:
            # Even if another window of napari fails to close with it, this one does.
            if event.isAccepted():
                for guard in _guards([window]):
                    guard.let_go()

    _QtMainWindow.close, _QtMainWindow.closeEvent = ask_and_close, handle_close


def _may_close(windows: Iterable[QWidget]) -> bool:
    return all(guard.may_close() for guard in _guards(windows))
