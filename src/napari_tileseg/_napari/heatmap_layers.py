"""The differences between tiles as layers over the image."""

from __future__ import annotations

from pathlib import Path

import zarr
from napari.components import ViewerModel
from napari.layers import Image as ImageLayer

from napari_tileseg._napari.finished import ChunkCache, ClassTiles
from napari_tileseg._napari.placement import Placement
from napari_tileseg._napari.results import MARK

#: Goes from black to light yellow with even steps of lightness, and adds nothing where tiles agree.
COLORMAP = "inferno"
#: Least difference that is shown at full brightness, so that rounding does not glow.
_LEAST_LIMIT = 0.05


class HeatmapLayers:
    """One image layer for each class. They may be renamed or deleted by the user at any time.

    Parameters
    ----------
    viewer : ViewerModel
        Where to show them.
    """

    def __init__(self, viewer: ViewerModel) -> None:
        self._viewer = viewer
        self._layers: dict[str, ImageLayer] = {}
        self._shown = True

    @property
    def layers(self) -> list[ImageLayer]:
        """Layers that are still in the viewer."""
        return [layer for layer in self._layers.values() if layer in self._viewer.layers]

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
        """Show the differences in a store, in place of those before.

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
        self.remove()
        cache = ChunkCache(zarr.open_array(str(path), mode="r"))
        self._layers = {
            name: ImageLayer(
                ClassTiles(cache, number),
                name=f"{title} mismatch {name}",
                colormap=COLORMAP,
                contrast_limits=(0.0, max(largest, _LEAST_LIMIT)),
                blending="additive",
                visible=self._shown and name == first,
                metadata={MARK: title},
                **placement.as_layer(),
            )
            for number, name in enumerate(classes)
        }
        selected = set(self._viewer.layers.selection)
        for layer in self._layers.values():
            self._viewer.add_layer(layer)
        self._viewer.layers.selection = selected & set(self._viewer.layers)

    def show(self, shown: bool, class_name: str = "") -> None:
        """Show the layer of one class, or hide all."""
        self._shown = shown
        for name, layer in self._layers.items():
            layer.visible = shown and name == class_name

    def remove(self) -> None:
        """Take the layers out of the viewer."""
        for layer in self.layers:
            self._viewer.layers.remove(layer)
        self._layers = {}
