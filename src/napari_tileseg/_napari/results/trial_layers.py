"""The same part of an image, predicted in two ways, as layers."""

from __future__ import annotations

from napari.components import ViewerModel
from napari.layers import Image as ImageLayer
from napari.layers import Layer

from napari_tileseg._napari.images.placement import Placement
from napari_tileseg._napari.results.depth_display import fit_to_display
from napari_tileseg._napari.results.layer_group import Curtain
from napari_tileseg._napari.results.result_layers import class_options
from napari_tileseg._types import Array, Shape


class TrialLayers:
    """Image layers of each class in two groups, one of which is shown. What the user does to them stays.

    Parameters
    ----------
    viewer : ViewerModel
        Where to show them.
    """

    def __init__(self, viewer: ViewerModel) -> None:
        self._viewer = viewer
        self._groups: dict[str, Curtain] = {}

    @property
    def layers(self) -> list[Layer]:
        """Layers that are still in the viewer."""
        made = (layer for curtain in self._groups.values() for layer in curtain.layers)
        return [layer for layer in made if layer in self._viewer.layers]

    def open(
        self,
        title: str,
        classes: tuple[str, ...],
        placement: Placement,
        start: Shape,
        groups: dict[str, Array],
    ) -> None:
        """Add layers for each class of each group; replaces those before.

        Parameters
        ----------
        title : str
            What was predicted.
        classes : tuple of str
            Names of the classes.
        placement : Placement
            Where the grid of the image lies.
        start : tuple of int
            Voxel of that grid at which what was predicted begins.
        groups : dict of str to ndarray
            By what tells a group from the others, its probabilities: ``(classes, *shape)``.
        """
        self.remove()
        here = placement.regridded((1.0,) * len(start), start).as_layer()
        for group, values in groups.items():
            made: list[Layer] = [
                ImageLayer(values[number], **{**class_options(f"{title}, {group}", name, number), **here})
                for number, name in enumerate(classes)
            ]
            self._groups[group] = Curtain(made)
        self._add()

    def _add(self) -> None:
        selected = set(self._viewer.layers.selection)
        for curtain in self._groups.values():
            for layer in curtain.layers:
                self._viewer.add_layer(layer)
        self._viewer.layers.selection = selected & set(self._viewer.layers)
        fit_to_display(self.layers, self._viewer.dims.ndisplay)

    def show(self, group: str) -> None:
        """Show one group, and hide the others."""
        for name, curtain in self._groups.items():
            curtain.show(name == group)

    def remove(self) -> None:
        """Take the layers out of the viewer."""
        for layer in self.layers:
            self._viewer.layers.remove(layer)
        self._groups = {}
