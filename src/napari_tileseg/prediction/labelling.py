"""From probabilities to labels."""

from __future__ import annotations

from typing import Any, overload

import dask.array as da
import numpy as np
import numpy.typing as npt

from napari_tileseg._types import Array
from napari_tileseg.nets.spec import Activation


@overload
def labels(probabilities: Array, activation: Activation, threshold: float = 0.5) -> npt.NDArray[np.uint8]: ...
@overload
def labels(probabilities: da.Array, activation: Activation, threshold: float = 0.5) -> da.Array: ...
def labels(probabilities: Any, activation: Activation, threshold: float = 0.5) -> Any:
    """Return the class of each voxel.

    Parameters
    ----------
    probabilities : ndarray or dask.array.Array
        ``(classes, *shape)``; NaN where a tile is not done.
    activation : {"none", "sigmoid", "softmax"}
        The network's. Classes of a softmax exclude each other: the most probable one wins. Of the others the
        most probable one wins where it reaches `threshold`.
    threshold : float
        0 to 1.

    Returns
    -------
    ndarray or dask.array.Array of uint8
        ``shape``: 1 for the first class, and so on; 0 where no class reaches the threshold, or the
        tile is not done.

    Examples
    --------
    >>> labels(np.array([[0.9, 0.2, np.nan], [0.6, 0.3, np.nan]]), "sigmoid").tolist()
    [1, 0, 0]
    """
    if isinstance(probabilities, da.Array):
        whole: Any = probabilities
        return whole.rechunk({0: -1}).map_blocks(labels, activation, threshold, drop_axis=0, dtype=np.uint8)
    best = np.nan_to_num(probabilities, nan=-np.inf)
    winner = best.argmax(axis=0).astype(np.uint8) + np.uint8(1)
    sure = np.isfinite(best).any(axis=0) if activation == "softmax" else best.max(axis=0) >= threshold
    return np.where(sure, winner, np.uint8(0))
