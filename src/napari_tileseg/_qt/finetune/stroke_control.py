"""Labels layers of the Fine-tune widget: made, chosen, followed, saved and opened again."""

from __future__ import annotations

from datetime import datetime

import numpy as np
from napari.layers import Labels
from napari.viewer import Viewer
from qtpy.QtCore import QObject, Signal

from napari_tileseg._napari.drawing.stroke_layer import PaintWatch, add_stroke_layer
from napari_tileseg._napari.images.image_place import placement_in
from napari_tileseg._qt.common.connections import Connections
from napari_tileseg._qt.finetune.form import FinetuneForm
from napari_tileseg._qt.finetune.label_meanings import LabelMeanings
from napari_tileseg.errors import SettingsError, TilesegError
from napari_tileseg.session import Session
from napari_tileseg.session.finetune.words import moment_words, offer_words
from napari_tileseg.session.painting.class_colors import stroke_classes
from napari_tileseg.session.painting.files import StrokeFiles
from napari_tileseg.session.painting.painting import Painting
from napari_tileseg.session.painting.record import StrokeClass
from napari_tileseg.session.painting.strokes import Strokes
from napari_tileseg.session.painting.words import saving_words
from napari_tileseg.session.prediction.readiness import problem_words
from napari_tileseg.settings import LabelSettings
from napari_tileseg.tiling import Box

_FIRST = (
    "New labels lie on an image and have the classes of a network; choose both in the Predict widget first."
)
_HOW_TO = "Press New, paint a few strokes of each class where the network is wrong, and press Start."


class StrokeControl(QObject):
    """Joins the form's upper half, the labels layers of the viewer, and what is saved of them.

    Parameters
    ----------
    viewer : Viewer
        Whose layers are offered.
    session : Session
        Whose image is painted on, and whose network has the classes.
    strokes : Strokes
        Saves what is painted.
    form : FinetuneForm
        What the user sees.
    """

    #: Another layer, or another meaning of it, is chosen.
    changed = Signal()
    #: Something else is painted on the chosen layer, and saved.
    painted = Signal()
    #: The chosen layer was removed.
    removed = Signal()

    def __init__(self, viewer: Viewer, session: Session, strokes: Strokes, form: FinetuneForm) -> None:
        super().__init__()
        self._viewer = viewer
        self._session = session
        self._strokes = strokes
        self._form = form
        self._layer: Labels | None = None
        self._offered: tuple[StrokeFiles, ...] = ()
        self._meanings = LabelMeanings(session, form)
        #: Why the chosen layer is not saved.
        self._unsaved = ""
        events = viewer.layers.events
        self._connections = Connections(
            (events.inserted, self._follow_layers),
            (events.removed, self._follow_layers),
            (events.renamed, self._follow_layers),
            (session.network_changed, self._show),
            (session.image_changed, self._take_image),
            (session.plan.changed, self._show_save_state),
            (strokes.saved, self._show_saved),
            (strokes.not_saved, self._show_trouble),
            (strokes.offered, self._offer),
            (strokes.opened, self._show_opened),
            (strokes.failed, self._fail),
        )
        form.new_clicked.connect(self._new)
        form.open_clicked.connect(self._open)
        form.labels_chosen.connect(self._choose)
        form.meaning_changed.connect(self._take_meaning)
        form.classes.chosen.connect(self._choose_class)
        form.show_offer("")
        self._take_up()
        self._follow_layers()
        self._take_image()
        strokes.look()

    def _take_up(self) -> None:
        """Follow what is painted on already, as the panel may have been closed and opened again."""
        for layer in self._labels_layers():
            painting = self._strokes.painting_of(layer.data)
            if painting is not None:
                self._listen(layer, painting)
                self._layer = layer

    def close(self) -> None:
        """Follow viewer and session no more; what is painted is saved all the same."""
        self._connections.close()
        self._layer = None

    @property
    def layer(self) -> Labels | None:
        """The labels layer to learn from."""
        return self._layer

    @property
    def painting(self) -> Painting | None:
        """How the chosen layer is saved; None for one that was not painted on."""
        return None if self._layer is None else self._strokes.painting_of(self._layer.data)

    def meaning(self) -> LabelSettings:
        """Return what the chosen layer holds.

        Raises
        ------
        SettingsError
            If no layer is chosen, or what it holds is not chosen.
        """
        if self._layer is None:
            raise SettingsError("Choose a labels layer, or press New and paint a few strokes of each class.")
        painting = self.painting
        if painting is not None and painting.fixed:
            pairs = tuple((each.value, each.name) for each in painting.classes)
            return LabelSettings(labels_kind=painting.kind, map=pairs)
        return self._form.meaning()

    def _labels_layers(self) -> list[Labels]:
        return [layer for layer in self._viewer.layers if isinstance(layer, Labels) and not layer.multiscale]

    def _follow_layers(self, event: object = None) -> None:
        del event
        layers = self._labels_layers()
        for painting in self._strokes.paintings:
            if not any(layer.data is painting.array for layer in layers):
                self._strokes.leave(painting)
        gone = self._layer is not None and self._layer not in layers
        if gone:
            self._layer = None
            self.removed.emit()
        key = None if self._layer is None else self._layer.unique_id
        self._form.set_layers([(layer.name, layer.unique_id) for layer in layers], key)
        if gone:
            self._show()

    def _choose(self, key: object) -> None:
        self._layer = next((layer for layer in self._labels_layers() if layer.unique_id == key), None)
        self._take_image()

    def _take_image(self, _: object = None) -> None:
        """Save what is painted on the chosen layer, now that there may be an image that it fits."""
        if self._layer is not None:
            self._recall(self._layer)
            if self.painting is None:
                self._adopt(self._layer)
        self._show()

    def _recall(self, layer: Labels) -> None:
        """Take the meaning a layer had before there was this panel, or that of the layer it duplicates."""
        parent = layer.source.parent and layer.source.parent()
        known = (self._strokes.painting_of(each.data) for each in (layer, parent) if each is not None)
        painting = next(filter(None, known), None)
        if painting is not None and self._meanings.meaning_of(layer).labels_kind is None:
            self._meanings.adopt(layer, painting)

    def _adopt(self, layer: Labels) -> None:
        """Save what is painted on a layer that was not made by New, where that can be."""
        kind, classes = self._meanings.meaning_of(layer).labels_kind, self._meanings.classes(layer)
        try:
            painting = self._strokes.adopt(layer.data, kind, classes)
        except TilesegError as error:
            self._unsaved = problem_words(error)
            return
        self._listen(layer, painting)

    def _listen(self, layer: Labels, painting: Painting) -> None:
        """Follow the changes that the data of a layer do not report themselves."""
        reports = not isinstance(painting.array, np.ndarray)
        watch = PaintWatch(
            layer,
            _ignore if reports else painting.touch,
            _ignore if reports else painting.recheck,
            lambda: self._replaced(layer, painting),
        )
        painting.watch_with(watch)

    def _replaced(self, layer: Labels, painting: Painting) -> None:
        """Save the new data of a layer, as those it had are saved."""
        if self._meanings.meaning_of(layer).labels_kind is None:
            self._meanings.adopt(layer, painting)
        self._strokes.leave(painting)
        self._adopt(layer)
        new = self._strokes.painting_of(layer.data)
        if new is not None:
            new.touch(Box.of_shape(layer.data.shape))
        if layer is self._layer:
            self._show()

    def _new(self) -> None:
        self._form.message.show_text("")
        image, network = self._session.image, self._session.network
        if image is None or network is None:
            self._form.message.show_text(_FIRST, "error")
            return
        self._add(self._strokes.begin(stroke_classes(network.spec.classes)))

    def _add(self, painting: Painting) -> None:
        self._layer = add_stroke_layer(
            self._viewer,
            painting.array,
            painting.classes,
            placement_in(self._viewer, painting.image),
            f"{painting.image.name} {painting.kind or 'labels'}",
        )
        if not painting.fixed:
            self._meanings.adopt(self._layer, painting)
        self._listen(self._layer, painting)
        self._follow_layers()
        self._show()

    def _open(self, number: int) -> None:
        if number < len(self._offered):
            self._form.message.show_text("")
            self._form.show_offer("")
            self._strokes.open(self._offered[number])

    def _show_opened(self, painting: Painting) -> None:
        if (image := self._session.image) is not None and tuple(painting.array.shape) == image.shape:
            self._add(painting)
        else:
            self._strokes.leave(painting)

    def _offer(self, offered: tuple[tuple[datetime, StrokeFiles], ...]) -> None:
        now = datetime.now().astimezone()
        self._offered = tuple(files for _, files in offered)
        choices = [
            f"{moment_words(when, now)} ({files.record.kind or 'what they hold is unknown'})"
            for when, files in offered
        ]
        self._form.show_offer(offer_words([when for when, _ in offered], now), choices)

    def _take_meaning(self) -> None:
        if self._layer is not None:
            self._meanings.take(self._layer)
            self._form.show_map(self._form.kind.currentData() in {"strokes", "classes"})
            self._explain()
            self._show_classes()
            self.changed.emit()

    def _explain(self) -> None:
        """Have the meaning of the labels saved with them."""
        if self._layer is not None and self.painting is not None:
            kind = self._meanings.meaning_of(self._layer).labels_kind
            self.painting.explain(kind, self._meanings.classes(self._layer))

    def _choose_class(self, value: int) -> None:
        if self._layer is not None:
            self._viewer.layers.selection = {self._layer}
            self._layer.selected_label = value
            self._layer.mode = "paint"

    def _show(self, _: object = None) -> None:
        """Show the chosen layer."""
        painting = self.painting
        if painting is not None and not painting.classes:
            # It was entered before there was a network whose classes these are.
            self._explain()
        self._meanings.show(self._layer, painting)
        self._show_classes()
        self._show_save_state()
        self.changed.emit()

    def _show_classes(self) -> None:
        painting = self.painting
        classes: tuple[StrokeClass, ...] = ()
        if painting is not None and painting.fixed:
            classes = painting.classes
        elif self._layer is not None:
            classes = self._meanings.classes(self._layer)
        self._form.classes.setVisible(bool(classes))
        self._form.classes.show_classes(classes, painting.painted if painting else {})

    def _show_saved(self, painting: Painting) -> None:
        if painting is self.painting:
            self._show_classes()
            self._show_save_state()
            self.painted.emit()

    def _show_trouble(self, painting: Painting) -> None:
        self._show_saved(painting)
        if painting is not self.painting:
            self._form.message.show_text(problem_words(painting.error), "error")

    def _show_save_state(self) -> None:
        painting, saved = self.painting, self._form.saved
        if self._layer is None:
            saved.show_text(_HOW_TO)
        elif painting is None:
            saved.show_text(
                f"What you paint on this layer is not saved here. {self._unsaved}".strip(), "warning"
            )
        else:
            reference = self._session.image_choice.reference
            fingerprint = None if reference is None else reference.fingerprint
            saved.show_text(*saving_words(painting, fingerprint, datetime.now().astimezone()))
            saved.setToolTip("" if painting.folder is None else f"<p>{painting.folder}</p>")

    def _fail(self, error: Exception) -> None:
        text = str(error) if isinstance(error, OSError) else problem_words(error)
        self._form.message.show_text(text, "error")


def _ignore(_: object = None) -> None:
    """Do nothing: the array reports its changes itself."""
