"""Stride, read shapes, halo and receptive field of a network, measured from the network itself."""

from __future__ import annotations

from dataclasses import dataclass
from math import lcm

import torch

from napari_tileseg._types import Shape
from napari_tileseg.nets.geometry.probes import (
    bar_lengths,
    fitting_bar,
    halo_of,
    receptive_field_of,
)
from napari_tileseg.nets.geometry.runner import Runner
from napari_tileseg.nets.geometry.shapes import find_read_shape
from napari_tileseg.nets.geometry.shift import stride_in, stride_of_island
from napari_tileseg.nets.spec import Geometry, ReadShape

#: Voxels of the block that is moved through the network: a first try, and the largest stride looked for.
_WIDTH, _LARGEST_WIDTH = 16, 64


@dataclass(frozen=True, slots=True)
class _Axis:
    stride: int
    equivariant: bool
    halo: tuple[int, int] | None = None
    receptive_field: int | None = None


def measure(
    module: torch.nn.Module, ndim: int, in_channels: int, read_shape: Shape | None = None
) -> Geometry:
    """Measure a network's geometry; nothing is taken from its type or a table.

    Read shapes are found by trying. Then, on each axis, NaN is put into a bar which is as thin as the
    network accepts, to see which outputs it reaches, and noise is moved along the bar, to see by which
    shifts the output moves with it. The network itself is not changed: a copy is run, in eval mode.

    Parameters
    ----------
    module : torch.nn.Module
        Takes ``(batch, in_channels, *space)`` and gives ``(batch, classes, *space)`` of the same
        spatial shape. TorchScript is welcome.
    ndim : int
        Spatial axes.
    in_channels : int
        Channels that it takes.
    read_shape : tuple of int, optional
        A spatial shape that it is known to accept, tried first.

    Returns
    -------
    Geometry
        Where no shift moves the output with the input, `shift_equivariant` is False and `stride` is the
        shift that changes the output least. The stride is always a multiple of the step between accepted
        shapes. A reach that goes on past a bar of some 1000 voxels counts as unbounded.

    Raises
    ------
    NetworkError
        If no shape is accepted, the output has another shape than the input, is not one tensor, or is not
        finite for finite input.
    """
    runner = Runner(module, in_channels)
    read = find_read_shape(runner, ndim, read_shape)
    precise = runner.in_double(read.minimum)
    axes = [_measure_axis(runner, precise, axis, read) for axis in range(ndim)]
    halos = tuple(axis.halo for axis in axes if axis.halo is not None)
    fields = tuple(axis.receptive_field for axis in axes if axis.receptive_field is not None)
    bounded = len(halos) == ndim
    return Geometry(
        stride=tuple(axis.stride for axis in axes),
        read=read,
        halo=halos if bounded else None,
        receptive_field=fields if bounded else None,
        shift_equivariant=all(axis.equivariant for axis in axes),
    )


def _widths(read: ReadShape, axis: int) -> tuple[int, ...]:
    if read.fixed:
        return (max(1, min(_WIDTH, read.minimum[axis] // 8)),)
    first = max(_WIDTH, read.minimum[axis])
    return (first, _LARGEST_WIDTH) if first < _LARGEST_WIDTH else (first,)


def _measure_axis(runner: Runner, precise: Runner, axis: int, read: ReadShape) -> _Axis:
    step = 1 if read.fixed else read.step[axis]
    for width in _widths(read, axis):
        bar = fitting_bar(runner, axis, read, width)
        if bar is None:
            return _unbounded_axis(runner, axis, read, step)
        stride = stride_in(bar, precise)
        if stride is not None:
            stride = lcm(stride, step)
            return _Axis(stride, True, halo_of(bar, stride), receptive_field_of(bar, stride))
    stride, _ = stride_of_island(precise, axis, bar.shape, bar.width)
    stride = lcm(stride, step)
    return _Axis(stride, False, halo_of(bar, stride), receptive_field_of(bar, stride))


def _unbounded_axis(runner: Runner, axis: int, read: ReadShape, step: int) -> _Axis:
    width = _widths(read, axis)[-1]
    length = max(bar_lengths(read, axis, width)) if read.fixed else 8 * width
    shape = (*read.minimum[:axis], length, *read.minimum[axis + 1 :])
    stride, exact = stride_of_island(runner, axis, shape, width)
    return _Axis(lcm(stride, step), exact)
