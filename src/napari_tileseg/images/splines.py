"""The same image on other voxels, by splines through its own, computed where it is read.

A cubic spline is a sum of bells, one a voxel, whose heights depend on all voxels along an axis; the influence
of a voxel on them falls to 0.268 from each one to the next (Unser, Aldroubi and Eden 1993, *IEEE Trans.
Signal Process.* 41). So a box is computed from its surroundings of some voxels, and equals the same box of
the whole image but for rounding. Beyond the outermost voxels the image goes on as they are.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt

from napari_tileseg._types import Array, Shape
from napari_tileseg.images.computed import with_voxels
from napari_tileseg.images.image import Image
from napari_tileseg.images.resample import ResampledSource
from napari_tileseg.tiling.box import Box

#: Voxels around a box that are read for cubic splines: what lies beyond changes less than rounding does.
MARGIN = 24


@dataclass(frozen=True, slots=True)
class Splines:
    """Degrees of splines along the grid axes.

    Parameters
    ----------
    orders : tuple of int
        Along each axis: 0 for the nearest voxel, 1 for linear, 3 for cubic.
    apart : frozenset of int
        Axes that are interpolated after all others, once the result is clipped: time, and an axis of coarse
        voxels.
    """

    orders: tuple[int, ...]
    apart: frozenset[int] = frozenset()

    @property
    def together(self) -> tuple[int, ...]:
        """Axes that are interpolated first."""
        return tuple(axis for axis in range(len(self.orders)) if axis not in self.apart)

    def bounds_shape(self, channels: int, shape: Shape) -> Shape:
        """Return the shape of the limits of an image: a pair for each channel and place along `apart`."""
        return (channels, *(n if axis in self.apart else 1 for axis, n in enumerate(shape)))


@dataclass(frozen=True, slots=True, eq=False)
class Limits:
    """Least and largest intensity, to which what splines overshoot is clipped.

    Parameters
    ----------
    low, high : ndarray
        Of `Splines.bounds_shape`.
    """

    low: Array
    high: Array

    def clip(self, values: Array, box: Box, apart: frozenset[int]) -> Array:
        """Clip ``(channels, ...)``, which are at `box` along the axes that are apart."""
        part = (
            slice(None),
            *(each if axis in apart else slice(None) for axis, each in enumerate(box.slices)),
        )
        clipped: Array = np.clip(values, self.low[part], self.high[part])
        return clipped


def splined(image: Image, shape: Shape, splines: Splines) -> Image:
    """Return a lazy view of an image with other numbers of voxels over exactly the same extent.

    Parameters
    ----------
    image : Image
        Image to resample.
    shape : tuple of int
        Voxels along each grid axis, at least 1.
    splines : Splines
        How.

    Returns
    -------
    Image
        Float32 (float64 for float64), its channels in front; those that are not selected are left out.

    Examples
    --------
    >>> finer = splined(Image(np.eye(2, dtype="float32"), "yx"), (4, 2), Splines((3, 3)))
    >>> finer.voxel_size, finer.translation
    ((0.5, 1.0), (-0.25, 0.0))
    """
    # An axis that keeps its voxels is taken as it is.
    orders = tuple(o if a != b else 0 for o, a, b in zip(splines.orders, image.shape, shape, strict=True))
    splines = replace(splines, orders=orders)
    old = zip(image.voxel_size, image.shape, shape, strict=True)
    sizes = tuple(size * before / after for size, before, after in old)
    places = zip(image.translation, sizes, image.voxel_size, strict=True)
    return _view(image, shape, sizes, tuple(at + (new - size) / 2 for at, new, size in places), splines)


def splined_onto(image: Image, target: Image, splines: Splines) -> Image:
    """Return a lazy view of an image on the voxels of another of the same axes and units."""
    return _view(image, target.shape, target.voxel_size, target.translation, splines)


def _view(
    image: Image, shape: Shape, sizes: tuple[float, ...], first: tuple[float, ...], splines: Splines
) -> Image:
    source = SplinedSource(image, shape, sizes, first, splines)
    return replace(with_voxels(image, source), voxel_size=sizes, translation=first)


class SplinedSource(ResampledSource):
    """Voxels of splines through an image.

    Parameters
    ----------
    image, shape, sizes, first
        As `ResampledSource` takes them.
    splines : Splines
        How.
    limits : Limits, optional
        Of the image's intensities; what is interpolated is not clipped by default.
    """

    def __init__(
        self,
        image: Image,
        shape: Shape,
        sizes: tuple[float, ...],
        first: tuple[float, ...],
        splines: Splines,
        limits: Limits | None = None,
    ) -> None:
        super().__init__(image, shape, sizes, first, "linear")
        self.splines = splines
        self._sizes, self._first, self._limits = sizes, first, limits

    def over(self, image: Image, limits: Limits | None) -> SplinedSource:
        """Return the same voxels of another image of the same shape and place, clipped to its limits."""
        return SplinedSource(image, self._grid, self._sizes, self._first, self.splines, limits)

    def read_for(self, box: Box) -> Box:
        """Return what is read of the image for a box of the view that is not empty."""
        ends = zip(box.start, box.stop, strict=True)
        return self._read_of(
            [self._positions(axis, np.array([a, b - 1.0])) for axis, (a, b) in enumerate(ends)]
        )

    def _interpolate(self, indices: list[npt.NDArray[np.float64]]) -> Array:
        if not all(index.size for index in indices):
            return super()._interpolate(indices)
        positions = [self._positions(axis, index) for axis, index in enumerate(indices)]
        box = self._read_of(positions)
        read = self.image.read(box)
        finite = np.isfinite(read)
        if finite.all():
            return self._along_all(read, positions, box).astype(self.dtype)
        # A spline would carry them through the whole box: they stay where linear interpolation has them.
        values = self._along_all(np.where(finite, read, 0), positions, box)
        reached = self._along_all((~finite).astype(np.float64), positions, box, linear=True) > 0
        return np.where(reached, np.nan, values).astype(self.dtype)

    def _positions(self, axis: int, index: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
        """Return where voxels of the view lie between those of the image."""
        size, step, offset = self.image.shape[axis], self._step[axis], self._offset[axis]
        exact = size / self._grid[axis]
        if abs(step - exact) <= 1e-9 * exact and abs(offset - (exact - 1) / 2) <= 1e-6:
            # Over the same extent: what falls in the middle between two voxels does so exactly.
            position = (index + 0.5) * exact - 0.5
        else:
            position = offset + index * step
        return np.clip(position, -0.5, size - 0.5)

    def _read_of(self, positions: Sequence[npt.NDArray[np.float64]]) -> Box:
        """Return the box of the image that all these positions depend on."""
        start, stop = [], []
        for position, order, size in zip(positions, self.splines.orders, self.image.shape, strict=True):
            margin = MARGIN if order > 1 else 0
            start.append(max(0, int(np.floor(position.min())) - margin))
            stop.append(min(size, int(np.floor(position.max())) + 2 + margin))
        return Box(tuple(start), tuple(stop))

    def _along_all(
        self, read: Array, positions: Sequence[npt.NDArray[np.float64]], box: Box, *, linear: bool = False
    ) -> Array:
        """Interpolate the voxels ``(channels, *box.shape)`` of a box along one axis after another."""
        values: Array = read.astype(np.float64)
        orders = [min(order, 1) if linear else order for order in self.splines.orders]

        def along(values: Array, axis: int) -> Array:
            ends = (box.start[axis] == 0, box.stop[axis] == self.image.shape[axis])
            return _along(values, axis + 1, positions[axis] - box.start[axis], orders[axis], ends)

        for axis in self.splines.together:
            values = along(values, axis)
        if self._limits is not None and not linear:
            values = self._limits.clip(values, box, self.splines.apart)
        for axis in sorted(self.splines.apart):
            values = along(values, axis)
        return values


def _along(
    values: Array, axis: int, position: npt.NDArray[np.float64], order: int, ends: tuple[bool, bool]
) -> Array:
    """Interpolate at positions along an axis, which goes on past those ends of it that are the image's."""
    last = values.shape[axis] - 1
    if order == 0:
        return np.take(values, np.clip(np.floor(position + 0.5), 0, last).astype(np.intp), axis)
    if order == 1:
        position = np.clip(position, 0, last)
        low = np.floor(position)
        share = position - low
        return _weighted(values, axis, low.astype(np.intp), (1 - share, share))
    # Here, as most images need no splines, and importing it takes as long as opening one.
    from scipy import ndimage

    before, after = (MARGIN if end else 0 for end in ends)
    beyond = [(before, after) if each == axis else (0, 0) for each in range(values.ndim)]
    heights = ndimage.spline_filter1d(np.pad(values, beyond, mode="edge"), 3, axis, mode="reflect")
    position = position + before
    low = np.floor(position)
    t = position - low
    bells = ((1 - t) ** 3, 4 - 6 * t**2 + 3 * t**3, 1 + 3 * t + 3 * t**2 - 3 * t**3, t**3)
    return _weighted(heights, axis, low.astype(np.intp) - 1, [bell / 6 for bell in bells])


def _weighted(
    values: Array, axis: int, first: npt.NDArray[np.intp], weights: Sequence[npt.NDArray[np.float64]]
) -> Array:
    """Return the sum of neighbours along an axis, from `first` on, each times its weight."""
    column = (-1, *(1,) * (values.ndim - axis - 1))
    last = values.shape[axis] - 1
    total: Array | None = None
    for number, weight in enumerate(weights):
        part = np.take(values, np.minimum(first + number, last), axis) * weight.reshape(column)
        total = part if total is None else total + part
    assert total is not None
    return total
