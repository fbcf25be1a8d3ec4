"""From the layers of a viewer to the session's image."""

from __future__ import annotations

from napari.layers import Image as ImageLayer
from napari.viewer import Viewer
from qtpy.QtCore import QObject

from napari_tileseg._napari.image_layers import add_image, image_layers
from napari_tileseg._napari.layer_image import image_of, level_shapes, placement_of
from napari_tileseg._napari.placement import Placement, axes_of
from napari_tileseg._qt.connections import Connections
from napari_tileseg._qt.image_picker import Choice
from napari_tileseg._qt.live_layers import LiveLayers
from napari_tileseg._qt.predict_form import PredictForm
from napari_tileseg._qt.timers import timer
from napari_tileseg.errors import TilesegError
from napari_tileseg.images.image import Image
from napari_tileseg.session import Session
from napari_tileseg.settings import ImageSettings


class ImageSource(QObject):
    """Offers the viewer's image layers, and gives the chosen one to the session.

    Parameters
    ----------
    viewer : Viewer
        Whose layers are offered.
    session : Session
        Gets the image.
    form : PredictForm
        Where it is chosen.
    live : LiveLayers
        Gets the image's place.
    """

    def __init__(self, viewer: Viewer, session: Session, form: PredictForm, live: LiveLayers) -> None:
        super().__init__()
        self._viewer = viewer
        self._session = session
        self._form = form
        self._live = live
        self._layer: ImageLayer | None = None
        self._layer_events: Connections | None = None
        # A change of a layer comes as several events; the image is taken once they are over.
        self._again = timer(0, self._take)
        events = viewer.layers.events
        self._connections = Connections(
            (events.inserted, self._offer),
            (events.removed, self._offer),
            (events.reordered, self._offer),
            (events.renamed, self._offer),
            (session.image_reopened, self._show_reopened),
        )
        form.image.chosen.connect(self._choose)
        form.image.checked.connect(lambda problem: session.note_unread("image", problem))
        self._settings = ImageSettings()
        self._offer()

    def close(self) -> None:
        """Follow the viewer no more."""
        self._again.stop()
        self._connections.close()
        self._session.note_unread("image", "")
        self._leave_layer()

    def _offer(self, event: object = None) -> None:
        del event
        layers = image_layers(self._viewer)
        self._form.image.set_choices(
            [Choice(layer.unique_id, layer.name, level_shapes(layer), axes_of(layer)) for layer in layers]
        )

    def _choose(self, key: object, settings: ImageSettings) -> None:
        self._leave_layer()
        self._layer = next((x for x in image_layers(self._viewer) if x.unique_id == key), None)
        self._settings = settings
        if self._layer is not None:
            names = ("data", "scale", "translate", "rotate", "shear", "affine", "units")
            events = self._layer.events
            self._layer_events = Connections(*((getattr(events, name), self._changed) for name in names))
        self._take()

    def _leave_layer(self) -> None:
        if self._layer_events is not None:
            self._layer_events.close()
            self._layer_events = None

    def _changed(self, event: object = None) -> None:
        del event
        self._again.start(0)

    def _take(self) -> None:
        problem = None
        try:
            image, placement = self._image_and_placement()
        except TilesegError as error:
            image, placement, problem = None, None, error
        self._live.place_image(placement, self._layer)
        self._session.set_image(image, self._settings, key=self._key(), problem=problem)

    def _key(self) -> object:
        """Tells what is predicted from all else, whatever it is called."""
        return (
            None
            if self._layer is None
            else (self._layer.unique_id, self._settings.level, self._settings.axes)
        )

    def _image_and_placement(self) -> tuple[Image | None, Placement | None]:
        if self._layer is None:
            return None, None
        return image_of(self._layer, self._settings), placement_of(self._layer, self._settings)

    def _show_reopened(self, image: Image) -> None:
        """Choose the layer of a project's image, which is added if the viewer does not have it."""
        known = next((x for x in image_layers(self._viewer) if x.source.path == image.uri), None)
        layer = known or add_image(self._viewer, image)
        self._form.image.choose(layer.unique_id)
