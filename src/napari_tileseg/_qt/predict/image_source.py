"""From the layers of a viewer to the session's image."""

from __future__ import annotations

from collections.abc import Iterator

from napari.viewer import Viewer
from qtpy.QtCore import QObject

from napari_tileseg._napari.image_layers import add_image
from napari_tileseg._napari.images.placement import Placement
from napari_tileseg._napari.images.shown_image import ShownImage, shown_images
from napari_tileseg._qt.common.connections import Connections
from napari_tileseg._qt.common.gui_thread import GuiThread
from napari_tileseg._qt.common.timers import timer
from napari_tileseg._qt.predict.form import PredictForm
from napari_tileseg._qt.predict.image_picker import Choice
from napari_tileseg._qt.predict.live_layers import LiveLayers
from napari_tileseg.errors import TilesegError
from napari_tileseg.images.image import Image
from napari_tileseg.session import Ended, Session
from napari_tileseg.session.background.jobs import Jobs
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
        Gets the image's placement.
    """

    def __init__(self, viewer: Viewer, session: Session, form: PredictForm, live: LiveLayers) -> None:
        super().__init__()
        self._viewer = viewer
        self._session = session
        self._form = form
        self._live = live
        self._shown: ShownImage | None = None
        self._jobs = Jobs(GuiThread())
        self._layer_events: Connections | None = None
        # A change of a layer comes as several events; the image is taken once they are over.
        self._again = timer(0, self._take)
        events = viewer.layers.events
        self._connections = Connections(
            (events.inserted, self._offer),
            (events.removed, self._offer),
            (events.reordered, self._offer),
            (events.renamed, self._offer),
            (session.image_choice.reopened, self._choose_reopened),
            (session.image_choice.opened, self._show_opened),
        )
        form.image.chosen.connect(self._choose)
        form.image.checked.connect(lambda problem: session.note_unread("image", problem))
        self._settings = ImageSettings()
        self._offer()

    def close(self) -> None:
        """Follow the viewer no more."""
        self._again.stop()
        self._jobs.close()
        self._connections.close()
        self._session.note_unread("image", "")
        self._session.note_search(False)
        self._leave_layer()

    def _offer(self, event: object = None) -> None:
        del event
        self._form.image.set_choices(
            [
                Choice(each.key, each.name, each.levels, each.axes, each.channel_names)
                for each in shown_images(self._viewer)
            ]
        )

    def _choose(self, key: object, settings: ImageSettings) -> None:
        self._leave_layer()
        self._shown = next((each for each in shown_images(self._viewer) if each.key == key), None)
        self._settings = settings
        if self._shown is not None:
            names = ("data", "scale", "translate", "rotate", "shear", "affine", "units")
            events = [getattr(layer.events, name) for layer in self._shown.layers for name in names]
            self._layer_events = Connections(*((event, self._changed) for event in events))
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
        self._live.place_image(placement, self._shown.layers[-1] if self._shown is not None else None)
        self._session.set_image(image, self._settings, key=self._key(), problem=problem)

    def _key(self) -> object:
        """Return what identifies the predicted image, whatever it is called."""
        shown, settings = self._shown, self._settings
        return None if shown is None else (shown.key, settings.level, settings.axes)

    def _image_and_placement(self) -> tuple[Image | None, Placement | None]:
        if self._shown is None:
            return None, None
        return self._shown.image(self._settings), self._shown.placement(self._settings)

    def _choose_reopened(self, image: Image) -> None:
        """Choose the layer of a project's image, which is added if the viewer does not have it."""
        self._find(image, chosen=True)

    def _show_opened(self, image: Image) -> None:
        """Show the image of a result, if the viewer does not have it."""
        self._find(image, chosen=False)

    def _find(self, image: Image, *, chosen: bool) -> None:
        """Find what shows an image, by voxels that are read in the background; else show it."""
        candidates = [each for each in shown_images(self._viewer) if each.uri and each.uri == image.uri]
        self._session.note_search(chosen and bool(candidates))

        def search() -> Iterator[tuple[ShownImage, ImageSettings] | None]:
            pairs = ((each, each.settings_for(image)) for each in candidates)
            yield next(((each, settings) for each, settings in pairs if settings is not None), None)

        def receive(event: tuple[ShownImage, ImageSettings] | Ended | None) -> None:
            self._session.note_search(False)
            if isinstance(event, Ended):
                return
            shown, settings = event or self._added(image)
            if chosen:
                self._form.image.choose(shown.key, settings)

        if candidates:
            self._jobs.begin("find", search, receive, with_end=True)
        else:
            receive(None)

    def _added(self, image: Image) -> tuple[ShownImage, ImageSettings]:
        layers = add_image(self._viewer, image)
        if len(layers) == 1:
            return ShownImage(layers), ImageSettings(axes=image.axes, channel=image.channels)
        read = [layers[channel] for channel in image.channel_indices]
        if [layer.name for layer in read] == [image.name]:
            return ShownImage(tuple(read)), ImageSettings()
        return ShownImage(layers), ImageSettings(channel=image.channels)
