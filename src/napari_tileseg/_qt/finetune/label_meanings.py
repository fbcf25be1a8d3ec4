"""What labels layers hold according to the user, layer by layer."""

from __future__ import annotations

from napari.layers import Labels

from napari_tileseg._qt.finetune.form import FinetuneForm
from napari_tileseg.errors import SettingsError
from napari_tileseg.session import Session
from napari_tileseg.session.painting.class_colors import stroke_classes
from napari_tileseg.session.painting.painting import Painting
from napari_tileseg.session.painting.record import StrokeClass
from napari_tileseg.settings import LabelSettings, knobs

_MAP = next(each for each in knobs(LabelSettings) if each.name == "map")


class LabelMeanings:
    """Holds the meaning of each labels layer that was made elsewhere, and shows it in the form.

    Parameters
    ----------
    session : Session
        Whose network has the classes.
    form : FinetuneForm
        Where it is entered.
    """

    def __init__(self, session: Session, form: FinetuneForm) -> None:
        self._session = session
        self._form = form
        self._meanings: dict[object, LabelSettings] = {}
        self._shown: tuple[object, bool] | None = None

    def meaning_of(self, layer: Labels) -> LabelSettings:
        """Return what the user has entered for a layer so far."""
        return self._meanings.get(layer.unique_id, LabelSettings())

    def take(self, layer: Labels) -> None:
        """Take what the form shows now for a layer."""
        try:
            meaning = self._form.meaning()
        except SettingsError:
            # Half a map is complained about when training starts.
            meaning = LabelSettings(labels_kind=self._form.kind.currentData())
        self._meanings[layer.unique_id] = meaning

    def adopt(self, layer: Labels, painting: Painting) -> None:
        """Take for a layer the meaning of the labels that it holds or copies."""
        kind = painting.kind
        pairs = tuple((each.value, each.name) for each in painting.classes if each.value)
        usual = painting.classes == self._classes(LabelSettings(labels_kind=kind))
        self._meanings[layer.unique_id] = LabelSettings(
            labels_kind=kind, map=None if usual else pairs or None
        )

    def classes(self, layer: Labels) -> tuple[StrokeClass, ...]:
        """Return the classes of a layer's values, by its meaning; none where that does not define them."""
        return self._classes(self.meaning_of(layer))

    def _classes(self, meaning: LabelSettings) -> tuple[StrokeClass, ...]:
        network = self._session.network
        names = tuple(name for _, name in meaning.map or ()) if network is None else network.spec.classes
        if meaning.labels_kind is None or not names:
            return ()
        try:
            return stroke_classes(names, meaning)
        except SettingsError:
            return ()  # complained about when training starts

    def show(self, layer: Labels | None, painting: Painting | None) -> None:
        """Show in the form what the chosen layer holds; what is being typed of the same layer stays."""
        fixed = painting is not None and painting.fixed
        meaning = LabelSettings() if layer is None else self.meaning_of(layer)
        kind = painting.kind if painting is not None and fixed else meaning.labels_kind
        self._form.kind.setVisible(layer is not None)
        shown = (None if layer is None else layer.unique_id, fixed)
        if shown != self._shown or self._form.kind.currentData() != kind:
            self._shown = shown
            text = "" if meaning.map is None else _MAP.format(meaning.map)
            self._form.show_meaning(kind, fixed=fixed, text=text)
