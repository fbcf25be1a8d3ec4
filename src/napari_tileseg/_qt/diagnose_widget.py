"""The Diagnose dock widget: joins the column of rows with a viewer, its session and its diagnoses."""

from __future__ import annotations

from napari.viewer import Viewer
from qtpy.QtCore import QEvent, Qt, QTimer
from qtpy.QtWidgets import QScrollArea

from napari_tileseg._qt.close_guard import CloseGuard
from napari_tileseg._qt.diagnose_control import DiagnoseControl
from napari_tileseg._qt.diagnose_form import DiagnoseForm
from napari_tileseg._qt.gui_thread import GuiThread
from napari_tileseg._qt.sessions import forget_session, session_of
from napari_tileseg.session.diagnosing import Diagnosing


class DiagnoseWidget(QScrollArea):
    """Dock widget that shows where tiles disagree, how much, why, and what to do.

    It looks at the image and the network that are chosen in the viewer's Predict widget.

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
        self.diagnosing = Diagnosing(self.session, GuiThread())
        self.form = DiagnoseForm()
        self._control = DiagnoseControl(self.viewer, self.session, self.diagnosing, self.form)
        self.form.choose_clicked.connect(self._open_predict)
        self._guard = CloseGuard(lambda: True, self._window_closes)
        self._docked = False
        self._closed = False
        self.setWidget(self.form)
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
        if not self._closed:
            self._guard.watch(self)

    def release(self) -> None:
        """Stop the diagnosis and let go of viewer and session. What was found is kept in the project."""
        if self._closed:
            return
        self._closed = True
        self._control.close()
        self.diagnosing.release()
        self._guard.leave()

    def _open_predict(self) -> None:
        self.viewer.window.add_plugin_dock_widget("napari-tileseg", "Predict")

    def _window_closes(self) -> None:
        self.release()
        self.diagnosing.close()
        forget_session(self.viewer)
