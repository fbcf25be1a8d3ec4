"""Rounding to the stride, and cutting a core in two on it."""

from __future__ import annotations

import numpy as np

from napari_tileseg._types import Shape
from napari_tileseg.tiling.box import Box


def ceil_div(value: int, by: int) -> int:
    """Return the quotient of two integers, rounded up.

    Examples
    --------
    >>> ceil_div(9, 4), ceil_div(8, 4), ceil_div(-9, 4)
    (3, 2, -2)
    """
    return -(-value // by)


def round_up(value: int, step: int) -> int:
    """Return the least multiple of `step` that is not below `value`.

    Examples
    --------
    >>> round_up(9, 4), round_up(8, 4), round_up(-9, 4)
    (12, 8, -8)
    """
    return ceil_div(value, step) * step


def round_down(value: int, step: int) -> int:
    """Return the largest multiple of `step` that is not above `value`.

    Examples
    --------
    >>> round_down(9, 4), round_down(8, 4), round_down(-9, 4)
    (8, 8, -12)
    """
    return value // step * step


def halve(core: Shape, stride: Shape) -> Shape:
    """Return `core` with the axis of most strides halved, on the stride; empty if all are one stride.

    Examples
    --------
    >>> halve((8, 24), (4, 4)), halve((4, 4), (4, 4))
    ((8, 12), ())
    """
    steps = [n // s for n, s in zip(core, stride, strict=True)]
    axis = int(np.argmax(steps))
    if steps[axis] <= 1:
        return ()
    return (*core[:axis], ceil_div(steps[axis], 2) * stride[axis], *core[axis + 1 :])


def halves(core: Box, stride: Shape) -> tuple[Box, ...]:
    """Return two parts of a core, cut on the stride; none if it is too small.

    Examples
    --------
    >>> halves(Box((4, 0), (12, 8)), (4, 4))
    (Box(start=(4, 0), stop=(8, 8)), Box(start=(8, 0), stop=(12, 8)))
    """
    shape = halve(core.shape, stride)
    if not shape:
        return ()
    axis = next(i for i, (a, b) in enumerate(zip(shape, core.shape, strict=True)) if a != b)
    middle = core.start[axis] + shape[axis]
    return (
        Box(core.start, (*core.stop[:axis], middle, *core.stop[axis + 1 :])),
        Box((*core.start[:axis], middle, *core.start[axis + 1 :]), core.stop),
    )
