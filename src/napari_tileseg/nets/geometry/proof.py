"""Trying a measured geometry: an image cut in two must give what the whole image gives."""

from __future__ import annotations

from math import isfinite, lcm, prod

import torch

from napari_tileseg._types import Shape
from napari_tileseg.nets.geometry.runner import Runner
from napari_tileseg.nets.geometry.shift import is_rounding
from napari_tileseg.nets.spec import Geometry
from napari_tileseg.tiling.rounding import round_up

#: Voxels before and after the cut, at least, so that there is something beyond the halo to be missed.
_ROOM = 32
#: Voxels across the image on each other axis, by the number of axes, and the most voxels in all.
_ACROSS = {1: 1, 2: 64, 3: 8}
_MOST_VOXELS = 2**16
#: Images have a multiple of this, and of the stride, as length: one that networks which pad to a multiple of
#: their own leave as it is.
EVEN = 96


def section(geometry: Geometry, thin: Shape) -> Shape:
    """Return the voxels across the tried image on each axis: more than on the measured bars, if possible."""
    wanted = _ACROSS.get(len(thin), 1)
    thick = tuple(
        max(least, round_up(wanted, step)) for least, step in zip(thin, geometry.stride, strict=True)
    )
    most = max(_half(geometry, axis) * 2 * prod(thick) // thick[axis] for axis in range(len(thin)))
    return thick if most <= _MOST_VOXELS else thin


def holds(runner: Runner, geometry: Geometry, across: Shape) -> bool:
    """Return whether two tiles that read the halo give what the whole image gives, along every axis.

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
    return all(holds_along(runner, geometry, axis, across) for axis in range(len(across)))


def repeats(runner: Runner, shape: Shape) -> bool:
    """Return whether the network gives the same answer twice, as it does not with dropout or noise."""
    values = runner.noise(shape)
    first, second = runner.run(values), runner.run(values)
    scale = float(first.abs().max())
    change = float((first - second).abs().nan_to_num(0.0).max())
    return is_rounding(change / scale if scale and isfinite(scale) else 0.0, runner)


def _half(geometry: Geometry, axis: int) -> int:
    """Return the voxels on each side of the cut, a multiple of the stride and more than the halo."""
    stride = geometry.stride[axis]
    wanted = max(_ROOM, geometry.read.minimum[axis], *_aligned(geometry, axis)) + stride
    return round_up(wanted, stride)


def _aligned(geometry: Geometry, axis: int) -> tuple[int, int]:
    """Return the halo as tiles read it, rounded up to the stride."""
    stride = geometry.stride[axis]
    before, after = (geometry.halo or ())[axis]
    return round_up(before, stride), round_up(after, stride)


def holds_along(runner: Runner, geometry: Geometry, axis: int, across: Shape) -> bool:
    """As `holds`, along one axis; cut at two positions a stride apart.

    A network may pad what it is given to a multiple of its own: with the stride too small, one of two
    neighbouring lengths is none.
    """
    along, stride = axis + 2, geometry.stride[axis]
    first, (before, after) = _half(geometry, axis), _aligned(geometry, axis)
    even = lcm(EVEN, stride)
    length = round_up(2 * first + stride, even)
    values = runner.noise((*across[:axis], length, *across[axis + 1 :]))
    whole = runner.run(values)
    for cut in (first, first + stride):
        rest = length - cut
        left = runner.run(values.narrow(along, 0, cut + after))
        right = runner.run(values.narrow(along, cut - before, rest + before))
        joined = torch.cat((left.narrow(along, 0, cut), right.narrow(along, before, rest)), dim=along)
        if not _equal(joined, whole, runner):
            return False
    return True


def _equal(joined: torch.Tensor, whole: torch.Tensor, runner: Runner) -> bool:
    change, scale = float((joined - whole).abs().max()), float(whole.abs().max())
    return is_rounding(change / scale if scale else 0.0, runner)
