"""Moving the view to a voxel."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from napari.components import ViewerModel

from napari_tileseg._napari.images.placement import Placement


def centre_on(viewer: ViewerModel, placement: Placement, point: Sequence[float]) -> None:
    """Show the slice of a voxel, with the voxel in the middle of the canvas; the zoom stays.

    Parameters
    ----------
    viewer : ViewerModel
        Whose view moves.
    placement : Placement
        Where the voxel's grid lies.
    point : sequence of float
        Voxel coordinates.
    """
    world = (placement.to_world @ np.append(np.asarray(point, dtype=float), 1.0))[:-1]
    dims = viewer.dims
    at = {dims.ndim + axis: float(value) for axis, value in zip(placement.world_axes, world, strict=True)}
    dims.set_point(list(at), list(at.values()))
    displayed = list(dims.displayed)
    center = list(viewer.scene.camera.center)
    for index, axis in enumerate(displayed, start=len(center) - len(displayed)):
        center[index] = at.get(axis, center[index])
    viewer.scene.camera.center = tuple(center)
