"""The stride: how far the input must move for the output to move with it."""

from __future__ import annotations

from math import inf, isnan

import torch

from napari_tileseg._types import Shape
from napari_tileseg.nets.geometry.probes import Bar, largest_jump
from napari_tileseg.nets.geometry.runner import Runner

#: Shifts tried, in this order: what poolings by two leave, then by three, five, ...
_SHIFTS = (1, 2, 4, 8, 16, 32, 3, 6, 12, 24, 5, 10, 20, 7, 14, 28, 9, 18, 48, 40, 64)
#: Largest change, relative to the largest output, that counts as rounding, by number format.
_ROUNDING = {torch.float64: 1e-9, torch.float32: 1e-4}
#: Where no shift is exact, the least one within this factor of the best is taken.
_AS_GOOD = 4.0
#: Powers of two tried on the way.
_DOUBLINGS = 6


def stride_in(bar: Bar, step: int, precise: Runner) -> int | None:
    """Return the least shift by which output moves with the input, both by its reach and by its values.

    Parameters
    ----------
    bar : Bar
        A bar in which the reach ends.
    step : int
        Only its multiples are tried: reads of other lengths are not accepted.
    precise : Runner
        The network in float64, if it can.

    Returns
    -------
    int or None
        None where no shift up to the bar's width does.
    """
    still = bar.reach(bar.middle)
    for shift in _shifts(step, bar.width):
        if bar.reach(bar.middle + shift) == still.moved(shift):
            values = precise.noise(bar.shape)
            first = still.high - bar.middle
            last = bar.length - (bar.middle + bar.width - still.low) - shift
            if is_rounding(_change(precise, bar.axis, values, shift, slice(first, last)), precise):
                return shift
    return None


def nearest_stride(bar: Bar, step: int) -> int:
    """Return the stride of the poolings of a network whose output never moves with its input exactly."""
    jump = largest_jump(bar)
    return min(_shifts(step, bar.width), key=lambda shift: (abs(shift - jump), shift))


def stride_of_island(runner: Runner, axis: int, shape: Shape, step: int) -> tuple[int, bool]:
    """Return the best shift for a network whose reach does not end, and whether it is exact but for rounding.

    An island of noise moves in a bar of zeros, so that statistics taken of the whole input stay.

    Parameters
    ----------
    runner : Runner
        The network.
    axis : int
        Axis along which the bar is long.
    shape : tuple of int
        Spatial shape of the bar.
    step : int
        Only its multiples by powers of two are tried, up to an eighth of the bar.
    """
    quarter = shape[axis] // 4
    values = torch.zeros_like(runner.noise(shape))
    island = runner.noise(shape).narrow(axis + 2, 0, 2 * quarter)
    values.narrow(axis + 2, quarter, 2 * quarter).copy_(island)
    window = slice(quarter, 3 * quarter)
    changes: dict[int, float] = {}
    for shift in (step * 2**power for power in range(_DOUBLINGS)):
        changes[shift] = _change(runner, axis, values, shift, window) if shift <= quarter // 2 else inf
        if is_rounding(changes[shift], runner):
            return shift, True
    # Weights may be such that a network answers with nothing that is a number.
    changes = {shift: inf if isnan(change) else change for shift, change in changes.items()}
    least = min(changes.values())
    return min(shift for shift, change in changes.items() if change <= least * _AS_GOOD), False


def _shifts(step: int, largest: int) -> tuple[int, ...]:
    return tuple(shift * step for shift in _SHIFTS if shift * step <= max(largest, step))


def _change(runner: Runner, axis: int, values: torch.Tensor, shift: int, window: slice) -> float:
    """Return the largest change of the outputs in `window` under the shift, relative to the largest there."""
    along = axis + 2
    length = window.stop - window.start
    before = runner.run(values).narrow(along, window.start, length)
    after = runner.run(values.roll(shift, along)).narrow(along, window.start + shift, length)
    scale = float(before.abs().max())
    return float((after - before).abs().max()) / scale if scale else 0.0


def is_rounding(change: float, runner: Runner) -> bool:
    """Return whether a change, relative to the largest output, is within the number format's rounding."""
    return change <= _ROUNDING.get(runner.dtype, 1e-2)
