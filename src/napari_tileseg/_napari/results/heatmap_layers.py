"""The differences between tiles as layers over the image."""

from __future__ import annotations

from pathlib import Path

import zarr
from napari.components import ViewerModel
from napari.layers import Image as ImageLayer
from napari.layers import Layer

from napari_tileseg._napari.images.placement import Placement
from napari_tileseg._napari.results.finished_tiles import ClassTiles, FinishedChunks
from napari_tileseg._napari.results.layer_group import Curtain, Look
from napari_tileseg._napari.results.result_layers import MARK, layer_name
from napari_tileseg.diagnosis.report.style import COLORMAP

#: Least difference that is shown at full brightness, so that rounding does not glow.
_LEAST_LIMIT = 0.05


class HeatmapLayers:
    """One image layer for each class. What the user does to them stays.

    Parameters
    ----------
    viewer : ViewerModel
        Where to show them.
    """

    def __init__(self, viewer: ViewerModel) -> None:
        self._viewer = viewer
        self._path: Path | None = None
        self._classes: tuple[str, ...] = ()
        self._curtain: Curtain | None = None
        self._shown, self._class = True, ""

    @property
    def layers(self) -> list[Layer]:
        """Layers that are still in the viewer."""
        made = [] if self._curtain is None else self._curtain.layers
        return [layer for layer in made if layer in self._viewer.layers]

    def open(
        self,
        path: Path,
        title: str,
        classes: tuple[str, ...],
        placement: Placement,
        *,
        largest: float,
        first: str,
    ) -> None:
        """Show the differences in a store; replaces those before, and does nothing if it is this store.

        Parameters
        ----------
        path : Path
            Zarr array ``(classes, *grid)``.
        title : str
            What was diagnosed.
        classes : tuple of str
            Names of the classes.
        placement : Placement
            Where the voxels of the array lie.
        largest : float
            Largest difference, which gets the brightest colour.
        first : str
            The class that is visible; the others wait.
        """
        if path == self._path and self.layers:
            return
        look = Look(self._viewer, self._curtain)
        self.remove()
        self._path, self._classes, self._class = path, classes, first
        cache = FinishedChunks(zarr.open_array(str(path), mode="r"))
        limits = (0.0, max(largest, _LEAST_LIMIT))
        self._curtain = Curtain(
            [
                ImageLayer(
                    ClassTiles(cache, number),
                    name=layer_name(title, f"{name} mismatch"),
                    colormap=COLORMAP,
                    contrast_limits=limits,
                    blending="additive",
                    visible=name == first,
                    metadata={MARK: title},
                    **placement.as_layer(),
                )
                for number, name in enumerate(classes)
            ]
        )
        look.give(self._curtain, with_limits=False)
        self._curtain.show(self._shown)
        self._add()

    def _add(self) -> None:
        assert self._curtain is not None
        selected = set(self._viewer.layers.selection)
        for layer in self._curtain.layers:
            self._viewer.add_layer(layer)
        self._viewer.layers.selection = selected & set(self._viewer.layers)

    def show(self, shown: bool, class_name: str = "") -> None:
        """Show the layer of one class, or hide all; a class that is shown already is left as it is."""
        if self._curtain is None:
            self._shown = shown
            return
        if class_name and class_name != self._class:
            self._class = class_name
            names = zip(self._curtain.layers, self._classes, strict=True)
            self._curtain.set_seen([layer for layer, name in names if name == class_name])
        self._shown = shown
        self._curtain.show(shown)

    def remove(self) -> None:
        """Take the layers out of the viewer."""
        for layer in self.layers:
            self._viewer.layers.remove(layer)
        self._curtain = self._path = None
