"""A column of rows in a dock, and how it comes and goes with the dock and the window."""

from __future__ import annotations

from napari.viewer import Viewer
from qtpy.QtCore import QEvent, Qt, QTimer
from qtpy.QtWidgets import QDockWidget, QMainWindow, QScrollArea, QWidget

from napari_tileseg._qt.viewer.close_guard import CloseGuard, guard_of
from napari_tileseg._qt.viewer.registry import session_of
from napari_tileseg.session.background.warming import warm_up


class DockPanel(QScrollArea):
    """Abstract dock widget of a viewer; it lets go of viewer and session when its dock or window closes.

    Parameters
    ----------
    napari_viewer : napari.viewer.Viewer
        The viewer it is docked in.
    """

    def __init__(self, napari_viewer: Viewer) -> None:
        super().__init__()
        # Plugins are handed a proxy, which is another object at each access and cannot be a key.
        self.viewer: Viewer = getattr(napari_viewer, "__wrapped__", napari_viewer)
        self.session = session_of(self.viewer)
        warm_up()
        self._guard: CloseGuard | None = None
        self._docked = False
        #: Whether it is docked in the window, where panels that come later share its dock.
        self.shares_dock = False
        self._closed = False
        self.setWidgetResizable(True)
        self.setFrameShape(QScrollArea.Shape.NoFrame)
        self.setHorizontalScrollBarPolicy(Qt.ScrollBarPolicy.ScrollBarAlwaysOff)
        self.setMinimumWidth(360)

    def event(self, event: QEvent) -> bool:
        """Notice being put into a window, and being taken out of it, which is how napari closes a dock."""
        if event.type() == QEvent.Type.ParentChange:
            if self.parentWidget() is not None:
                self._docked = True
                # The dock itself is put into the window later.
                QTimer.singleShot(0, self._watch)
            elif self._docked:
                self.release()
        return bool(super().event(event))

    def _watch(self) -> None:
        if self._guard is None and not self._closed:
            self._guard = guard_of(self.viewer, self)
            if self._guard is not None:
                self._guard.closed.connect(self._window_closes)
                _share_dock(self)
                self.shares_dock = True

    def release(self) -> None:
        """Stop the work and let go of viewer and session. What is done stays in the project."""
        if self._closed:
            return
        self._closed = True
        self._stop()

    def _stop(self) -> None:
        """Stop the work of this panel and close its parts; called once."""
        raise NotImplementedError

    def _window_closes(self) -> None:
        self.release()


def _share_dock(panel: DockPanel) -> None:
    """Dock a new panel with those that are there, as a tab in front of them.

    One below the other they would leave each other too little of a small window, and so would names with the
    plugin's in their tabs.
    """
    dock = _dock_of(panel)
    window = None if dock is None else dock.parentWidget()
    if dock is None or not isinstance(window, QMainWindow) or dock.isFloating():
        return
    dock.setWindowTitle(dock.windowTitle().partition(" (")[0])
    docks = [
        _dock_of(each) for each in window.findChildren(DockPanel) if each.shares_dock and each is not panel
    ]
    area = window.dockWidgetArea(dock)
    for other in docks:
        if other is not None and window.dockWidgetArea(other) == area and not other.isFloating():
            window.tabifyDockWidget(other, dock)
            dock.raise_()
            break
    else:
        window.resizeDocks([dock], [panel.minimumWidth()], Qt.Orientation.Horizontal)


def _dock_of(panel: QWidget) -> QDockWidget | None:
    parent = panel.parentWidget()
    while parent is not None and not isinstance(parent, QDockWidget):
        parent = parent.parentWidget()
    return parent
