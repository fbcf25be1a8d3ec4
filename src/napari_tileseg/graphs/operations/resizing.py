"""Up-sampling: nearest, linear, and by moving channels into space."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction
from functools import lru_cache
from math import ceil, prod
from typing import Any, Literal, TypeAlias, final

import torch
from torch import Tensor
from torch.nn import functional

from napari_tileseg._types import Shape
from napari_tileseg.graphs.operations.operation import Need, Operation, fit, own
from napari_tileseg.tiling import Box

Kind: TypeAlias = Literal["nearest", "nearest-exact", "linear", "cubic"]
#: Torch's constant of cubic convolution.
_CUBIC = -0.75
_LINEAR = {1: "linear", 2: "bilinear", 3: "trilinear"}


@dataclass(frozen=True, slots=True)
class Stretch:
    """How one axis is resized.

    Parameters
    ----------
    kind : {"nearest", "nearest-exact", "linear", "cubic"}
        What a value is made from.
    aligned : bool
        Whether the first and the last voxels lie on each other ("linear" and "cubic" only).
    factor : float, optional
        Stated factor; the ratio of the sizes by default.
    size, whole : int
        Voxels before and after.
    """

    kind: Kind
    aligned: bool
    factor: float | None
    size: int
    whole: int

    @property
    def times(self) -> int:
        """The factor, where each voxel becomes so many equal ones; 0 where the place counts, too."""
        times, rest = divmod(self.whole, self.size)
        even = not rest and not self.aligned and self.factor in {None, float(times)} and self.kind != "cubic"
        return times if even else 0

    @property
    def step(self) -> Fraction:
        """Voxels before between two voxels after, as a whole number or one part of a voxel."""
        ratio = Fraction(self.size, self.whole)
        return Fraction(1, round(1 / ratio)) if ratio < 1 else Fraction(round(ratio))

    @property
    def is_even(self) -> bool:
        """Whether voxels away from the border are made alike."""
        if self.times or (self.size == self.whole and (self.aligned or self.factor in {None, 1.0})):
            return True
        every, onward = self.step.denominator, self.step.numerator
        first, _, share = self.sources(every, self.whole - 2 * every, torch.float64)
        moved = first[every:] - first[:-every]
        return bool((moved == onward).all()) and torch.allclose(share[every:], share[:-every], atol=1e-9)

    def sources(self, start: int, stop: int, dtype: torch.dtype) -> tuple[Tensor, Tensor, Tensor]:
        """Return for each position the voxel before, the one after, and the weight of the latter.

        Under "cubic", that is how far the position lies behind the former, and both may lie outside.
        Computed in the number format in which torch does, so that both find the same voxel.
        """
        places = torch.arange(start, stop, dtype=dtype)
        if self.aligned:
            scale = torch.tensor((self.size - 1) / (self.whole - 1) if self.whole > 1 else 0.0, dtype=dtype)
            exact = places * scale
        else:
            ratio = 1.0 / self.factor if self.factor else self.size / self.whole
            scale = torch.tensor(ratio, dtype=dtype)
            shift = 0.0 if self.kind == "nearest" else 0.5
            exact = (places + shift) * scale
            if self.kind == "linear":
                exact = (exact - shift).clamp(min=0)
            elif self.kind == "cubic":
                exact = exact - shift
        if self.kind == "cubic":
            first = exact.floor().to(torch.int64)
            return first, first + 1, exact - first
        first = exact.floor().to(torch.int64).clamp(max=self.size - 1)
        if self.kind != "linear":
            return first, first, torch.zeros_like(exact)
        return first, (first + 1).clamp(max=self.size - 1), exact - first

    def reach(self, start: int, stop: int) -> tuple[int, int]:
        """Return the voxels that the positions from `start` to `stop` are made from."""
        times = self.times
        if not times:
            return _table_reach(self, start, stop)
        if self.kind != "linear":
            return start // times, (stop - 1) // times + 1
        # In whole numbers, so that nothing is rounded.
        low = max(0, (2 * start + 1 - times) // (2 * times))
        return low, min(self.size, max(low, (2 * stop - 1 - times) // (2 * times)) + 2)


@lru_cache(maxsize=4096)
def _table_reach(stretch: Stretch, start: int, stop: int) -> tuple[int, int]:
    """Return the reach in both number formats, whose rounding may differ by a voxel."""
    tables = [stretch.sources(start, stop, dtype) for dtype in (torch.float32, torch.float64)]
    # One voxel more on both sides has a part in what is cubic.
    beside = int(stretch.kind == "cubic")
    low = min(int(first.min()) for first, _, _ in tables) - beside
    high = max(int(second.max()) for _, second, _ in tables) + beside
    return min(max(0, low), stretch.size - 1), min(max(0, high), stretch.size - 1) + 1


@final
@dataclass(frozen=True, slots=True)
class Resize(Operation):
    """Nearest or linear interpolation to another size.

    Parameters
    ----------
    kind : {"nearest", "nearest-exact", "linear", "cubic"}
        What a value is made from.
    aligned : bool
        Whether the first and the last voxels of both sizes lie on each other.
    factors : tuple of float or None
        Stated factor on each axis.
    """

    kind: Kind
    aligned: bool
    factors: tuple[float | None, ...]

    def steps(self, source: Shape, whole: Shape) -> tuple[Fraction, ...]:
        """See `Operation.steps`; what is a little larger or smaller is stretched, and stays."""
        return tuple(axis.step for axis in self._axes(source, whole))

    def is_even(self, source: Shape, whole: Shape) -> bool:
        """See `Operation.is_even`."""
        return all(axis.is_even for axis in self._axes(source, whole))

    def _axes(self, source: Shape, whole: Shape) -> tuple[Stretch, ...]:
        return tuple(
            Stretch(self.kind, self.aligned, factor, size, n)
            for factor, size, n in zip(self.factors, source, whole, strict=True)
        )

    def need(self, box: Box, sources: Sequence[Shape], whole: Shape) -> Need:
        """See `Operation.need`; the place is a factor and what to cut off, or where in the image it lies."""
        axes = self._axes(sources[0], whole)
        spans = [axis.reach(a, b) for axis, a, b in zip(axes, box.start, box.stop, strict=True)]
        part = Box(tuple(a for a, _ in spans), tuple(b for _, b in spans))
        times = tuple(axis.times for axis in axes)
        if all(times):
            ends = zip(part.start, part.stop, times, box.start, box.stop, strict=True)
            return Need((part,), (times, tuple((lo * n - a, b - hi * n) for lo, hi, n, a, b in ends)))
        return Need((part,), (axes, tuple(zip(box.start, box.stop, part.start, strict=True))))

    def run(self, values: Sequence[Tensor], weights: Sequence[Tensor], place: Any, *, reuse: bool) -> Tensor:
        """See `Operation.run`."""
        del weights, reuse
        how, where = place
        if isinstance(how[0], Stretch):
            return _interpolate(values[0], how, where)
        mode = _LINEAR[len(how)] if self.kind == "linear" else self.kind
        output = functional.interpolate(values[0], scale_factor=[float(n) for n in how], mode=mode)
        return fit(output, where)


def _interpolate(value: Tensor, axes: Sequence[Stretch], spans: Sequence[tuple[int, int, int]]) -> Tensor:
    """Interpolate one axis after the other, from the voxels on both sides of each position."""
    dtype = torch.float64 if value.dtype == torch.float64 else torch.float32
    for axis, (stretch, (start, stop, origin)) in enumerate(zip(axes, spans, strict=True), start=2):
        first, second, share = (t.to(value.device) for t in stretch.sources(start, stop, dtype))
        if stretch.kind == "cubic":
            value = _cubic(value, axis, first, share, (origin, stretch.size))
            continue
        lower = value.index_select(axis, first - origin)
        if stretch.kind == "linear" and stretch.size > 1:
            upper = value.index_select(axis, second - origin)
            weight = share.to(value.dtype).reshape(-1, *(1,) * (value.ndim - axis - 1))
            lower = torch.lerp(lower, upper, weight)
        value = lower
    return value


def _cubic(value: Tensor, axis: int, first: Tensor, share: Tensor, where: tuple[int, int]) -> Tensor:
    """Interpolate one axis from four voxels (Keys, 1981); beyond the border the last one is repeated."""
    origin, size = where
    near, far = share, 1 - share

    def inner(t: Tensor) -> Tensor:
        return ((_CUBIC + 2) * t - (_CUBIC + 3)) * t * t + 1

    def outer(t: Tensor) -> Tensor:
        return ((_CUBIC * t - 5 * _CUBIC) * t + 8 * _CUBIC) * t - 4 * _CUBIC

    total: Tensor | None = None
    for place, weight in enumerate((outer(near + 1), inner(near), inner(far), outer(far + 1)), start=-1):
        taken = value.index_select(axis, (first + place).clamp(0, size - 1) - origin)
        part = taken * weight.to(value.dtype).reshape(-1, *(1,) * (value.ndim - axis - 1))
        total = part if total is None else total + part
    assert total is not None
    return total


@dataclass(frozen=True, slots=True)
class _Shuffle(Operation):
    """Blocks of voxels and channels stand for each other.

    Parameters
    ----------
    factors : tuple of int
        Voxels of a block along each axis.
    """

    factors: Shape

    def _ends(self, box: Box) -> tuple[tuple[int, int, int], ...]:
        """Return where a box starts and stops on each axis, with the factor."""
        return tuple(zip(box.start, box.stop, self.factors, strict=True))


@final
@dataclass(frozen=True, slots=True)
class PixelShuffle(_Shuffle):
    """Channels become voxels: ``(batch, c * product of factors, *n)`` to ``(batch, c, *(n * factors))``."""

    def steps(self, source: Shape, whole: Shape) -> tuple[Fraction, ...]:
        """See `Operation.steps`."""
        del source, whole
        return tuple(Fraction(1, factor) for factor in self.factors)

    def need(self, box: Box, sources: Sequence[Shape], whole: Shape) -> Need:
        """See `Operation.need`; the place is what to cut off."""
        del sources, whole
        ends = self._ends(box)
        part = Box(tuple(a // n for a, _, n in ends), tuple(ceil(b / n) for _, b, n in ends))
        edges = zip(part.start, part.stop, ends, strict=True)
        return Need((part,), tuple((lo * n - a, b - hi * n) for lo, hi, (a, b, n) in edges))

    def run(self, values: Sequence[Tensor], weights: Sequence[Tensor], place: Any, *, reuse: bool) -> Tensor:
        """See `Operation.run`."""
        del weights, reuse
        (value,) = values
        ndim, batch, space = len(self.factors), value.shape[0], value.shape[2:]
        apart = value.reshape(batch, -1, *self.factors, *space)
        order = [
            axis
            for pair in zip(range(2 + ndim, 2 + 2 * ndim), range(2, 2 + ndim), strict=True)
            for axis in pair
        ]
        shape = (n * times for n, times in zip(space, self.factors, strict=True))
        channels = value.shape[1] // prod(self.factors)
        joined = apart.permute(0, 1, *order).reshape(batch, channels, *shape)
        # Where nothing has to be moved, as for a single voxel, what is overwritten later would be the source.
        return fit(joined.clone() if joined.data_ptr() == value.data_ptr() else joined, place)


@final
@dataclass(frozen=True, slots=True)
class PixelUnshuffle(_Shuffle):
    """Voxels become channels: ``(batch, c, *(n * factors))`` to ``(batch, c * product of factors, *n)``."""

    def steps(self, source: Shape, whole: Shape) -> tuple[Fraction, ...]:
        """See `Operation.steps`."""
        del source, whole
        return tuple(map(Fraction, self.factors))

    def need(self, box: Box, sources: Sequence[Shape], whole: Shape) -> Need:
        """See `Operation.need`."""
        del sources, whole
        ends = self._ends(box)
        return Need((Box(tuple(a * n for a, _, n in ends), tuple(b * n for _, b, n in ends)),))

    def run(self, values: Sequence[Tensor], weights: Sequence[Tensor], place: Any, *, reuse: bool) -> Tensor:
        """See `Operation.run`."""
        del weights, place, reuse
        (value,) = values
        ndim, pairs = len(self.factors), list(zip(value.shape[2:], self.factors, strict=True))
        apart = value.reshape(
            *value.shape[:2], *(n for size, factor in pairs for n in (size // factor, factor))
        )
        order = (*range(3, 3 + 2 * ndim, 2), *range(2, 2 + 2 * ndim, 2))
        joined = apart.permute(0, 1, *order).reshape(len(value), -1, *(n // factor for n, factor in pairs))
        return own(joined, values)
