"""A prediction as layers of a viewer, while it is made and afterwards."""

from __future__ import annotations

from collections.abc import Sequence
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
    """

    def __init__(
        self,
        viewer: ViewerModel,
        name: str,
        store: PredictionStore,
        placement: Placement,
        activation: Activation,
    ) -> None:
        self.viewer = viewer
        self.name = name
        self.title = store.image.name
        self.placement = placement
        self.classes = store.classes
        self.activation = activation
        self.cache = ChunkCache(store.view())
        self.probabilities: list[ImageLayer] = []
        self.labels: list[Labels] = []
        self._fresh: list[Box] = []

    @property
    def layers(self) -> list[Layer]:
        """Layers that are still in the viewer."""
        return [layer for layer in (*self.probabilities, *self.labels) if layer in self.viewer.layers]

    def show_probabilities(self, shown: bool) -> None:
        """Add one image layer for each class, or hide them."""
        present = [layer for layer in self.probabilities if layer in self.viewer.layers]
        if shown and not present:
            self.probabilities = [self._image(index) for index in range(len(self.classes))]
            self._add(self.probabilities)
        for layer in present:
            layer.visible = shown

    def show_labels(self, shown: bool) -> None:
        """Add a labels layer, or hide it."""
        present = [layer for layer in self.labels if layer in self.viewer.layers]
        if shown and not present:
            data = LabelledTiles(self.cache, self._decide)
            self.labels = [
                Labels(
                    data,
                    name=f"{self.title} labels",
                    metadata={MARK: self.title},
                    **self.placement.as_layer(),
                )
            ]
            self._add(self.labels)
        for layer in present:
            layer.visible = shown

    def _image(self, index: int) -> ImageLayer:
        options = class_options(self.title, self.classes[index], index)
        return ImageLayer(ClassTiles(self.cache, index), **options, **self.placement.as_layer())

    def _add(self, layers: Sequence[Layer]) -> None:
        """Add layers on top, leaving the user's selection as it is."""
        selected = set(self.viewer.layers.selection)
        for layer in layers:
            self.viewer.add_layer(layer)
        if selected:
            self.viewer.layers.selection = selected

    def _decide(self, probabilities: Array) -> Array:
        from napari_tileseg.predict import labels

        return labels(probabilities, self.activation)

    def tile_written(self, box: Box) -> None:
        """Have the voxels of a tile at hand; called in the prediction's thread.

        Parameters
        ----------
        box : Box
            Voxels of the store.
        """
        self.cache.refresh(Box((0, *box.start), (len(self.classes), *box.stop)))
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
            layer.refresh(extent=False, highlight=False)

    def moved_to(self, store: PredictionStore) -> None:
        """Read from the same store at another place."""
        self.cache.array = store.view()

    def remove(self) -> None:
        """Take the layers out of the viewer."""
        for layer in self.layers:
            self.viewer.layers.remove(layer)
