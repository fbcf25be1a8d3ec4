"""What the user says that labels layers hold, layer by layer."""

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
    """Keeps what is said of each labels layer that was made elsewhere, and shows it in the form.

    Parameters
    ----------
    session : Session
        Whose network has the classes.
    form : FinetuneForm
        Where it is said.
    """

    def __init__(self, session: Session, form: FinetuneForm) -> None:
        self._session = session
        self._form = form
        self._said: dict[object, LabelSettings] = {}
        self._shown: tuple[object, bool] | None = None

    def said_of(self, layer: Labels) -> LabelSettings:
        """Return what the user has said of a layer so far."""
        return self._said.get(layer.unique_id, LabelSettings())

    def take(self, layer: Labels) -> None:
        """Take what the form says now of a layer."""
        try:
            said = self._form.meaning()
        except SettingsError:
            # Half a map is complained about when training starts.
            said = LabelSettings(labels_kind=self._form.kind.currentData())
        self._said[layer.unique_id] = said

    def recall(self, layer: Labels, painting: Painting) -> None:
        """Take of a layer what was said of labels that it holds or copies."""
        kind = painting.kind
        pairs = tuple((each.value, each.name) for each in painting.classes if each.value)
        usual = painting.classes == self._classes(LabelSettings(labels_kind=kind))
        self._said[layer.unique_id] = LabelSettings(labels_kind=kind, map=None if usual else pairs or None)

    def classes(self, layer: Labels) -> tuple[StrokeClass, ...]:
        """Classes of a layer's values, by what was said; none where that is not enough to tell."""
        return self._classes(self.said_of(layer))

    def _classes(self, said: LabelSettings) -> tuple[StrokeClass, ...]:
        network = self._session.network
        names = tuple(name for _, name in said.map or ()) if network is None else network.spec.classes
        if said.labels_kind is None or not names:
            return ()
        try:
            return stroke_classes(names, said)
        except SettingsError:
            return ()  # complained about when training starts

    def show(self, layer: Labels | None, painting: Painting | None) -> None:
        """Show in the form what the chosen layer holds; what is being typed of the same layer stays."""
        fixed = painting is not None and painting.fixed
        said = LabelSettings() if layer is None else self.said_of(layer)
        kind = painting.kind if painting is not None and fixed else said.labels_kind
        self._form.kind.setVisible(layer is not None)
        shown = (None if layer is None else layer.unique_id, fixed)
        if shown != self._shown or self._form.kind.currentData() != kind:
            self._shown = shown
            text = "" if said.map is None else _MAP.format(said.map)
            self._form.show_meaning(kind, fixed=fixed, text=text)
