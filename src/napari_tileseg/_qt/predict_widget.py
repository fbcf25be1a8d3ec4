"""The Predict dock widget: joins the column of rows with a viewer and its session."""

from __future__ import annotations

from napari.viewer import Viewer
from qtpy.QtCore import QEvent, Qt, QTimer
from qtpy.QtWidgets import QScrollArea

from napari_tileseg._qt import dialogs
from napari_tileseg._qt.close_guard import CloseGuard
from napari_tileseg._qt.image_source import ImageSource
from napari_tileseg._qt.live_layers import LiveLayers
from napari_tileseg._qt.network_source import NetworkSource
from napari_tileseg._qt.predict_form import PredictForm
from napari_tileseg._qt.result_keeper import ResultKeeper
from napari_tileseg._qt.run_control import RunControl
from napari_tileseg._qt.sessions import forget_session, session_of


class PredictWidget(QScrollArea):
    """Dock widget that predicts an image layer with a network.

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
        self.form = PredictForm()
        self.live = LiveLayers(self.viewer, self.session)
        self._parts = (
            ImageSource(self.viewer, self.session, self.form, self.live),
            NetworkSource(self.session, self.form),
            RunControl(self.session, self.form, self.live),
            ResultKeeper(self.session, self.form, self.live),
        )
        self._guard = CloseGuard(self._may_close, self._window_closes)
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
        """Stop the prediction and let go of viewer and session. What is done is kept in the project."""
        if self._closed:
            return
        self._closed = True
        self.session.cancel()
        for part in self._parts:
            part.close()
        self.live.close()
        self._guard.leave()

    def _may_close(self) -> bool:
        return not self.session.running() or dialogs.ask_close(self)

    def _window_closes(self) -> None:
        self.release()
        forget_session(self.viewer)
