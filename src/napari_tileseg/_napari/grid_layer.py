"""The tile grid as a layer that follows the slice."""

from __future__ import annotations

import numpy as np
from napari.components import ViewerModel
from napari.layers import Vectors

from napari_tileseg._napari.grid_lines import grid_lines
from napari_tileseg._napari.placement import Placement
from napari_tileseg._napari.results import MARK
from napari_tileseg.tiling import TileGrid

_PIXELS = 1.5


class GridLayer:
    """Lines between the cores of tiles, in the slice in view.

    Parameters
    ----------
    viewer : ViewerModel
        Where to show them.
    """

    def __init__(self, viewer: ViewerModel) -> None:
        self.viewer = viewer
        self._layer: Vectors | None = None
        self._grid: TileGrid | None = None
        self._placement: Placement | None = None

    def show(self, grid: TileGrid, placement: Placement) -> None:
        """Show a grid whose voxels lie at `placement`, in place of the one before."""
        self.hide()
        self._grid, self._placement = grid, placement
        selected = set(self.viewer.layers.selection)
        self._layer = Vectors(
            self._lines(),
            ndim=grid.ndim,
            name="tile grid",
            edge_color="orange",
            edge_width=self._width(),
            vector_style="line",
            metadata={MARK: "tile grid"},
            **placement.as_layer(),
        )
        self.viewer.add_layer(self._layer)
        self.viewer.layers.selection = selected

    def hide(self) -> None:
        """Take the lines away."""
        if self._layer is not None and self._layer in self.viewer.layers:
            self.viewer.layers.remove(self._layer)
        self._layer = self._grid = self._placement = None

    def follow(self) -> None:
        """Draw the lines for the slice and the zoom that are in view now."""
        if self._layer is None or self._layer not in self.viewer.layers:
            return
        lines = self._lines()
        if not np.array_equal(lines, self._layer.data):
            self._layer.data = lines
        if not np.isclose(self._width(), self._layer.edge_width, rtol=0.2):
            self._layer.edge_width = self._width()

    def _lines(self) -> np.ndarray:
        assert self._grid is not None
        assert self._placement is not None
        dims = self.viewer.dims
        world = self._placement.world_axes
        offset = [dims.ndim + axis for axis in world]
        matrix = np.linalg.inv(self._placement.to_world)
        point = matrix @ np.append(np.asarray(dims.point)[offset], 1.0)
        displayed = [i for i, axis in enumerate(offset) if axis in dims.displayed]
        return grid_lines(self._grid, np.round(point[:-1]), displayed)

    def _width(self) -> float:
        """Width in voxels that is about the same number of canvas pixels at any zoom."""
        assert self._placement is not None
        return float(_PIXELS / self.viewer.scene.camera.zoom / np.abs(self._placement.scale[-1]))
