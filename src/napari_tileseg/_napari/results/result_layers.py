"""A prediction as layers of a viewer, while it is made and afterwards."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import partial
from itertools import product
from typing import TYPE_CHECKING, Any

import numpy as np
from napari.components import ViewerModel
from napari.layers import Image as ImageLayer
from napari.layers import Labels, Layer

from napari_tileseg._napari.images.placement import Placement
from napari_tileseg._napari.results.depth_display import ATTENUATION, BLENDING, RENDERING, fit_to_display
from napari_tileseg._napari.results.finished_tiles import ClassTiles, FinishedChunks, LabelledTiles
from napari_tileseg._napari.results.layer_group import Curtain, Look, place_above
from napari_tileseg._types import Array
from napari_tileseg.nets.spec import Activation
from napari_tileseg.tiling import Box

if TYPE_CHECKING:
    from napari_tileseg.prediction import PredictionStore

#: Mark of our layers in their metadata, so that they are not offered as images to predict.
MARK = "napari_tileseg"
_COLORMAPS = ("magenta", "cyan", "yellow", "green", "bop orange", "bop blue")


def layer_name(title: str, what: str, network: str = "") -> str:
    """Return the name of a layer of a prediction: what it shows, what was predicted, and by which network.

    napari cuts the middle out of a long name: what tells the layers of an image apart comes first or last.
    """
    return f"{what} of {title} ({network})" if network else f"{what} of {title}"


def network_title(name: str, provenance: Mapping[str, Any]) -> str:
    """Return what a network is called in names of layers, with what fixed statistics are of."""
    whose = {"whole": "the whole image", "sample": "a sample", "region": "a region", "result": "a result"}
    of = whose.get(provenance["settings"].get("statistics", "")) if "statistics" in provenance else None
    return name if of is None else f"{name}; statistics of {of}"


def is_ours(layer: Layer) -> bool:
    """Return whether a layer shows something computed, which is not offered as an image to predict."""
    return MARK in layer.metadata


def class_options(title: str, name: str, index: int, network: str = "") -> dict[str, Any]:
    """Return keyword arguments of the image layer that shows a class.

    Parameters
    ----------
    title : str
        What was predicted.
    name : str
        The class.
    index : int
        Its index among the classes, which gives it a colour.
    network : str, optional
        What the network is called.
    """
    return {
        "name": layer_name(title, name, network),
        "colormap": _COLORMAPS[index % len(_COLORMAPS)],
        "contrast_limits": (0.0, 1.0),
        "blending": BLENDING[2],
        "rendering": RENDERING,
        "attenuation": ATTENUATION,
        "visible": name != "background",
        "metadata": {MARK: title},
    }


def at_once(call: Callable[[], None]) -> None:
    """Run `call` here and now, where no window waits."""
    call()


class ResultLayers:
    """Layers of one prediction. What the user does to them stays: none is made twice.

    Parameters
    ----------
    viewer : ViewerModel
        Where to show them.
    network : str
        What the network is called.
    store : PredictionStore
        Where it is written.
    placement : Placement
        Where the voxels of the store lie.
    activation : {"none", "sigmoid", "softmax"}
        The network's, which defines how probabilities become labels.
    later : callable, optional
        Runs what takes a window long enough to be felt, one piece after another; at once by default.
    image : Layer, optional
        The layer that was predicted, above which they go.
    """

    def __init__(
        self,
        viewer: ViewerModel,
        network: str,
        store: PredictionStore,
        placement: Placement,
        activation: Activation,
        later: Callable[[Callable[[], None]], None] = at_once,
        image: Layer | None = None,
    ) -> None:
        self.viewer = viewer
        self.network = network
        self.title = store.image.name
        self.placement = placement
        self.classes = store.classes
        self.activation = activation
        done = store.done()
        written = (self._of_all_classes(store.grid.placed(t)) for t in store.grid if t.index in done)
        self.cache = FinishedChunks(store.view(), written=written)
        #: Whether it is in front: what is chosen to be shown concerns it.
        self.in_front = True
        self._probabilities: Curtain | None = None
        self._labels: Curtain | None = None
        self._former_looks: tuple[Look | None, ...] = (None, None)
        self._later = later
        self._below = image
        self._waiting: list[Layer] = []
        self._fresh: list[Box] = []

    @property
    def layers(self) -> list[Layer]:
        """Layers that are still in the viewer."""
        return [layer for layer in self._made() if layer in self.viewer.layers]

    @property
    def wanted(self) -> list[Layer]:
        """Layers that are in the viewer, or will be when it is their turn."""
        return [*self.layers, *self._waiting]

    @property
    def removed_by_user(self) -> bool:
        """Whether there were layers, and none is left."""
        return bool(self._made()) and not self.wanted

    def _made(self) -> list[Layer]:
        return [
            layer for curtain in (self._probabilities, self._labels) if curtain for layer in curtain.layers
        ]

    def show_probabilities(self, shown: bool) -> None:
        """Add one image layer for each class the first time, later show or hide those that are there."""
        if self._probabilities is not None:
            self._probabilities.show(shown)
        elif shown:
            layers = [self._image(index) for index in range(len(self.classes))]
            self._probabilities = self._dressed(Curtain(layers), self._former_looks[0])
            self._add(layers)

    def show_labels(self, shown: bool) -> None:
        """Add a labels layer the first time, later show or hide it if it is there."""
        if self._labels is not None:
            self._labels.show(shown)
        elif shown:
            data = LabelledTiles(self.cache, self._decide)
            name = layer_name(self.title, "labels", self.network)
            layer = Labels(data, name=name, metadata={MARK: self.title}, **self.placement.as_layer())
            self._labels = self._dressed(Curtain([layer]), self._former_looks[1])
            self._add([layer])

    def take_over(self, former: ResultLayers) -> None:
        """Go in front of another prediction, which is hidden; layers yet to be made look like its layers."""
        self.in_front = True
        former.step_back()
        if former.classes == self.classes:
            curtains = (former._probabilities, former._labels)
            self._former_looks = tuple(Look(self.viewer, curtain) for curtain in curtains)

    def step_back(self) -> None:
        """Hide, because another prediction of the same region is shown; what is chosen concerns that one."""
        self.in_front = False
        for curtain in (self._probabilities, self._labels):
            if curtain is not None:
                curtain.show(False)

    def overlaps(self, other: ResultLayers) -> bool:
        """Return whether both would be seen in one region."""
        low, high = self._extent()
        other_low, other_high = other._extent()
        shared = min(len(low), len(other_low))
        return bool(
            np.all(low[-shared:] < other_high[-shared:]) and np.all(other_low[-shared:] < high[-shared:])
        )

    def _extent(self) -> tuple[Array, Array]:
        """Return lowest and highest world coordinates of the corners."""
        shape = self.cache.array.shape[1:]
        ends = np.array(list(product(*((-0.5, n - 0.5) for n in shape))))
        corners = (self.placement.to_world @ np.c_[ends, np.ones(len(ends))].T)[:-1]
        return corners.min(axis=1), corners.max(axis=1)

    def _image(self, index: int) -> ImageLayer:
        options = class_options(self.title, self.classes[index], index, self.network)
        return ImageLayer(ClassTiles(self.cache, index), **options, **self.placement.as_layer())

    @staticmethod
    def _dressed(curtain: Curtain, former: Look | None) -> Curtain:
        if former is not None:
            former.give(curtain)
            former.give_sight(curtain)
        return curtain

    def _add(self, layers: Sequence[Layer]) -> None:
        self._waiting.extend(layers)
        for layer in layers:
            self._later(partial(self._add_one, layer))

    def _add_one(self, layer: Layer) -> None:
        """Add a layer below what is drawn on the image, leaving the user's selection as it is."""
        if layer not in self._waiting:
            return
        self._waiting.remove(layer)
        selected = set(self.viewer.layers.selection)
        self.viewer.layers.insert(place_above(self.viewer, self._below, is_ours), layer)
        if selected:
            self.viewer.layers.selection = selected
        fit_to_display([layer], self.viewer.dims.ndisplay)

    def _decide(self, probabilities: Array) -> Array:
        from napari_tileseg.prediction import labels

        return labels(probabilities, self.activation)

    def _of_all_classes(self, box: Box) -> Box:
        return Box((0, *box.start), (len(self.classes), *box.stop))

    def tile_written(self, box: Box) -> None:
        """Record that the voxels of a tile are there; called in the prediction's thread.

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
        """Draw again if a tile in view has come since the last time; return whether one has."""
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
        """Read from the same store at another path."""
        self.cache.array = store.view()

    def remove(self) -> None:
        """Take the layers out of the viewer."""
        self._waiting.clear()
        for layer in self.layers:
            self.viewer.layers.remove(layer)
