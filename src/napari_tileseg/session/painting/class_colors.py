"""Values, names and colours of the classes that are painted."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from napari_tileseg.labels import BACKGROUND, value_meanings
from napari_tileseg.session.painting.record import StrokeClass
from napari_tileseg.settings import LabelSettings

#: Far from the colour in which each class's probabilities are shown (magenta, cyan, yellow, green, orange,
#: blue), at any brightness: lime, vermilion, violet, pink, teal, sand.
_COLORS = ((150, 255, 40), (255, 70, 20), (140, 90, 255), (255, 130, 190), (0, 170, 150), (255, 215, 160))
_BACKGROUND = (190, 190, 190)


def stroke_classes(classes: Sequence[str], meaning: LabelSettings | None = None) -> tuple[StrokeClass, ...]:
    """Return the classes of labels for a network, in the order of their values.

    Parameters
    ----------
    classes : sequence of str
        The network's.
    meaning : LabelSettings, optional
        What the values mean; those of new strokes by default.

    Raises
    ------
    SettingsError
        If the map names what is no class, or gives a value twice.
    """
    meaning = meaning or LabelSettings(labels_kind="strokes")
    if meaning.labels_kind == "instances":
        return ()
    return _colored(value_meanings(classes, meaning), classes)


def _colored(meanings: Mapping[int, str], classes: Sequence[str]) -> tuple[StrokeClass, ...]:
    colors = {name: _COLORS[number % len(_COLORS)] for number, name in enumerate(classes)}
    colors[BACKGROUND] = _BACKGROUND
    return tuple(
        StrokeClass(value=value, name=name, color=colors[name]) for value, name in sorted(meanings.items())
    )
