"""The Fine-tune dock widget: joins the column of rows with a viewer, its labels and its trainings."""

from __future__ import annotations

from napari.viewer import Viewer

from napari_tileseg._qt.finetune.control import FinetuneControl
from napari_tileseg._qt.finetune.form import FinetuneForm
from napari_tileseg._qt.finetune.stroke_control import StrokeControl
from napari_tileseg._qt.predict.widget import PredictWidget
from napari_tileseg._qt.viewer.dock_panel import DockPanel
from napari_tileseg._qt.viewer.registry import finetuner_of, strokes_of


class FinetuneWidget(DockPanel):
    """Dock widget in which a network learns from painted labels while one watches.

    It teaches the network, on the image, that are chosen in the viewer's Predict widget.

    Parameters
    ----------
    napari_viewer : napari.viewer.Viewer
        The viewer it is docked in.
    """

    def __init__(self, napari_viewer: Viewer) -> None:
        super().__init__(napari_viewer)
        self.strokes = strokes_of(self.viewer)
        self.finetuner = finetuner_of(self.viewer)
        self.form = FinetuneForm()
        self._strokes = StrokeControl(self.viewer, self.session, self.strokes, self.form)
        self._control = FinetuneControl(self.viewer, self.session, self.finetuner, self._strokes, self.form)
        self.form.choose_clicked.connect(self._open_predict)
        self.form.again_clicked.connect(self._predict_again)
        self.setWidget(self.form)

    def _stop(self) -> None:
        self._control.close()
        self._strokes.close()

    def _open_predict(self) -> PredictWidget:
        panel: PredictWidget = self.viewer.window.add_plugin_dock_widget("napari-tileseg", "Predict")[1]
        return panel

    def _predict_again(self) -> None:
        self._open_predict().form.run.predict.click()
