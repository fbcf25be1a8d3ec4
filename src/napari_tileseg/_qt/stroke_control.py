"""Labels layers of the Fine-tune widget: made, chosen, followed, saved and opened again."""

from __future__ import annotations

from datetime import datetime

import numpy as np
from napari.layers import Labels
from napari.viewer import Viewer
from qtpy.QtCore import QObject, Signal

from napari_tileseg._napari.image_place import placement_in
from napari_tileseg._napari.stroke_layer import PaintWatch, add_stroke_layer
from napari_tileseg._qt.connections import Connections
from napari_tileseg._qt.finetune_form import FinetuneForm
from napari_tileseg.errors import SettingsError, TilesegError
from napari_tileseg.session import Session
from napari_tileseg.session.painting import Painting
from napari_tileseg.session.sparse_array import SparseArray
from napari_tileseg.session.stroke_classes import stroke_classes
from napari_tileseg.session.stroke_files import StrokeFiles
from napari_tileseg.session.stroke_record import StrokeClass
from napari_tileseg.session.strokes import Strokes
from napari_tileseg.session.teaching_words import moment_words, offer_words, painted_words
from napari_tileseg.settings import LabelSettings
from napari_tileseg.tiling import Box

_HOW_TO = "Press New, paint a few strokes of each class where the network is wrong, and press Start."


class StrokeControl(QObject):
    """Joins the form's upper half, the labels layers of the viewer, and what is saved of them.

    Parameters
    ----------
    viewer : Viewer
        Whose layers are offered.
    session : Session
        Whose image is painted on, and whose network says the classes.
    strokes : Strokes
        Saves what is painted.
    form : FinetuneForm
        What the user sees.
    """

    #: Another layer, or another meaning of it, is chosen.
    changed = Signal()
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
        self._kinds: dict[object, str | None] = {}
        events = viewer.layers.events
        self._connections = Connections(
            (events.inserted, self._follow_layers),
            (events.removed, self._follow_layers),
            (events.renamed, self._follow_layers),
            (session.network_changed, self._show),
            (session.image_changed, self._show),
            (strokes.saved, self._show_saved),
            (strokes.not_saved, self._show_saved),
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
        self._follow_layers()
        self._show()
        strokes.look()

    def close(self) -> None:
        """Follow viewer and session no more; what is painted is saved all the same."""
        self._connections.close()

    @property
    def layer(self) -> Labels | None:
        """The labels layer to learn from."""
        return self._layer

    @property
    def painting(self) -> Painting | None:
        """How the chosen layer is saved; None for one that was not painted on."""
        return None if self._layer is None else self._strokes.painting_of(self._layer.data)

    def meaning(self) -> LabelSettings:
        """What the chosen layer holds.

        Raises
        ------
        SettingsError
            If no layer is chosen, or nobody has said what it holds.
        """
        if self._layer is None:
            raise SettingsError("Choose a labels layer, or press New and paint a few strokes of each class.")
        painting = self.painting
        if painting is not None and isinstance(painting.array, SparseArray):
            pairs = tuple((each.value, each.name) for each in painting.classes)
            return LabelSettings(labels_kind=painting.kind, map=pairs)
        return self._form.meaning()

    def _labels_layers(self) -> list[Labels]:
        return [layer for layer in self._viewer.layers if isinstance(layer, Labels) and not layer.multiscale]

    def _follow_layers(self, event: object = None) -> None:
        del event
        layers = self._labels_layers()
        gone = self._layer is not None and self._layer not in layers
        if gone:
            painting = self.painting
            self._layer = None
            if painting is not None:
                self._strokes.leave(painting)
            self.removed.emit()
        key = None if self._layer is None else self._layer.unique_id
        self._form.set_layers([(layer.name, layer.unique_id) for layer in layers], key)
        if gone:
            self._show()

    def _choose(self, key: object) -> None:
        self._layer = next((layer for layer in self._labels_layers() if layer.unique_id == key), None)
        if self._layer is not None:
            self._watch(self._layer)
        self._show()

    def _watch(self, layer: Labels) -> None:
        """Save what is painted on a layer that somebody else made, where its voxels are in memory."""
        image = self._session.image
        known = self._strokes.painting_of(layer.data) is not None
        if (
            known
            or not isinstance(layer.data, np.ndarray)
            or image is None
            or layer.data.shape != image.shape
        ):
            return
        kind = self._kinds.get(layer.unique_id) or "strokes"
        painting = self._strokes.adopt(layer.data, kind, self._classes(kind))
        painting.teller = PaintWatch(
            layer, painting.touch, painting.suspect, lambda: self._replaced(layer, painting)
        )

    def _replaced(self, layer: Labels, painting: Painting) -> None:
        """Save the new data of a layer, as those it had are saved."""
        self._strokes.leave(painting)
        self._watch(layer)
        new = self._strokes.painting_of(layer.data)
        if new is not None:
            new.touch(Box.of_shape(layer.data.shape))

    def _classes(self, kind: str | None) -> tuple[StrokeClass, ...]:
        network = self._session.network
        if network is None or kind is None:
            return ()
        try:
            return stroke_classes(network.spec.classes, self._form.meaning() if self._layer else None)
        except SettingsError:
            return stroke_classes(network.spec.classes, LabelSettings(labels_kind=kind))

    def _new(self) -> None:
        self._form.message.say("")
        image, network = self._session.image, self._session.network
        if image is None or network is None:
            self._form.message.say(
                "New labels lie on an image and have the classes of a network; choose both in the Predict "
                "widget first.",
                "error",
            )
            return
        self._add(self._strokes.begin(stroke_classes(network.spec.classes)))

    def _add(self, painting: Painting) -> None:
        image = self._session.image
        assert image is not None
        self._layer = add_stroke_layer(
            self._viewer,
            painting.array,
            painting.classes,
            placement_in(self._viewer, image),
            f"{image.name} {painting.kind}",
        )
        self._follow_layers()
        self._show()

    def _open(self, number: int) -> None:
        if number < len(self._offered):
            self._form.message.say("")
            self._form.show_offer("")
            self._strokes.open(self._offered[number])

    def _show_opened(self, painting: Painting) -> None:
        if self._session.image is not None and tuple(painting.array.shape) == self._session.image.shape:
            self._add(painting)

    def _offer(self, offered: tuple[StrokeFiles, ...]) -> None:
        now = datetime.now().astimezone()
        moments = [(when, files) for files in offered if (when := files.saved_at()) is not None]
        self._offered = tuple(files for _, files in moments)
        choices = [f"{moment_words(when, now)} ({files.record.kind})" for when, files in moments]
        self._form.show_offer(offer_words([when for when, _ in moments], now), choices)

    def _take_meaning(self) -> None:
        if self._layer is not None:
            self._kinds[self._layer.unique_id] = self._form.kind.currentData()
            self._form.show_map(self._form.kind.currentData() in {"strokes", "classes"})
            self._show_classes()
            self.changed.emit()

    def _choose_class(self, value: int) -> None:
        if self._layer is not None:
            self._viewer.layers.selection = {self._layer}
            self._layer.selected_label = value
            self._layer.mode = "paint"

    def _show(self, _: object = None) -> None:
        """Show the chosen layer."""
        painting, layer = self.painting, self._layer
        ours = painting is not None and isinstance(painting.array, SparseArray)
        kind = painting.kind if ours else None if layer is None else self._kinds.get(layer.unique_id)
        self._form.kind.setVisible(layer is not None)
        if ours or self._form.kind.currentData() != kind:
            self._form.show_meaning(kind, fixed=ours)
        self._form.kind.setEnabled(not ours)
        self._form.show_map(layer is not None and not ours and kind in {"strokes", "classes"})
        self._show_classes()
        self._say_saved()
        self.changed.emit()

    def _show_classes(self) -> None:
        painting = self.painting
        if painting is not None and isinstance(painting.array, SparseArray):
            classes = painting.classes
        else:
            kind = None if self._layer is None else self._kinds.get(self._layer.unique_id)
            classes = self._classes(kind)
        self._form.classes.setVisible(bool(classes))
        self._form.classes.show_classes(classes, painting.painted if painting else {})

    def _show_saved(self, painting: Painting) -> None:
        if painting is self.painting:
            self._show_classes()
            self._say_saved()

    def _say_saved(self) -> None:
        painting, saved = self.painting, self._form.saved
        if painting is None:
            saved.say(_HOW_TO if self._layer is None else "What you paint on it is saved as you paint.")
        elif painting.error is not None:
            saved.say(str(painting.error), "error")
        elif painting.saved is None:
            saved.say("Paint a few strokes of each class; they are saved as you paint.")
        else:
            when = moment_words(painting.saved.when, datetime.now().astimezone())
            saved.say(f"{painted_words(painting.painted)}, saved {when}")
            saved.setToolTip(f"<p>{painting.folder}</p>")

    def _fail(self, error: Exception) -> None:
        known = isinstance(error, (TilesegError, OSError))
        self._form.message.say(
            str(error) if known else f"Unexpected {type(error).__name__}: {error}", "error"
        )
