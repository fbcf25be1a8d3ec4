"""Cutting a core in two, on the stride."""

from __future__ import annotations

import numpy as np

from napari_tileseg._types import Shape


def halve(core: Shape, stride: Shape) -> Shape:
    """`core` with the axis of most strides halved, on the stride; empty if every axis is one stride.

    Examples
    --------
    >>> halve((8, 24), (4, 4)), halve((4, 4), (4, 4))
    ((8, 12), ())
    """
    steps = [n // s for n, s in zip(core, stride, strict=True)]
    axis = int(np.argmax(steps))
    if steps[axis] <= 1:
        return ()
    return (*core[:axis], -(-steps[axis] // 2) * stride[axis], *core[axis + 1 :])
