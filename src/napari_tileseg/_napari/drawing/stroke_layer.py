"""Labels layers to paint on, and following what is painted on those that somebody else made."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from itertools import chain
from typing import Any

import numpy as np
from napari.components import ViewerModel
from napari.layers import Labels
from napari.utils.colormaps import DirectLabelColormap

from napari_tileseg._napari.images.placement import Placement
from napari_tileseg._types import ImageSource
from napari_tileseg.session.painting.record import StrokeClass
from napari_tileseg.tiling import Box

#: Voxels of the brush: small enough to stay inside a cell.
BRUSH = 3
_UNKNOWN = (1.0, 1.0, 1.0, 1.0)


def class_colors(classes: Sequence[StrokeClass]) -> DirectLabelColormap:
    """Return the colours of the values that have a meaning; white for the others."""
    colors: dict[int | None, Any] = {None: _UNKNOWN}
    for each in classes:
        colors[each.value] = (*(part / 255 for part in each.color), 1.0)
    # One sees the image where nothing is painted, even if that means background.
    colors[0] = (0.0, 0.0, 0.0, 0.0)
    return DirectLabelColormap(color_dict=colors)


def class_features(classes: Sequence[StrokeClass]) -> dict[str, list[Any]]:
    """Return the table from which napari shows, in its status bar, the class under the cursor."""
    names = {0: "not labelled", **{each.value: each.name for each in classes}}
    return {"index": list(names), "class": list(names.values())}


def add_stroke_layer(
    viewer: ViewerModel,
    array: ImageSource,
    classes: Sequence[StrokeClass],
    placement: Placement,
    name: str,
) -> Labels:
    """Show labels on top of a viewer's layers, selected and ready to paint the first class.

    Parameters
    ----------
    viewer : ViewerModel
        Where to show them.
    array : ImageSource
        The labels, over the grid axes of an image.
    classes : sequence of StrokeClass
        What their values mean.
    placement : Placement
        Where the grid lies.
    name : str
        What to call the layer.
    """
    layer = Labels(
        array,
        name=name,
        # Objects have numbers and no classes: napari's own colours.
        colormap=class_colors(classes) if classes else None,
        features=class_features(classes),
        opacity=0.8,
        **placement.as_layer(),
    )
    viewer.add_layer(layer)
    viewer.layers.selection = {layer}
    layer.brush_size = BRUSH
    layer.selected_label = min((each.value for each in classes if each.value), default=1)
    layer.mode = "paint"
    return layer


class PaintWatch:
    """Reports which voxels of a layer are painted, where its data cannot report them.

    Parameters
    ----------
    layer : Labels
        The layer.
    painted : callable
        Takes a box that was painted in, or where painting was undone or redone.
    maybe_changed : callable
        Called when something else may have changed what was painted, such as another plugin, which
        reports no box.
    replaced : callable
        Called when the layer has other data.
    """

    def __init__(
        self,
        layer: Labels,
        painted: Callable[[Box], None],
        maybe_changed: Callable[[], None],
        replaced: Callable[[], None],
    ) -> None:
        self._layer = layer
        self._painted = painted
        self._maybe_changed = maybe_changed
        self._replaced = replaced
        self._data = layer.data
        self._undone = len(layer._redo_history)
        self._slice = layer._slice_input
        layer.events.paint.connect(self._on_paint)
        layer.events.set_data.connect(self._on_set_data)

    def close(self) -> None:
        """Follow the layer no more."""
        self._layer.events.paint.disconnect(self._on_paint)
        self._layer.events.set_data.disconnect(self._on_set_data)

    def _on_paint(self, event: Any) -> None:
        self._report([event.value])
        self._undone = len(self._layer._redo_history)

    def _on_set_data(self, event: object) -> None:
        """Find out why the layer is shown anew: napari reports neither undoing nor another slice as such."""
        del event
        layer, was = self._layer, (self._undone, self._slice)
        self._undone, self._slice = len(layer._redo_history), layer._slice_input
        if layer.data is not self._data:
            self._data = layer.data
            self._replaced()
        elif self._undone > was[0]:
            self._report(list(layer._redo_history)[was[0] - self._undone :])
        elif self._undone < was[0]:
            self._report(list(layer._undo_history)[self._undone - was[0] :])
        elif self._slice == was[1]:
            self._maybe_changed()

    def _report(self, items: list[Any]) -> None:
        """Report the boxes of entries of the layer's history."""
        for atom in chain.from_iterable(items):
            self._painted(_box_of(atom, self._layer.data.shape))


def _box_of(atom: Any, shape: tuple[int, ...]) -> Box:
    """Return the voxels of an entry of a layer's history: a box with a mask, or arrays of indices."""
    if hasattr(atom, "slice_key"):
        ranges = [part.indices(n) for part, n in zip(atom.slice_key, shape, strict=True)]
        return Box(tuple(int(r[0]) for r in ranges), tuple(int(r[1]) for r in ranges))
    indices = [np.atleast_1d(np.asarray(axis)) for axis in atom[0]]
    return Box(tuple(int(i.min()) for i in indices), tuple(int(i.max()) + 1 for i in indices))
