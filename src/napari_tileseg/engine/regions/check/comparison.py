"""Comparing regions with the plain run of the network on a whole image."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import nullcontext
from dataclasses import dataclass
from math import inf

import torch
from torch import Tensor, nn

from napari_tileseg._types import Shape
from napari_tileseg.engine.regions.check.in_double import InDouble
from napari_tileseg.engine.regions.program.program import Program
from napari_tileseg.nets.outputs import only_tensor
from napari_tileseg.nets.spec import NetworkSpec
from napari_tileseg.tiling import Box
from napari_tileseg.tiling.read_shape import ReadShape
from napari_tileseg.tiling.rounding import round_up

#: Largest difference that rounding explains, relative to the largest value, at least 1.
TOLERANCE = {torch.float64: 1e-10, torch.float32: 1e-5}
#: Most voxels of the image on which regions are compared with the whole: 64^3.
MOST = 2**18
#: Least voxels of a region along each axis.
_WIDTH = 4


@dataclass(frozen=True, slots=True)
class Region:
    """A part of a whole image.

    Parameters
    ----------
    name : str
        What to call it.
    box : Box
        Where it lies.
    """

    name: str
    box: Box


@dataclass(frozen=True, slots=True)
class Difference:
    """How far a region is off.

    Parameters
    ----------
    region : Region
        Which.
    share : float
        Largest difference, relative to the largest value of the whole (at least 1); infinite where a value
        is not finite or the shapes differ.
    mean : float
        The same of the mean difference.
    """

    region: Region
    share: float
    mean: float


def differences(
    program: Program, module: nn.Module, values: Tensor, regions: Sequence[Region]
) -> list[Difference]:
    """Compare regions with one plain run.

    Parameters
    ----------
    program : Program
        Computes the regions.
    module : torch.nn.Module
        The network, on the device of `values` and in their number format.
    values : Tensor
        The whole image, ``(1, channels, *space)``.
    regions : sequence of Region
        What to compare.
    """
    shape = tuple(values.shape[2:])
    precise = InDouble() if values.dtype == torch.float64 else nullcontext()
    with torch.inference_mode():
        with precise:
            # A copy: a network may begin by overwriting its input.
            whole = only_tensor(module(values.clone()))
        scale = max(1.0, float(whole.abs().max()))
        found = []
        for region in regions:
            schedule = program.schedule(shape, region.box)
            part = program.to_device(values[(slice(None), slice(None), *schedule.read.slices)].clone())
            expected = whole[(slice(None), slice(None), *region.box.slices)]
            found.append(_difference(region, program.run(part, schedule), expected, scale))
    return found


def _difference(region: Region, values: Tensor, expected: Tensor, scale: float) -> Difference:
    if values.shape != expected.shape:
        return Difference(region, inf, inf)
    off = (values.to(expected.dtype) - expected).abs() / scale
    if not bool(torch.isfinite(off).all()):
        return Difference(region, inf, inf)
    return Difference(region, float(off.max()), float(off.mean()))


def whole_for_check(spec: NetworkSpec, most: int = MOST, axes: Sequence[int] | None = None) -> Shape:
    """Return the shape of a small image that has an interior, as far as that stays small.

    Parameters
    ----------
    spec : NetworkSpec
        What is known of the network.
    most : int
        Most voxels, if the network accepts so few.
    axes : sequence of int, optional
        Axes along which it has one; all by default. Along the others it is as short as can be.
    """
    read = spec.padded_sizes
    wanted = tuple(
        round_up(sum(halo), step) + 2 * step for halo, step in zip(spec.default_halo, read.step, strict=True)
    )
    return _grown(read, wanted, most, range(spec.ndim) if axes is None else axes)


def whole_for_timing(spec: NetworkSpec, most: int) -> Shape:
    """Return the shape of an image of about `most` voxels, if the network accepts so few."""
    return _grown(spec.padded_sizes, (most,) * spec.ndim, most, range(spec.ndim))


def _grown(read: ReadShape, wanted: Shape, most: int, axes: Sequence[int]) -> Shape:
    """Grow the least shape along `axes` toward what is wanted, up to `most` voxels."""
    shape, largest = tuple(read.minimum), read.maximum or wanted
    wanted = tuple(map(min, wanted, largest))
    grown = True
    while grown:
        grown = False
        for axis in axes:
            larger = (*shape[:axis], shape[axis] + read.step[axis], *shape[axis + 1 :])
            if larger[axis] <= wanted[axis] and Box.of_shape(larger).size <= most:
                shape, grown = larger, True
    return shape


def noise(spec: NetworkSpec, shape: Shape) -> Tensor:
    """Return an image to compare on: ``(1, channels, *shape)`` from 0 to 1, always the same."""
    random = torch.Generator().manual_seed(0)
    return torch.rand(1, spec.in_channels, *shape, generator=random)


def regions_for_check(shape: Shape, step: Shape) -> tuple[Region, Region, Region]:
    """Return one region in the middle, and one in each of two opposite corners."""
    size = tuple(min(n, round_up(_WIDTH, s)) for n, s in zip(shape, step, strict=True))
    middle = tuple((n - w) // 2 // s * s for n, w, s in zip(shape, size, step, strict=True))
    last = tuple(n - w for n, w in zip(shape, size, strict=True))
    return (
        Region("interior", _at(middle, size)),
        Region("border", _at((0,) * len(shape), size)),
        Region("border", _at(last, size)),
    )


def _at(start: Shape, shape: Shape) -> Box:
    return Box(start, tuple(a + n for a, n in zip(start, shape, strict=True)))
