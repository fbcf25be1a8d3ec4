"""Trying a measured geometry: an image cut in two must give what the whole image gives."""

from __future__ import annotations

from math import prod

import torch

from napari_tileseg._types import Shape
from napari_tileseg.nets.geometry.runner import Runner
from napari_tileseg.nets.geometry.shift import is_rounding
from napari_tileseg.nets.spec import Geometry

#: Voxels before and after the cut, at least, so that there is something beyond the halo to be missed.
_ROOM = 32
#: Voxels across the image on each other axis, by the number of axes, and the most voxels in all.
_ACROSS = {1: 1, 2: 64, 3: 8}
_MOST_VOXELS = 2**16


def section(geometry: Geometry, thin: Shape) -> Shape:
    """Voxels across the tried image on each axis: more than on the bars that were measured, if it can be."""
    wanted = _ACROSS.get(len(thin), 1)
    thick = tuple(
        max(least, -(-wanted // step) * step) for least, step in zip(thin, geometry.stride, strict=True)
    )
    most = max(_half(geometry, axis) * 2 * prod(thick) // thick[axis] for axis in range(len(thin)))
    return thick if most <= _MOST_VOXELS else thin


def holds(runner: Runner, geometry: Geometry, across: Shape) -> bool:
    """Whether two tiles that read the halo give what the whole image gives, along every axis.

    Reach and shifts are measured far from the border. This sees what they cannot: padding that takes its
    voxels from the opposite border, weights that depend on the distance to it, and reaches that leave a thin
    bar sideways.

    Parameters
    ----------
    runner : Runner
        The network, in float64 if it can.
    geometry : Geometry
        What was measured; its halo is bounded, its read shapes are not fixed.
    across : tuple of int
        Voxels on the axes that are not cut.
    """
    return all(_holds_along(runner, geometry, axis, across) for axis in range(len(across)))


def _half(geometry: Geometry, axis: int) -> int:
    """Voxels on each side of the cut, a multiple of the stride and more than the halo."""
    stride = geometry.stride[axis]
    wanted = max(_ROOM, geometry.read.minimum[axis], *_aligned(geometry, axis)) + stride
    return -(-wanted // stride) * stride


def _aligned(geometry: Geometry, axis: int) -> tuple[int, int]:
    """The halo as tiles read it, rounded up to the stride."""
    stride = geometry.stride[axis]
    before, after = (geometry.halo or ())[axis]
    return -(-before // stride) * stride, -(-after // stride) * stride


def _holds_along(runner: Runner, geometry: Geometry, axis: int, across: Shape) -> bool:
    along, cut = axis + 2, _half(geometry, axis)
    before, after = _aligned(geometry, axis)
    values = runner.noise((*across[:axis], 2 * cut, *across[axis + 1 :]))
    whole = runner.run(values)
    first = runner.run(values.narrow(along, 0, cut + after)).narrow(along, 0, cut)
    second = runner.run(values.narrow(along, cut - before, cut + before)).narrow(along, before, cut)
    change = float((torch.cat((first, second), dim=along) - whole).abs().max())
    scale = float(whole.abs().max())
    return is_rounding(change / scale if scale else 0.0, runner)
