"""Indexing by integers and slices, brought down to one box."""

from __future__ import annotations

from numbers import Integral
from typing import Any, TypeAlias

from napari_tileseg._types import Shape
from napari_tileseg.tiling.box import Box

#: What is left to do within the box: an integer takes away its axis, a slice steps.
Steps: TypeAlias = tuple[int | slice, ...]


def box_of_key(key: Any, shape: Shape) -> tuple[Box, Steps]:
    """Return the voxels that an index touches, and the index that cuts its values out of them.

    Parameters
    ----------
    key : int, slice, ellipsis or tuple of these
        As in NumPy's basic indexing; axes left out are whole.
    shape : tuple of int
        Of the array.

    Raises
    ------
    IndexError
        If the key has too many axes, other entries, or an integer outside of its axis.

    Examples
    --------
    >>> box_of_key((slice(1, 8, 3), -1), (9, 5))
    (Box(start=(1, 4), stop=(8, 5)), (slice(None, None, 3), 0))
    """
    keys = _completed(key if isinstance(key, tuple) else (key,), len(shape))
    whole = [_as_slice(k, n) for k, n in zip(keys, shape, strict=True)]
    ranges = [range(*part.indices(n)) for part, n in zip(whole, shape, strict=True)]
    box = Box(tuple(min(r, default=0) for r in ranges), tuple(max(r, default=-1) + 1 for r in ranges))
    steps = tuple(
        0 if isinstance(k, Integral) else slice(None, None, r.step) for k, r in zip(keys, ranges, strict=True)
    )
    return box, steps


def _completed(keys: tuple[Any, ...], ndim: int) -> tuple[Any, ...]:
    """Return one key for each axis, the ellipsis and the axes left out being whole."""
    place = next((i for i, k in enumerate(keys) if k is Ellipsis), None)
    if place is None:
        place, keys = len(keys), (*keys, Ellipsis)
    filling = (slice(None),) * (ndim - len(keys) + 1)
    keys = (*keys[:place], *filling, *keys[place + 1 :])
    if len(keys) != ndim or not all(isinstance(k, (Integral, slice)) for k in keys):
        raise IndexError(f"The array has {ndim} axes, indexed by integers and slices; got {keys}.")
    return keys


def _as_slice(key: Any, size: int) -> slice:
    """Return the key as a slice; an integer counts from the end where it is negative."""
    if not isinstance(key, Integral):
        part: slice = key
        return part
    index = int(key) + (size if key < 0 else 0)
    if not 0 <= index < size:
        raise IndexError(f"The axis has {size} voxels; there is none at {key}.")
    return slice(index, index + 1)
