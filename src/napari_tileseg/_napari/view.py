"""What of a voxel grid is in view."""

from __future__ import annotations

from typing import Any

import numpy as np
from napari.components import ViewerModel

from napari_tileseg._napari.images.placement import Placement
from napari_tileseg._types import Shape
from napari_tileseg.tiling import Box


def view_events(viewer: ViewerModel) -> tuple[Any, ...]:
    """Return the emitters of all that changes what `box_in_view` gives, but for the canvas's size."""
    camera, dims = viewer.scene.camera.events, viewer.dims.events
    return camera.center, camera.zoom, camera.angles, dims.point, dims.order, dims.ndisplay


def box_in_view(viewer: ViewerModel, placement: Placement, shape: Shape) -> Box:
    """Return the voxels of a grid that the canvas shows now.

    Parameters
    ----------
    viewer : ViewerModel
        Its slice, displayed axes, camera and canvas size are looked at.
    placement : Placement
        Where the grid lies.
    shape : tuple of int
        Voxels of the grid.

    Returns
    -------
    Box
        The current slice on axes not displayed, what the canvas spans on the others; clipped to the grid, so
        that it is empty where the view lies outside, or the viewer shows nothing with as many axes. In 3D, a
        cube around the camera's centre that the canvas cannot see beyond, whatever the angle.
    """
    dims = viewer.dims
    if dims.ndim < len(shape):
        return Box((0,) * len(shape), (0,) * len(shape))
    middle = np.asarray(dims.point, dtype=float)
    reach = np.zeros(dims.ndim)
    camera = viewer.scene.camera
    span = np.asarray(viewer.canvas.viewbox_size(viewer.layers), dtype=float) / camera.zoom
    displayed = list(dims.displayed)
    middle[displayed] = camera.center[-len(displayed) :]
    reach[displayed] = span / 2 if dims.ndisplay == 2 else np.hypot(*span) / 2
    axes = list(placement.world_axes)
    return placement.box_between((middle - reach)[axes], (middle + reach)[axes], shape)
