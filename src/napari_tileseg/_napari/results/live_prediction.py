"""What a network in training predicts, as layers that can be switched to how it predicted before."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

from napari.components import ViewerModel
from napari.layers import Image as ImageLayer
from napari.layers import Layer

from napari_tileseg._napari.images.placement import Placement
from napari_tileseg._napari.results.depth_display import fit_to_display
from napari_tileseg._napari.results.finished_tiles import ClassTiles
from napari_tileseg._napari.results.layer_group import Curtain, Look, place_above
from napari_tileseg._napari.results.result_layers import MARK, at_once, class_options, is_ours, layer_name
from napari_tileseg._types import Array
from napari_tileseg.labels.sparse_array import SparseArray
from napari_tileseg.tiling import Box


class _Versions:
    """Two arrays, one of which is shown."""

    def __init__(self, before: SparseArray, now: SparseArray) -> None:
        self.before = before
        self.now = now
        self.array = now

    def __getitem__(self, box: Box) -> Array:
        return self.array[box.slices]


class LivePrediction:
    """One image layer for each class. What the user does to them stays.

    Parameters
    ----------
    viewer : ViewerModel
        Where to show them.
    later : callable, optional
        Runs what takes a window long enough to be felt, one piece after another; at once by default.
    kind : str, optional
        Words before the name of a class in that of its layer.
    """

    def __init__(
        self,
        viewer: ViewerModel,
        later: Callable[[Callable[[], None]], None] = at_once,
        kind: str = "live",
    ) -> None:
        self._kind = kind
        self._viewer = viewer
        self._later = later
        self._curtain: Curtain | None = None
        self._stored: Curtain | None = None
        self._former = Look(viewer, None)
        self._versions: _Versions | None = None
        self._title: str | None = None
        self._image: Layer | None = None

    @property
    def layers(self) -> list[Layer]:
        """Layers that are still in the viewer."""
        made = [] if self._curtain is None else self._curtain.layers
        return [layer for layer in made if layer in self._viewer.layers]

    def open(
        self,
        before: SparseArray,
        now: SparseArray,
        title: str,
        classes: tuple[str, ...],
        placement: Placement,
    ) -> None:
        """Show a prediction below the labels; replaces the one before.

        Stored predictions of it are hidden once there is something to show instead.

        Parameters
        ----------
        before, now : SparseArray
            ``(classes, *grid)``, NaN where nothing is predicted yet.
        title : str
            What is predicted.
        classes : tuple of str
            Names of the classes.
        placement : Placement
            Where the grid lies.
        """
        self.remove()
        self._versions = _Versions(before, now)
        self._title = title
        shown = (each for each in self._viewer.layers if each.name == title and not is_ours(each))
        self._image = next(shown, None)
        layers = [
            ImageLayer(
                ClassTiles(self._versions, number),
                **class_options(f"{title} {self._kind}", name, number)
                | {"name": layer_name(title, f"{self._kind} {name}")},
                **placement.as_layer(),
            )
            for number, name in enumerate(classes)
        ]
        self._curtain = Curtain(layers)
        self._former.give(self._curtain)
        self._former.give_sight(self._curtain)
        for layer in layers:
            self._later(partial(self._add, layer))
        self._later(self.refresh)

    def _add(self, layer: ImageLayer) -> None:
        """Add a layer, leaving the user's selection as it is."""
        if self._curtain is not None and layer in self._curtain.layers:
            selected = set(self._viewer.layers.selection)
            self._viewer.layers.insert(place_above(self._viewer, self._image, is_ours), layer)
            self._viewer.layers.selection = selected
            fit_to_display([layer], self._viewer.dims.ndisplay)

    def _hide_stored(self, title: str) -> None:
        """Hide stored predictions: two additive ones over each other cannot be read."""
        self._stored = Curtain(
            [
                layer
                for layer in self._viewer.layers
                if isinstance(layer, ImageLayer) and layer.visible and layer.metadata.get(MARK) == title
            ]
        )
        self._stored.show(False)

    def show(self, shown: bool) -> None:
        """Show the layers, or hide them and show those they replaced."""
        if self._curtain is not None:
            self._curtain.show(shown)
        if self._stored is not None:
            self._stored.show(not shown)
        if shown:
            self.refresh()

    def show_before(self, before: bool) -> None:
        """Show the prediction of the network as it was, or the newest."""
        if self._versions is not None:
            self._versions.array = self._versions.before if before else self._versions.now
            self.refresh()

    def refresh(self) -> None:
        """Draw again what has come."""
        shown = [layer for layer in self.layers if layer.visible]
        something = self._versions is not None and bool(self._versions.now.written)
        if self._title is not None and shown and something:
            self._hide_stored(self._title)
            self._title = None
        for layer in shown:
            layer.refresh(extent=False, highlight=False, thumbnail=False)

    def remove(self) -> None:
        """Take the layers out of the viewer, and show again those they replaced."""
        if self._curtain is not None:
            self._former = Look(self._viewer, self._curtain)
        for layer in self.layers:
            self._viewer.layers.remove(layer)
        if self._stored is not None:
            self._stored.show(True)
        self._curtain = self._stored = self._versions = self._title = None
