"""Layers that are shown and hidden together, while the user does with each of them as they like."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from contextlib import suppress

from napari.components import ViewerModel
from napari.layers import Image as ImageLayer
from napari.layers import Labels, Layer

#: What a user changes about a layer, and expects of the layer that replaces it.
_LOOK = ("opacity", "blending", "gamma", "colormap", "rendering", "interpolation3d")


class Curtain:
    """Hides layers together, and shows again those that were visible.

    Parameters
    ----------
    layers : sequence of Layer
        All that there are; those that are visible now are shown after the curtain was down at first.
    """

    def __init__(self, layers: Sequence[Layer]) -> None:
        self.layers = list(layers)
        self.shown = True
        self._visible = [layer for layer in self.layers if layer.visible]

    def show(self, shown: bool) -> None:
        """Show or hide; does nothing where that is how it is, whatever the user has done to single layers."""
        if shown == self.shown:
            return
        if not shown:
            # Where the user has hidden all of them, showing brings back those that were visible before.
            self._visible = self.seen() or self._visible
        self.shown = shown
        for layer in self._visible:
            layer.visible = shown

    def seen(self) -> list[Layer]:
        """Return the layers that are visible, or would be if they were not hidden together."""
        return [layer for layer in self.layers if layer.visible] if self.shown else list(self._visible)

    def set_seen(self, layers: Iterable[Layer]) -> None:
        """Choose which layers are visible while they are shown."""
        self._visible = list(layers)
        for layer in self.layers:
            layer.visible = self.shown and layer in self._visible


class Look:
    """How the user made layers look, for those that replace them.

    Parameters
    ----------
    viewer : ViewerModel
        Where the layers are, or are not any more.
    curtain : Curtain, optional
        The layers; none where there were none before.
    """

    def __init__(self, viewer: ViewerModel, curtain: Curtain | None) -> None:
        layers = [] if curtain is None else curtain.layers
        self._former = [layer if layer in viewer.layers else None for layer in layers]
        self._seen = [] if curtain is None else curtain.seen()

    def give(self, curtain: Curtain, *, with_limits: bool = True) -> None:
        """Make new layers look like the former ones, one by one.

        Parameters
        ----------
        curtain : Curtain
            New layers. Where they are not as many as the former, or all of those were removed, they stay as
            they are.
        with_limits : bool, optional
            Whether they show the same range of values, too.
        """
        if len(curtain.layers) != len(self._former) or not any(self._former):
            return
        for layer, old in zip(curtain.layers, self._former, strict=True):
            for name in (*_LOOK, *(("contrast_limits",) if with_limits else ())):
                # Labels have no limits, and a user's own colormap may be of a kind that others do not take.
                with suppress(ValueError, KeyError, AttributeError):
                    setattr(layer, name, getattr(old, name))

    def give_sight(self, curtain: Curtain) -> None:
        """Make new layers visible where the former ones are; those that were removed stay hidden."""
        if len(curtain.layers) == len(self._former) and any(self._former):
            pairs = zip(curtain.layers, self._former, strict=True)
            curtain.set_seen([layer for layer, old in pairs if old in self._seen])


def place_above(viewer: ViewerModel, layer: Layer | None, ours: Callable[[Layer], bool]) -> int:
    """Return where a layer over an image goes: above all images, below what is drawn on that image.

    Parameters
    ----------
    viewer : ViewerModel
        Whose list it is.
    layer : Layer, optional
        The one that shows the image; None where none does.
    ours : callable
        Tells our own results, which do not count as drawn on the image.

    Returns
    -------
    int
        Index in the viewer's list.
    """
    listed = list(viewer.layers)
    if layer not in listed:
        layer = next((each for each in reversed(listed) if isinstance(each, ImageLayer)), None)
    first = 0 if layer is None else listed.index(layer) + 1
    for number, other in enumerate(listed[first:], start=first):
        if not isinstance(other, ImageLayer) and not (isinstance(other, Labels) and ours(other)):
            return number
    return len(listed)
