"""A network's geometry, derived from the operations that it runs, and checked by a few runs."""

from __future__ import annotations

from math import lcm, prod

import torch

from napari_tileseg._types import Halo, Shape
from napari_tileseg.graphs.graph import NoRuleError
from napari_tileseg.graphs.reach import Reach, find_reach
from napari_tileseg.graphs.recording import record
from napari_tileseg.nets.geometry.proof import EVEN
from napari_tileseg.nets.geometry.runner import Runner, check_finite
from napari_tileseg.nets.geometry.shift import is_rounding
from napari_tileseg.nets.spec import Geometry
from napari_tileseg.tiling.read_shape import ReadShape
from napari_tileseg.tiling.rounding import round_up

#: Voxels along each axis of the image on which operations are recorded, at least, by number of axes.
_EDGES = {1: 64, 2: 64, 3: 16}
#: Most voxels of an image on which a derived geometry is checked.
_MOST_VOXELS = 2**20
#: Weights times voxels, up to which that is done in float64.
_PRECISE = 2**33


def derive(runner: Runner, read: ReadShape) -> Reach | None:
    """Derive how far a network looks from its operations, each of which has a rule for that.

    Parameters
    ----------
    runner : Runner
        The network.
    read : ReadShape
        Shapes that it accepts.

    Returns
    -------
    Reach or None
        None for a network that takes one shape only, or an operation of which has no rule.
    """
    if read.fixed:
        return None
    shape = tuple(
        max(least, round_up(_EDGES.get(len(read.step), 16), step))
        for least, step in zip(read.minimum, read.step, strict=True)
    )
    try:
        reach = find_reach(record(runner.module, runner.noise(shape)))
        # At lengths between its poolings it may pad, or stretch what it puts together.
        steps = tuple(map(lcm, reach.stride, read.step))
        if any(n % step for n, step in zip(shape, steps, strict=True)):
            shape = tuple(map(round_up, shape, steps))
            reach = find_reach(record(runner.module, runner.noise(shape)))
    except NoRuleError:
        return None
    return None if any(n % step for n, step in zip(shape, reach.stride, strict=True)) else reach


def geometry_of(reach: Reach, read: ReadShape) -> Geometry:
    """Return the geometry of a network that looks so far, and accepts such shapes."""
    bounded = not reach.global_layers
    return Geometry(
        stride=tuple(map(lcm, reach.stride, read.step)),
        read=read,
        halo=reach.halo if bounded else None,
        receptive_field=reach.receptive_field if bounded else None,
        shift_equivariant=reach.even,
    )


def confirms(runner: Runner, geometry: Geometry, halo: Halo, thin: Shape) -> bool:
    """Return whether the network itself shows what was derived of it, in a few runs.

    Where the halo is bounded an image is cut in two, along each axis that differs from those before: that
    has to give what the whole gives, or, where the place counts, something else. Where it is not, NaN at one
    end of an image has to arrive at the other, past all that the halo explains.

    Parameters
    ----------
    runner : Runner
        The network.
    geometry : Geometry
        What was derived of it.
    halo : tuple of (int, int)
        Context that its windows need.
    thin : tuple of int
        Voxels across the image on the axes that are not cut, at least.

    Raises
    ------
    NetworkError
        If its output is not finite for finite input.
    """
    across = tuple(map(round_up, thin, geometry.stride))
    sides = zip(halo, geometry.stride, strict=True)
    aligned = [(round_up(before, step), round_up(after, step)) for (before, after), step in sides]
    if geometry.halo is None:
        return _arrives(runner, geometry, aligned[0], across)
    kinds = list(zip(aligned, geometry.stride, strict=True))
    holds = []
    for axis in range(len(across)):
        if kinds.index(kinds[axis]) == axis:
            found = _holds_along(runner, geometry, axis, aligned[axis], across)
            if found is None:
                return False
            holds.append(found)
    return all(holds) == geometry.shift_equivariant


def _holds_along(
    runner: Runner, geometry: Geometry, axis: int, halo: tuple[int, int], across: Shape
) -> bool | None:
    """Return whether two tiles give what the whole gives; None where that takes too large an image.

    The image has a length that networks which pad to a multiple of their own leave as it is. One tile is
    shorter by an odd number of strides, which they do not, unless the stride is their multiple.
    """
    (before, after), stride, along = halo, geometry.stride[axis], axis + 2
    least = round_up(geometry.read.minimum[axis], stride)
    apart = _odd(max(1, (least - after - before) // stride)) * stride
    cut, length = before + apart, round_up(before + after + 2 * apart, lcm(EVEN, stride))
    shape = (*across[:axis], length, *across[axis + 1 :])
    if prod(shape) > _MOST_VOXELS:
        return None
    runner = _precise(runner, geometry, prod(shape))
    values = runner.noise(shape)
    whole = runner.run(values)
    check_finite(whole)
    left = runner.run(values.narrow(along, 0, cut + after)).narrow(along, 0, cut)
    right = runner.run(values.narrow(along, cut - before, length - apart)).narrow(along, before, length - cut)
    scale = float(whole.abs().max())
    change = float((torch.cat((left, right), along) - whole).abs().max())
    return is_rounding(change / scale if scale else 0.0, runner)


def _odd(count: int) -> int:
    return count + 1 - count % 2


def _precise(runner: Runner, geometry: Geometry, voxels: int) -> Runner:
    """Runner in float64 for networks and images that are small enough."""
    return runner.in_double(geometry.read.minimum) if runner.weights * voxels <= _PRECISE else runner


def _arrives(runner: Runner, geometry: Geometry, halo: tuple[int, int], across: Shape) -> bool:
    """Return whether NaN at the beginning of the first axis arrives past all that the halo explains."""
    least, stride = geometry.read.minimum[0], geometry.stride[0]
    shape = (max(halo[0] + 2 * stride, round_up(least, stride)), *across[1:])
    if prod(shape) > _MOST_VOXELS:
        return False
    values = runner.noise(shape)
    values.select(2, 0).fill_(torch.nan)
    return bool(runner.run(values).select(2, -1).isnan().any())
