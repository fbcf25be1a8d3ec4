"""A prediction as layers of a viewer, while it is made and afterwards."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from functools import partial
from typing import TYPE_CHECKING, Any

from napari.components import ViewerModel
from napari.layers import Image as ImageLayer
from napari.layers import Labels, Layer

from napari_tileseg._napari.finished import ChunkCache, ClassTiles, LabelledTiles
from napari_tileseg._napari.placement import Placement
from napari_tileseg._types import Array
from napari_tileseg.nets.spec import Activation
from napari_tileseg.tiling import Box

if TYPE_CHECKING:
    from napari_tileseg.predict import PredictionStore

#: Mark of our layers in their metadata, so that they are not offered as images to predict.
MARK = "napari_tileseg"
_COLORMAPS = ("magenta", "cyan", "yellow", "green", "bop orange", "bop blue")


def class_options(title: str, name: str, index: int) -> dict[str, Any]:
    """Keyword arguments of the image layer that shows a class.

    Parameters
    ----------
    title : str
        What was predicted.
    name : str
        The class.
    index : int
        Its place among the classes, which gives it a colour.
    """
    return {
        "name": f"{title} {name}",
        "colormap": _COLORMAPS[index % len(_COLORMAPS)],
        "contrast_limits": (0.0, 1.0),
        "blending": "additive",
        "visible": name != "background",
        "metadata": {MARK: title},
    }


def at_once(call: Callable[[], None]) -> None:
    """Run `call` here and now, where no window waits."""
    call()


class ResultLayers:
    """Layers of one prediction. They may be renamed or deleted by the user at any time.

    Parameters
    ----------
    viewer : ViewerModel
        Where to show them.
    name : str
        What the prediction is called.
    store : PredictionStore
        Where it is written.
    placement : Placement
        Where the voxels of the store lie.
    activation : {"none", "sigmoid", "softmax"}
        The network's, which says how probabilities become labels.
    later : callable, optional
        Runs what takes a window long enough to be felt, one piece after another; at once by default.
    """

    def __init__(
        self,
        viewer: ViewerModel,
        name: str,
        store: PredictionStore,
        placement: Placement,
        activation: Activation,
        later: Callable[[Callable[[], None]], None] = at_once,
    ) -> None:
        self.viewer = viewer
        self.name = name
        self.title = store.image.name
        self.placement = placement
        self.classes = store.classes
        self.activation = activation
        done = store.done()
        written = (self._of_all_classes(store.grid.placed(t)) for t in store.grid if t.index in done)
        self.cache = ChunkCache(store.view(), written=written)
        self.probabilities: list[ImageLayer] = []
        self.labels: list[Labels] = []
        self._later = later
        self._waiting: list[Layer] = []
        self._fresh: list[Box] = []

    @property
    def layers(self) -> list[Layer]:
        """Layers that are still in the viewer."""
        return [layer for layer in (*self.probabilities, *self.labels) if layer in self.viewer.layers]

    @property
    def wanted(self) -> list[Layer]:
        """Layers that are in the viewer, or will be when it is their turn."""
        return [*self.layers, *self._waiting]

    def show_probabilities(self, shown: bool) -> None:
        """Add one image layer for each class, or hide them."""
        present = [layer for layer in self.probabilities if layer in self.wanted]
        if shown and not present:
            self.probabilities = [self._image(index) for index in range(len(self.classes))]
            self._add(self.probabilities)
        for layer in present:
            layer.visible = shown

    def show_labels(self, shown: bool) -> None:
        """Add a labels layer, or hide it."""
        present = [layer for layer in self.labels if layer in self.wanted]
        if shown and not present:
            data = LabelledTiles(self.cache, self._decide)
            options = {"name": f"{self.title} labels", "metadata": {MARK: self.title}}
            self.labels = [Labels(data, **options, **self.placement.as_layer())]
            self._add(self.labels)
        for layer in present:
            layer.visible = shown

    def _image(self, index: int) -> ImageLayer:
        options = class_options(self.title, self.classes[index], index)
        return ImageLayer(ClassTiles(self.cache, index), **options, **self.placement.as_layer())

    def _add(self, layers: Sequence[Layer]) -> None:
        self._waiting.extend(layers)
        for layer in layers:
            self._later(partial(self._add_one, layer))

    def _add_one(self, layer: Layer) -> None:
        """Add a layer on top, leaving the user's selection as it is."""
        if layer not in self._waiting:
            return
        self._waiting.remove(layer)
        selected = set(self.viewer.layers.selection)
        self.viewer.add_layer(layer)
        if selected:
            self.viewer.layers.selection = selected

    def _decide(self, probabilities: Array) -> Array:
        from napari_tileseg.predict import labels

        return labels(probabilities, self.activation)

    def _of_all_classes(self, box: Box) -> Box:
        return Box((0, *box.start), (len(self.classes), *box.stop))

    def tile_written(self, box: Box) -> None:
        """Have the voxels of a tile at hand; called in the prediction's thread.

        Parameters
        ----------
        box : Box
            Voxels of the store.
        """
        self.cache.refresh(self._of_all_classes(box))
        self._fresh.append(box)

    def tiles_written(self, boxes: Iterable[Box]) -> None:
        """Show tiles that were written before these layers were there."""
        for box in boxes:
            self.cache.mark_written(self._of_all_classes(box))
            self._fresh.append(box)

    def refresh(self, in_view: Box) -> bool:
        """Draw again if a tile in view has come since the last time; tell whether one has."""
        fresh, self._fresh = self._fresh, []
        changed = any(box.meets(in_view) for box in fresh)
        for layer in self.layers if changed else ():
            if layer.visible:
                layer.refresh(extent=False, highlight=False, thumbnail=False)
        return changed

    def finish(self) -> None:
        """Draw all, thumbnails included, because no tile will come any more."""
        self._fresh = []
        for layer in self.layers:
            self._later(partial(layer.refresh, extent=False, highlight=False))

    def moved_to(self, store: PredictionStore) -> None:
        """Read from the same store at another place."""
        self.cache.array = store.view()

    def remove(self) -> None:
        """Take the layers out of the viewer."""
        self._waiting.clear()
        for layer in self.layers:
            self.viewer.layers.remove(layer)
