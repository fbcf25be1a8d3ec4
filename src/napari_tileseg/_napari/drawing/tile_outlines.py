"""The outlines of two tiles in the slice through a voxel, and a cross at that voxel."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import product

import numpy as np
from napari.components import ViewerModel
from napari.layers import Vectors

from napari_tileseg._napari.images.placement import Placement
from napari_tileseg._napari.results.result_layers import MARK
from napari_tileseg._types import Array, Shape
from napari_tileseg.tiling import Box

#: Colours of the first and the second tile: apart for all kinds of colour vision, and seen on dark images.
COLORS = ("#56b4e9", "#e69f00")
#: Colour of the cross, and the pixels of the screen from its centre to each end.
CROSS, _ARM = "#ffffff", 14.0
NAME = "two tiles"
_PIXELS = 2.0


class TileOutlines:
    """Draws two tiles; replaces those drawn before.

    Parameters
    ----------
    viewer : ViewerModel
        Where to show them.
    """

    def __init__(self, viewer: ViewerModel) -> None:
        self._viewer = viewer
        self._layer: Vectors | None = None

    def show(self, boxes: tuple[Box, Box], point: Shape, placement: Placement) -> None:
        """Outline two tiles of a grid that lies at `placement` in the slice of a voxel, and mark it."""
        self.hide()
        dims = self._viewer.dims
        shown = [i for i, axis in enumerate(placement.world_axes) if dims.ndim + axis in dims.displayed]
        voxels = 1 / self._viewer.scene.camera.zoom / np.abs(np.asarray(placement.scale))
        lines = [*(box_lines(box, point, shown) for box in boxes), cross_lines(point, shown, _ARM * voxels)]
        colors = np.repeat(np.array([*COLORS, CROSS]), [len(each) for each in lines])
        width = _PIXELS * float(voxels[-1])
        selected = set(self._viewer.layers.selection)
        self._layer = Vectors(
            np.concatenate(lines),
            name=NAME,
            edge_color=colors,
            edge_width=width,
            vector_style="line",
            metadata={MARK: NAME},
            **placement.as_layer(),
        )
        self._viewer.add_layer(self._layer)
        self._viewer.layers.selection = selected & set(self._viewer.layers)

    def hide(self) -> None:
        """Remove them."""
        if self._layer is not None and self._layer in self._viewer.layers:
            self._viewer.layers.remove(self._layer)
        self._layer = None


def cross_lines(point: Sequence[float], displayed: Sequence[int], arms: Array) -> Array:
    """Return lines through a voxel along the displayed axes.

    Parameters
    ----------
    point : sequence of float
        Voxel coordinates.
    displayed : sequence of int
        Axes that are displayed.
    arms : ndarray
        For each axis the voxels from the centre to each end.

    Returns
    -------
    ndarray
        ``(lines, 2, ndim)``, as `box_lines` gives.
    """
    lines = np.zeros((len(displayed), 2, len(point)))
    lines[:, 0] = point
    for line, axis in zip(lines, displayed, strict=True):
        line[0, axis] -= arms[axis]
        line[1, axis] = 2 * arms[axis]
    return lines


def box_lines(box: Box, point: Sequence[float], displayed: Sequence[int]) -> Array:
    """Return the edges of a box along the displayed axes, in the slice through a point.

    Parameters
    ----------
    box : Box
        Voxels, which are cubes around their centres.
    point : sequence of float
        Voxel coordinates of the slice; only the axes not displayed count.
    displayed : sequence of int
        Axes that are displayed.

    Returns
    -------
    ndarray
        ``(lines, 2, ndim)``: start and direction of each edge, as napari's Vectors take them.
    """
    low, high = np.asarray(box.start) - 0.5, np.asarray(box.stop) - 0.5
    lines = []
    for axis in displayed:
        others = [other for other in displayed if other != axis]
        for ends in product((0, 1), repeat=len(others)):
            line = np.zeros((2, box.ndim))
            line[0] = point
            line[0, others] = [(low, high)[end][other] for end, other in zip(ends, others, strict=True)]
            line[0, axis] = low[axis]
            line[1, axis] = high[axis] - low[axis]
            lines.append(line)
    return np.array(lines)
