"""The Diagnose dock widget: joins the column of rows with a viewer, its session and its diagnoses."""

from __future__ import annotations

from napari.viewer import Viewer

from napari_tileseg._qt.diagnose.control import DiagnoseControl
from napari_tileseg._qt.diagnose.form import DiagnoseForm
from napari_tileseg._qt.viewer.dock_panel import DockPanel
from napari_tileseg._qt.viewer.registry import new_diagnoser


class DiagnoseWidget(DockPanel):
    """Dock widget that shows where tiles disagree, how much, why, and what to do.

    It looks at the image and the network that are chosen in the viewer's Predict widget.

    Parameters
    ----------
    napari_viewer : napari.viewer.Viewer
        The viewer it is docked in.
    """

    def __init__(self, napari_viewer: Viewer) -> None:
        super().__init__(napari_viewer)
        self.diagnosing = new_diagnoser(self.viewer)
        self.form = DiagnoseForm()
        self._control = DiagnoseControl(self.viewer, self.session, self.diagnosing, self.form)
        self.form.choose_clicked.connect(self._open_predict)
        self.form.panel.trial.finetune_clicked.connect(self._open_finetune)
        self.setWidget(self.form)

    def _stop(self) -> None:
        self._control.close()
        self.diagnosing.release()

    def _open_predict(self) -> None:
        self.viewer.window.add_plugin_dock_widget("napari-tileseg", "Predict")

    def _open_finetune(self) -> None:
        self.viewer.window.add_plugin_dock_widget("napari-tileseg", "Fine-tune")

    def _window_closes(self) -> None:
        super()._window_closes()
        self.diagnosing.close()
