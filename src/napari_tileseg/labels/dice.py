"""Dice coefficients of two predictions of one class."""

from __future__ import annotations

import numpy as np

from napari_tileseg._types import Array
from napari_tileseg._words import by_axis
from napari_tileseg.errors import SettingsError


def soft_dice(first: Array, second: Array) -> float:
    """Return the Dice of two maps of probabilities, with squared terms in the denominator.

    ``2 sum(p q) / (sum(p^2) + sum(q^2))``, as in Milletari et al. 2016 (arXiv 1606.04797). With linear terms
    Dice(p, p) would be below 1.

    Parameters
    ----------
    first, second : ndarray
        Values of one shape, any number of axes.

    Returns
    -------
    float
        0 to 1 for values of 0 or more; 1 where both are zero everywhere; NaN where a value is NaN.

    Raises
    ------
    SettingsError
        If the shapes differ.

    Examples
    --------
    >>> soft_dice(np.array([0.5, 0.2]), np.array([0.5, 0.2]))
    1.0
    """
    _check_shapes(first, second)
    p, q = (values.astype(np.float64).ravel() for values in (first, second))
    squares = float(p @ p + q @ q)
    return 2 * float(p @ q) / squares if squares != 0 else 1.0


def hard_dice(first: Array, second: Array, threshold: float = 0.5) -> float:
    """Return the Dice of two masks, which are the values that reach `threshold`.

    Parameters
    ----------
    first, second : ndarray
        Values of one shape; boolean masks are taken as they are.
    threshold : float
        Least value that belongs to the mask.

    Returns
    -------
    float
        0 to 1; 1 where both masks are empty (see `both_empty`).

    Raises
    ------
    SettingsError
        If the shapes differ.

    Examples
    --------
    >>> hard_dice(np.array([0.9, 0.2]), np.array([0.6, 0.7])) == 2 / 3
    True
    """
    _check_shapes(first, second)
    a, b = first >= threshold, second >= threshold
    size = int(np.count_nonzero(a)) + int(np.count_nonzero(b))
    return 2 * int(np.count_nonzero(a & b)) / size if size else 1.0


def both_empty(first: Array, second: Array, threshold: float = 0.5) -> bool:
    """Return whether no value of either reaches `threshold`, so that their Dice is 1 by definition only."""
    return not ((first >= threshold).any() or (second >= threshold).any())


def _check_shapes(first: Array, second: Array) -> None:
    if first.shape != second.shape:
        raise SettingsError(
            f"Dice compares arrays of one shape; got {by_axis(first.shape)} and {by_axis(second.shape)}. "
            "Cut both to the voxels that they share."
        )
