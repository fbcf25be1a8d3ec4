"""The same patch, seen in another way."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import combinations

import numpy as np

from napari_tileseg._types import Array, Shape

#: Ratio of voxel sizes up to which an image may be turned.
_ISOTROPIC = 1.1
_GAMMA, _SCALE, _SHIFT = 0.3, 0.2, 0.1


def turnable(voxel_size: Sequence[float], shape: Shape) -> tuple[tuple[int, int], ...]:
    """Return the pairs of axes in which a patch may be turned by 90 degrees: voxels and patch are square.

    Examples
    --------
    >>> turnable((2.0, 0.5, 0.5), (16, 64, 64))
    ((1, 2),)
    """
    return tuple(
        (a, b)
        for a, b in combinations(range(len(shape)), 2)
        if shape[a] == shape[b] and _alike(voxel_size[a], voxel_size[b])
    )


def _alike(one: float, other: float) -> bool:
    return max(one, other) <= _ISOTROPIC * min(one, other)


def move(
    arrays: Sequence[Array], ndim: int, pairs: Sequence[tuple[int, int]], rng: np.random.Generator
) -> list[Array]:
    """Flip arrays along each of their last `ndim` axes with probability 0.5, and turn them in one of `pairs`.

    All arrays are moved alike.
    """
    flipped = tuple(axis - ndim for axis in range(ndim) if rng.random() < 0.5)
    moved = [np.flip(each, flipped) for each in arrays]
    if pairs and rng.random() < 0.5:
        a, b = pairs[int(rng.integers(len(pairs)))]
        moved = [np.rot90(each, axes=(a - ndim, b - ndim)) for each in moved]
    return moved


def relight(values: Array, kind: str, rng: np.random.Generator) -> Array:
    """Vary normalized intensities as another exposure would.

    Parameters
    ----------
    values : ndarray of float32
        Normalized voxels.
    kind : str
        How they were normalized: under "quantiles" and "tile" they are, and stay, from 0 to 1, and get
        another gamma, too; under "none" they are scaled only.
    rng : numpy.random.Generator
        Draws by how much.
    """
    gamma, scale = np.exp(rng.uniform(-1, 1, 2) * (_GAMMA, _SCALE))
    shift = rng.uniform(-_SHIFT, _SHIFT)
    if kind == "none":
        return values * np.float32(scale)
    if kind in {"quantiles", "tile"}:
        values = np.power(values, np.float32(gamma))
    lit: Array = values * np.float32(scale) + np.float32(shift)
    return np.clip(lit, 0, 1) if kind in {"quantiles", "tile"} else lit
