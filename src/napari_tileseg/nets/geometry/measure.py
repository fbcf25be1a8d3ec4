"""Stride, read shapes, halo and receptive field of a network, measured from the network itself."""

from __future__ import annotations

from dataclasses import dataclass, replace
from math import gcd

import torch

from napari_tileseg._types import Halo, Shape
from napari_tileseg.nets.geometry.probes import (
    Bar,
    fitting_bar,
    halo_of,
    receptive_field_of,
)
from napari_tileseg.nets.geometry.proof import holds, section
from napari_tileseg.nets.geometry.runner import Runner
from napari_tileseg.nets.geometry.shapes import find_read_shape
from napari_tileseg.nets.geometry.shift import nearest_stride, stride_in, stride_of_island
from napari_tileseg.nets.spec import Geometry, ReadShape

#: Voxels of the block that is moved through the network: a first try, and the largest stride looked for.
_WIDTH, _LARGEST_WIDTH = 16, 64


@dataclass(frozen=True, slots=True)
class _Axis:
    stride: int
    equivariant: bool
    halo: tuple[int, int]
    receptive_field: int


def measure(
    module: torch.nn.Module, ndim: int, in_channels: int, read_shape: Shape | None = None
) -> Geometry:
    """Measure a network's geometry; nothing is taken from its type or a table.

    Read shapes are found by trying. Then, on each axis, NaN is put into a bar which is as thin as the
    network accepts, to see which outputs it reaches, and noise is moved along the bar, to see by which
    shifts the output moves with it. At last an image is cut in two with that halo, and has to give what it
    gives as a whole. The network itself is not changed: a copy is run, in eval mode.

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
        shift that changes the output least. It is False, too, where a cut image gives something else. The
        stride is always a multiple of the step between accepted shapes. A reach that goes on past a bar of
        some 1000 voxels counts as unbounded.

    Raises
    ------
    NetworkError
        If no shape is accepted, the output has another shape than the input, is not one tensor, or is not
        finite for finite input.
    """
    runner = Runner(module, in_channels)
    read, thin = find_read_shape(runner, ndim, read_shape)
    bars = _bars(runner, thin, read)
    if bars is None:
        strides = [_unbounded_stride(runner, axis, thin, read) for axis in range(ndim)]
        return _geometry(read, strides, None, None)
    precise = runner.in_double(read.minimum)
    geometry = _bounded(bars, precise, thin, read)
    if read.fixed or not geometry.shift_equivariant:
        return geometry
    across = section(geometry, thin)
    # In an image no thicker than the bars only what goes on at its border is new: no small change.
    if holds(runner if across == thin else precise, geometry, across):
        return geometry
    # Reaches that leave a thin bar sideways, such as those of even dilated kernels, show in a thicker one.
    thicker = _bars(runner, across, read)
    if thicker is None:
        return _geometry(read, [(stride, True) for stride in geometry.stride], None, None)
    geometry = _bounded(thicker, precise, across, read)
    exact = geometry.shift_equivariant and holds(precise, geometry, section(geometry, across))
    return replace(geometry, shift_equivariant=exact)


def _bounded(bars: list[Bar], precise: Runner, thin: Shape, read: ReadShape) -> Geometry:
    axes = [_bounded_axis(bar, precise, thin, read) for bar in bars]
    return _geometry(
        read,
        [(axis.stride, axis.equivariant) for axis in axes],
        tuple(axis.halo for axis in axes),
        tuple(axis.receptive_field for axis in axes),
    )


def _geometry(
    read: ReadShape, strides: list[tuple[int, bool]], halo: Halo | None, field: Shape | None
) -> Geometry:
    stride = tuple(stride for stride, _ in strides)
    equivariant = all(exact for _, exact in strides)
    if read.fixed:
        # Reads of the one accepted shape can lie on the stride only where it divides that shape.
        divisors = tuple(gcd(n, step) for n, step in zip(read.minimum, stride, strict=True))
        equivariant = equivariant and divisors == stride
        stride = divisors
        read = replace(read, step=divisors)
    return Geometry(stride=stride, read=read, halo=halo, receptive_field=field, shift_equivariant=equivariant)


def _bars(runner: Runner, thin: Shape, read: ReadShape) -> list[Bar] | None:
    """Bar for each axis in which a block's reach ends; None as soon as one has none."""
    bars = []
    for axis in range(len(thin)):
        bar = fitting_bar(runner, axis, thin, read, _width(thin, read, axis))
        if bar is None:
            return None
        bars.append(bar)
    return bars


def _width(thin: Shape, read: ReadShape, axis: int) -> int:
    return max(1, min(_WIDTH, thin[axis] // 8)) if read.fixed else max(_WIDTH, thin[axis])


def _step(read: ReadShape, axis: int) -> int:
    return 1 if read.fixed else read.step[axis]


def _bounded_axis(bar: Bar, precise: Runner, thin: Shape, read: ReadShape) -> _Axis:
    step = _step(read, bar.axis)
    stride = stride_in(bar, step, precise)
    if stride is None and bar.width < _LARGEST_WIDTH and not read.fixed:
        bar = fitting_bar(bar.runner, bar.axis, thin, read, _LARGEST_WIDTH) or bar
        stride = stride_in(bar, step, precise)
    used = stride or nearest_stride(bar, step)
    return _Axis(used, stride is not None, halo_of(bar, used), receptive_field_of(bar, used))


def _unbounded_stride(runner: Runner, axis: int, thin: Shape, read: ReadShape) -> tuple[int, bool]:
    step = _step(read, axis)
    length = thin[axis] if read.fixed else -(-16 * _width(thin, read, axis) // step) * step
    return stride_of_island(runner, axis, (*thin[:axis], length, *thin[axis + 1 :]), step)
