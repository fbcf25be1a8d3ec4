"""Shows in the viewer what a network in training predicts, where the user looks."""

from __future__ import annotations

from napari.viewer import Viewer
from qtpy.QtCore import QObject

from napari_tileseg._napari.images.image_place import placement_in
from napari_tileseg._napari.results.live_prediction import LivePrediction
from napari_tileseg._napari.view import box_in_view, view_events
from napari_tileseg._qt.common.connections import Connections
from napari_tileseg._qt.common.gui_queue import Turns
from napari_tileseg._qt.common.timers import timer
from napari_tileseg._qt.finetune.form import FinetuneForm
from napari_tileseg.images.image import Image
from napari_tileseg.session.finetune.finetuner import Finetuner
from napari_tileseg.tiling import Box
from napari_tileseg.workflows.finetuning_events import TileShown
from napari_tileseg.workflows.finetuning_request import TuneRequest

#: Time from a change of the view to its effect.
VIEW_MS = 80


class LiveView(QObject):
    """Updates the layers of the current training, and hands it what is in view.

    Parameters
    ----------
    viewer : Viewer
        Where predictions are shown.
    finetuner : Finetuner
        What trains.
    form : FinetuneForm
        Where it is chosen what of it is shown.
    """

    def __init__(self, viewer: Viewer, finetuner: Finetuner, form: FinetuneForm) -> None:
        super().__init__()
        self._viewer = viewer
        self._finetuner = finetuner
        self._form = form
        self._turns = Turns()
        self._live = LivePrediction(viewer, self._turns)
        self._request: TuneRequest | None = None
        self._looking = timer(VIEW_MS, self._look)
        self._connections = Connections(
            *((emitter, self._view_changed) for emitter in view_events(viewer)),
            (finetuner.changed, self._follow),
            (finetuner.reported, self._receive),
        )
        if finetuner.preview is not None:
            form.live.setChecked(finetuner.preview.wanted)
        form.live_toggled.connect(self._show)
        form.before_toggled.connect(self._live.show_before)
        form.show_live(False)
        self._follow()

    def close(self) -> None:
        """Disconnect from the viewer; the layers go, as nothing updates them any more."""
        self._looking.stop()
        self._turns.close()
        self._connections.close()
        self._live.remove()

    def seen(self, image: Image) -> Box:
        """Return the voxels of an image that are in view."""
        return box_in_view(self._viewer, placement_in(self._viewer, image), image.shape)

    def _follow(self) -> None:
        """Show the run that there is now."""
        request, preview = self._finetuner.request, self._finetuner.preview
        if request is self._request:
            return
        self._request = request
        self._form.show_live(request is not None)
        if request is None or preview is None:
            self._live.remove()
            return
        image = request.image
        classes, placement = request.network.spec.classes, placement_in(self._viewer, image)
        self._live.open(preview.before, preview.now, image.name, classes, placement)
        self._form.now.setChecked(True)
        self._show(self._form.live.isChecked())
        self._look()

    def _show(self, shown: bool) -> None:
        self._live.show(shown)
        self._finetuner.show_preview(shown)
        self._form.before.setEnabled(shown)
        self._form.now.setEnabled(shown)

    def _receive(self, event: object) -> None:
        if isinstance(event, TileShown):
            self._live.refresh()

    def _view_changed(self, event: object = None) -> None:
        del event
        if self._finetuner.state == "running" and not self._looking.isActive():
            self._looking.start()

    def _look(self) -> None:
        if self._request is not None:
            self._finetuner.look_at(self.seen(self._request.image))
