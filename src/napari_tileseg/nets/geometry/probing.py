"""Stride, halo and receptive field of a network, measured by running it with NaN and shifted noise."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from math import gcd, lcm

from napari_tileseg._types import Halo, Shape
from napari_tileseg.nets.geometry.footprint import Footprint, footprint
from napari_tileseg.nets.geometry.probes import (
    Bar,
    fitting_bar,
    halo_of,
    receptive_field_of,
)
from napari_tileseg.nets.geometry.proof import holds, holds_along, section
from napari_tileseg.nets.geometry.runner import Runner
from napari_tileseg.nets.geometry.shapes import example
from napari_tileseg.nets.geometry.shift import nearest_stride, stride_in, stride_of_island
from napari_tileseg.nets.spec import Geometry
from napari_tileseg.tiling.read_shape import ReadShape
from napari_tileseg.tiling.rounding import round_up

#: Voxels of the block that is moved through the network: a first try, and the largest stride looked for.
_WIDTH, _LARGEST_WIDTH = 16, 64
#: Multiple of all sizes that networks commonly pad their input to.
_PADDED = 192


@dataclass(frozen=True, slots=True)
class _Axis:
    stride: int
    equivariant: bool
    halo: tuple[int, int]
    receptive_field: int


@dataclass(frozen=True, slots=True)
class _Subject:
    """What is measured, and on what.

    Parameters
    ----------
    runner : Runner
        The network.
    read : ReadShape
        Shapes that it accepts.
    windows : Footprint
        What its windows make of space.
    lengths : ReadShape
        Shapes of the images that it is measured on: those that it accepts on its poolings.
    """

    runner: Runner
    read: ReadShape
    windows: Footprint
    lengths: ReadShape

    def step(self, axis: int) -> int:
        """Return the voxels between two lengths that it accepts."""
        return 1 if self.read.fixed else self.read.step[axis]


def probe(runner: Runner, read: ReadShape, thin: Shape) -> Geometry:
    """Measure a network's geometry by running it; nothing is taken from its type or a table.

    On each axis NaN is put into a bar which is as thin as the network accepts, to see which outputs it
    reaches, and noise is moved along the bar, to see by which shifts the output moves with it. At last an
    image is cut in two with that halo, and has to give what it gives as a whole. How far its windows can look
    is recorded before, so that no bar is too short to show it.

    Parameters
    ----------
    runner : Runner
        The network.
    read, thin : ReadShape, tuple of int
        Shapes that it accepts, and how thin a bar may be, as `find_read_shape` gives them.

    Returns
    -------
    Geometry
        Where no shift moves the output with the input, `shift_equivariant` is False and `stride` is that of
        the network's poolings. It is False, too, where a cut image gives something else at every multiple
        of the stride. The stride is always a multiple of the step between accepted shapes. A reach that goes
        on past a bar of some 1000 voxels counts as unbounded, unless the network's windows say where it ends.

    Raises
    ------
    NetworkError
        If its output is not finite for finite input.
    """
    windows = footprint(runner, example(read))
    lengths = _on_poolings(read, windows)
    subject = _Subject(runner, read, windows, lengths)
    return _measured(subject, thin if read.fixed else tuple(map(round_up, thin, lengths.step)))


def _measured(subject: _Subject, thin: Shape) -> Geometry:
    bars = _bars(subject, thin)
    if bars is None:
        return _geometry(subject.read, _unbounded_strides(subject, thin), None, None)
    precise = subject.runner.in_double(subject.read.minimum)
    geometry = _bounded(subject, bars, precise, thin)
    if subject.read.fixed or not geometry.shift_equivariant:
        return geometry
    across = section(geometry, thin)
    # In an image no thicker than the bars only what goes on at its border is new: no small change.
    if holds(subject.runner if across == thin else precise, geometry, across):
        return geometry
    # Reaches that leave a thin bar sideways, such as those of even dilated kernels, show in a thicker one.
    thicker = _bars(subject, across)
    if thicker is None:
        return _geometry(subject.read, [(stride, True) for stride in geometry.stride], None, None)
    geometry = _bounded(subject, thicker, precise, across)
    if not geometry.shift_equivariant:
        return geometry
    return _held(geometry, precise, section(geometry, across))


def _held(geometry: Geometry, precise: Runner, across: Shape) -> Geometry:
    """Return the geometry, or one of larger strides, with which cut images give what the whole gives.

    A network that pads its input to a multiple, and crops its output, repeats at shifts by its poolings; its
    tiles are those of the whole image only where there is nothing to pad. What a core needs around it stays.
    """
    for axis in range(len(across)):
        found = next(_tried(geometry, axis, precise, across), None)
        if found is None:
            return replace(geometry, shift_equivariant=False)
        geometry = found
    return geometry


def _tried(geometry: Geometry, axis: int, precise: Runner, across: Shape) -> Iterator[Geometry]:
    """Yield the geometry, and those of larger strides along an axis, that hold."""
    stride = geometry.stride[axis]
    if holds_along(precise, geometry, axis, across):
        yield geometry
    # Where even this does not help, nothing is padded: what depends on the position fails at every stride.
    elif holds_along(precise, _strided(geometry, axis, lcm(stride, _PADDED)), axis, across):
        for larger in range(2 * stride, _LARGEST_WIDTH + 1, stride):
            tried = _strided(geometry, axis, larger)
            if holds_along(precise, tried, axis, across):
                yield tried


def _strided(geometry: Geometry, axis: int, stride: int) -> Geometry:
    return replace(geometry, stride=(*geometry.stride[:axis], stride, *geometry.stride[axis + 1 :]))


def _on_poolings(read: ReadShape, windows: Footprint) -> ReadShape:
    """Return the accepted shapes that are multiples of the network's own poolings.

    At other lengths it may pad, or stretch what it puts together, and repeat at no shift.
    """
    steps = tuple(map(lcm, read.step, windows.stride))
    if read.fixed or max(windows.stride) > _LARGEST_WIDTH:
        return read
    return ReadShape(minimum=tuple(map(round_up, read.minimum, steps)), step=steps)


def _bounded(subject: _Subject, bars: list[Bar], precise: Runner, thin: Shape) -> Geometry:
    axes = [_bounded_axis(subject, bar, precise, thin) for bar in bars]
    return _geometry(
        subject.read,
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


def _bars(subject: _Subject, thin: Shape) -> list[Bar] | None:
    """Return a bar for each axis in which a block's reach ends; None as soon as one has none."""
    bars = []
    for axis in range(len(thin)):
        bar = _bar(subject, axis, thin, _width(subject, thin, axis))
        if bar is None:
            return None
        bars.append(bar)
    return bars


def _bar(subject: _Subject, axis: int, thin: Shape, width: int) -> Bar | None:
    return fitting_bar(subject.runner, axis, thin, subject.lengths, width, subject.windows.reach[axis])


def _width(subject: _Subject, thin: Shape, axis: int) -> int:
    return max(1, min(_WIDTH, thin[axis] // 8)) if subject.read.fixed else max(_WIDTH, thin[axis])


def _bounded_axis(subject: _Subject, bar: Bar, precise: Runner, thin: Shape) -> _Axis:
    axis, step = bar.axis, subject.step(bar.axis)
    stride = stride_in(bar, step, precise)
    if stride is None and bar.width < _LARGEST_WIDTH and not subject.read.fixed:
        bar = _bar(subject, axis, thin, _LARGEST_WIDTH) or bar
        stride = stride_in(bar, step, precise)
    used = stride or _of_windows(subject, axis) or nearest_stride(bar, step)
    return _Axis(used, stride is not None, halo_of(bar, used), receptive_field_of(bar, used))


def _of_windows(subject: _Subject, axis: int) -> int | None:
    """Return the stride of a network that never moves exactly, from its poolings; None if unknown."""
    stride = subject.windows.stride[axis]
    return lcm(stride, subject.step(axis)) if 1 < stride <= _LARGEST_WIDTH else None


def _unbounded_strides(subject: _Subject, thin: Shape) -> list[tuple[int, bool]]:
    """For each axis the stride, and whether the output moves with it.

    What depends on all of the tile changes a little with every shift; the poolings say which it should be.
    """
    found = []
    for axis in range(len(thin)):
        step = subject.step(axis)
        length = thin[axis] if subject.read.fixed else round_up(16 * _width(subject, thin, axis), step)
        shift, exact = stride_of_island(subject.runner, axis, (*thin[:axis], length, *thin[axis + 1 :]), step)
        found.append((_of_windows(subject, axis) or shift, exact))
    return found
