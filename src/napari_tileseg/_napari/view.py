"""What of a voxel grid is in view."""

from __future__ import annotations

from typing import Any

import numpy as np
from napari.components import ViewerModel
from napari.layers import Shapes

from napari_tileseg._napari.images.placement import Placement
from napari_tileseg._napari.results.result_layers import is_ours
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


def box_drawn(viewer: ViewerModel, placement: Placement, shape: Shape) -> Box | None:
    """Return the voxels of a grid in the box around what is drawn in a Shapes layer.

    The layer is the selected one, or the last one; of its shapes those that are selected count, or all.

    Parameters
    ----------
    viewer : ViewerModel
        Whose layers are looked at. Axes that the layer does not have are at the current slice.
    placement : Placement
        Where the grid lies.
    shape : tuple of int
        Voxels of the grid.

    Returns
    -------
    Box or None
        Clipped to the grid, so that it may be empty; None where nothing is drawn, or the viewer shows nothing
        with as many axes.
    """
    drawn = [
        each for each in viewer.layers if isinstance(each, Shapes) and len(each.data) and not is_ours(each)
    ]
    if not drawn or viewer.dims.ndim < len(shape):
        return None
    active = viewer.layers.selection.active
    layer = next((each for each in drawn if each is active), drawn[-1])
    chosen = sorted(layer.selected_data) or range(len(layer.data))
    corners = np.concatenate([np.asarray(layer.data[number]) for number in chosen])
    world = np.array([layer.data_to_world(corner) for corner in corners])
    low, high = np.array([viewer.dims.point, viewer.dims.point], dtype=float)
    low[-layer.ndim :], high[-layer.ndim :] = world.min(axis=0), world.max(axis=0)
    axes = list(placement.world_axes)
    return placement.box_between(low[axes], high[axes], shape)


def deepened(box: Box, shape: Shape, depth: Shape) -> Box:
    """Return a box that is not flat: along axes where it is one voxel thin, as deep as it should be.

    Parameters
    ----------
    box : Box
        Voxels of a grid.
    shape : tuple of int
        Voxels of the grid.
    depth : tuple of int
        Wanted extent of flat axes, which are the last ones of the box; others stay.
    """
    start, stop = list(box.start), list(box.stop)
    for axis, wanted in enumerate(depth, start=box.ndim - len(depth)):
        if stop[axis] - start[axis] == 1:
            most = min(wanted, shape[axis])
            start[axis] = min(max(0, start[axis] - most // 2), shape[axis] - most)
            stop[axis] = start[axis] + most
    return Box(tuple(start), tuple(stop))
