"""The tile grid as a layer that follows the slice."""

from __future__ import annotations

from typing import Any

import numpy as np
from napari.components import ViewerModel
from napari.layers import Vectors

from napari_tileseg._napari.drawing.grid_lines import grid_lines
from napari_tileseg._napari.images.placement import Placement
from napari_tileseg._napari.results.result_layers import MARK
from napari_tileseg.tiling import TileGrid

_PIXELS = 1.5


class GridLayer:
    """Lines between the cores of tiles, in the slice in view.

    One layer stays and its lines are changed, for napari collects garbage whenever a layer is removed. What
    the user does to it stays: one that was removed is not made again before it is asked for again.

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
        self._shown = False
        self._drawn_width = 0.0
        self._color: Any = "orange"

    @property
    def removed_by_user(self) -> bool:
        """Whether there was a layer, and somebody else has removed it."""
        return self._layer is not None and self._layer not in self.viewer.layers

    def show(self, grid: TileGrid, placement: Placement) -> None:
        """Show a grid whose voxels lie at `placement`; replaces the one before."""
        moved = self._placement is None or not placement.same_as(self._placement)
        self._grid, self._placement = grid, placement
        if self._layer is not None and self._layer.ndim != grid.ndim and not self.removed_by_user:
            self.remove()
        if self._layer is None:
            self._add()
        elif not self.removed_by_user:
            self._change(moved)
        self._shown = True

    def _add(self) -> None:
        assert self._grid is not None
        assert self._placement is not None
        selected = set(self.viewer.layers.selection)
        self._drawn_width = self._width()
        self._layer = Vectors(
            self._lines(),
            ndim=self._grid.ndim,
            name="tile grid",
            edge_color=self._color,
            edge_width=self._drawn_width,
            vector_style="line",
            metadata={MARK: "tile grid"},
            **self._placement.as_layer(),
        )
        self.viewer.add_layer(self._layer)
        self.viewer.layers.selection = selected

    def _change(self, moved: bool) -> None:
        assert self._layer is not None
        assert self._placement is not None
        if moved:
            for name, value in self._placement.as_layer().items():
                setattr(self._layer, name, value)
        self.follow()
        if not self._shown:
            self._layer.visible = True

    def blank(self) -> None:
        """Draw no lines while it is not known where tiles lie; the layer stays."""
        self._grid = None
        if self._layer is not None and not self.removed_by_user:
            self._draw(np.zeros((0, 2, self._layer.ndim)))

    def hide(self) -> None:
        """Hide the layer; one that somebody else has removed is made again the next time."""
        if self.removed_by_user:
            self._layer = None
        if self._layer is not None and self._shown:
            self._layer.visible = False
        self._shown = False

    def remove(self) -> None:
        """Take the layer away, as there is no image any more whose tiles it shows."""
        if self._layer is not None and self._layer in self.viewer.layers:
            self.viewer.layers.remove(self._layer)
            self._layer = None
        self._grid = None

    def follow(self) -> None:
        """Draw the lines for the slice and the zoom that are in view now."""
        if self._layer is None or self._grid is None or self.removed_by_user:
            return
        self._draw(self._lines())
        by_us = self._layer.edge_width == self._drawn_width
        if by_us and not np.isclose(self._width(), self._drawn_width, rtol=0.2):
            self._layer.edge_width = self._drawn_width = self._width()

    def _draw(self, lines: np.ndarray) -> None:
        layer = self._layer
        if layer is None or np.array_equal(lines, layer.data):
            return
        if len(layer.data):
            self._color = layer.edge_color[0]
        layer.data = lines
        # A layer that had no lines for a while has forgotten the colour that the user gave them.
        if len(lines) and not np.array_equal(layer.edge_color[0], self._color):
            layer.edge_color = self._color

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
        """Return the width in voxels that is about the same number of canvas pixels at any zoom."""
        assert self._placement is not None
        return float(_PIXELS / self.viewer.scene.camera.zoom / np.abs(self._placement.scale[-1]))
