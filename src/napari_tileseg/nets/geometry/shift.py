"""The stride: how far the input must move for the output to move with it."""

from __future__ import annotations

import torch

from napari_tileseg._types import Shape
from napari_tileseg.nets.geometry.probes import Bar
from napari_tileseg.nets.geometry.runner import Runner

#: Shifts tried, in this order: what poolings by two leave, then by three, five, ...
_SHIFTS = (1, 2, 4, 8, 16, 32, 3, 6, 12, 24, 5, 10, 20, 7, 14, 28, 9, 18, 48, 40, 64)
#: Largest change, relative to the largest output, that counts as rounding, by number format.
_ROUNDING = {torch.float64: 1e-9, torch.float32: 1e-4}
#: Where no shift is exact, the least one within this factor of the best is taken.
_AS_GOOD = 4.0


def stride_in(bar: Bar, precise: Runner) -> int | None:
    """Least shift by which output moves with the input, both by its reach and by its values.

    Parameters
    ----------
    bar : Bar
        A bar in which the reach ends.
    precise : Runner
        The network in float64, if it can.

    Returns
    -------
    int or None
        None where no shift up to the bar's width does.
    """
    still = bar.reach(bar.middle)
    for shift in _shifts(bar.shape, bar.axis, bar.width):
        if bar.reach(bar.middle + shift) == still.moved(shift):
            values = precise.noise(bar.shape)
            first = still.high - bar.middle
            last = bar.length - (bar.middle + bar.width - still.low) - shift
            if _is_rounding(_change(precise, bar.axis, values, shift, slice(first, last)), precise):
                return shift
    return None


def stride_of_island(runner: Runner, axis: int, shape: Shape, largest: int) -> tuple[int, bool]:
    """Best shift for a network whose reach does not end, and whether it is exact but for rounding.

    An island of noise moves in a bar of zeros, so that statistics taken of the whole input stay.

    Parameters
    ----------
    runner : Runner
        The network.
    axis : int
        Axis along which the bar is long.
    shape : tuple of int
        Spatial shape of the bar.
    largest : int
        Largest shift to try.
    """
    quarter = shape[axis] // 4
    values = torch.zeros_like(runner.noise(shape))
    island = runner.noise(shape).narrow(axis + 2, 0, 2 * quarter)
    values.narrow(axis + 2, quarter, 2 * quarter).copy_(island)
    window = slice(quarter, 3 * quarter)
    changes = {
        shift: _change(runner, axis, values, shift, window)
        for shift in _shifts(shape, axis, min(largest, quarter))
    }
    least = min(changes.values())
    exact = _is_rounding(least, runner)
    enough = max(least * _AS_GOOD, _ROUNDING.get(runner.dtype, 0.0) if exact else 0.0)
    return min(shift for shift, change in changes.items() if change <= enough), exact


def _shifts(shape: Shape, axis: int, largest: int) -> tuple[int, ...]:
    return tuple(shift for shift in _SHIFTS if shift <= max(largest, 1) and shape[axis] % shift == 0)


def _change(runner: Runner, axis: int, values: torch.Tensor, shift: int, window: slice) -> float:
    """Largest change of the outputs in `window` under the shift, relative to the largest output there."""
    along = axis + 2
    length = window.stop - window.start
    before = runner.run(values).narrow(along, window.start, length)
    after = runner.run(values.roll(shift, along)).narrow(along, window.start + shift, length)
    scale = float(before.abs().max())
    return float((after - before).abs().max()) / scale if scale else 0.0


def _is_rounding(change: float, runner: Runner) -> bool:
    return change <= _ROUNDING.get(runner.dtype, 1e-2)
