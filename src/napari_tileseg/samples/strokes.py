"""Strokes as a person might paint them on a sample: a few lines in a few slices."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from napari_tileseg.labels import classes_from_instances
from napari_tileseg.samples.images import Sample

#: Slices that are painted on, and rows between two lines.
SLICES, ROWS = 4, 12


def strokes_on(sample: Sample) -> npt.NDArray[np.uint8]:
    """Return lines through objects, their boundaries and the background.

    Returns
    -------
    ndarray of uint8
        Of the sample's shape: 1 in objects, 2 on their boundaries, 3 in the background, in the order of the
        sample networks' classes; 0 where nothing is painted.
    """
    foreground, boundary = classes_from_instances(sample.labels)
    classes: npt.NDArray[np.uint8] = np.where(foreground, 1, np.where(boundary, 2, 3)).astype(np.uint8)
    painted = np.zeros(classes.shape, bool)
    slices = np.atleast_3d(painted).reshape(-1, *painted.shape[-2:])
    chosen = np.linspace(0, len(slices) - 1, SLICES + 2).astype(int)[1:-1]
    for number in np.unique(chosen):
        slices[number, ROWS // 2 :: ROWS] = True
    classes[~slices.reshape(classes.shape)] = 0
    return classes
