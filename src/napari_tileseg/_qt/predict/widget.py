"""The Predict dock widget: joins the column of rows with a viewer and its session."""

from __future__ import annotations

from napari.viewer import Viewer

from napari_tileseg._qt.predict.channel_source import ChannelSource
from napari_tileseg._qt.predict.form import PredictForm
from napari_tileseg._qt.predict.image_source import ImageSource
from napari_tileseg._qt.predict.live_layers import LiveLayers
from napari_tileseg._qt.predict.network_source import NetworkSource
from napari_tileseg._qt.predict.result_keeper import ResultKeeper
from napari_tileseg._qt.predict.run_control import RunControl
from napari_tileseg._qt.viewer.dock_panel import DockPanel


class PredictWidget(DockPanel):
    """Dock widget that predicts an image layer with a network.

    Parameters
    ----------
    napari_viewer : napari.viewer.Viewer
        The viewer it is docked in.
    """

    def __init__(self, napari_viewer: Viewer) -> None:
        super().__init__(napari_viewer)
        self.form = PredictForm()
        self.live = LiveLayers(self.viewer, self.session)
        self._parts = (
            ImageSource(self.viewer, self.session, self.form, self.live),
            NetworkSource(self.session, self.form),
            ChannelSource(self.session, self.form),
            RunControl(self.session, self.form, self.live),
            ResultKeeper(self.session, self.form, self.live),
        )
        self.live.grid_removed.connect(lambda: self.form.grid.setChecked(False))
        self.setWidget(self.form)

    def _stop(self) -> None:
        self.session.prediction.cancel()
        for part in self._parts:
            part.close()
        self.live.close()
