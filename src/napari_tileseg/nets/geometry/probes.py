"""How far a voxel of the input reaches in the output, seen with NaN on a thin bar.

NaN survives whatever a network does with a number, weights of zero included, and so marks everything
that can depend on the voxels it was put in. Where an operation swallows it (a comparison, a fused
rectifier), a large finite change is followed as well.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from itertools import pairwise
from math import prod

import torch

from napari_tileseg._types import Shape
from napari_tileseg.nets.geometry.runner import Runner, check_finite
from napari_tileseg.tiling.read_shape import ReadShape
from napari_tileseg.tiling.rounding import round_up

#: Change put on noise of unit variance to follow it where NaN is swallowed.
_CHANGE = 64.0
#: Longest bar, in voxels along it and in all, past which a reach counts as unbounded.
_LONGEST, _MOST_VOXELS = 2048, 2**18
#: Length of the first bar, if it has no more voxels than this.
_FIRST, _FIRST_VOXELS = 512, 2**13
#: The longest bar is never shorter than this many blocks.
_LEAST_BLOCKS = 16
#: Most voxels of a bar that is made longer because the network's windows look further than the longest.
_MOST_IN_ALL = 2**20


@dataclass(frozen=True, slots=True)
class Reach:
    """First and last output that a block of inputs can reach."""

    low: int
    high: int

    def moved(self, by: int) -> Reach:
        """Return the reach of the block moved by as much."""
        return Reach(self.low + by, self.high + by)

    def joined(self, other: Reach) -> Reach:
        """Return the least reach that holds both."""
        return Reach(min(self.low, other.low), max(self.high, other.high))


@dataclass(slots=True)
class Bar:
    """A bar of noise, long on one axis, through which a block of NaN is moved.

    Parameters
    ----------
    runner : Runner
        The network.
    axis : int
        Spatial axis along which the bar is long.
    shape : tuple of int
        Spatial shape of the bar.
    width : int
        Voxels of the block: at least the stride, so that its reach grows with its position.
    """

    runner: Runner
    axis: int
    shape: Shape
    width: int
    noise: torch.Tensor = field(init=False)
    _clean: torch.Tensor | None = field(init=False, default=None)
    _known: dict[int, Reach] = field(init=False, default_factory=dict)

    def __post_init__(self) -> None:
        self.noise = self.runner.noise(self.shape)

    def follow_changes(self) -> None:
        """Follow a finite change too, from here on, if it reaches further than NaN does.

        Raises
        ------
        NetworkError
            If the network gives values that are not finite for finite input.
        """
        clean = self.runner.run(self.noise)
        check_finite(clean)
        by_nan = self.reach(self.middle)
        by_both = by_nan.joined(self._by_change(self.middle, clean))
        if by_both != by_nan:
            self._clean = clean
            self._known[self.middle] = by_both

    @property
    def follows_changes(self) -> bool:
        """Whether a finite change is followed, too."""
        return self._clean is not None

    @property
    def length(self) -> int:
        """Voxels along the bar."""
        return self.shape[self.axis]

    @property
    def middle(self) -> int:
        """Start of the block in the middle."""
        return (self.length - self.width) // 2

    def reach(self, start: int) -> Reach:
        """Return outputs along the bar that the block of inputs from `start` can reach, itself included."""
        if start not in self._known:
            reach = self._by_nan(start)
            if self._clean is not None:
                reach = reach.joined(self._by_change(start, self._clean))
            self._known[start] = reach
        return self._known[start]

    @property
    def fits(self) -> bool:
        """Whether the block's reach stays inside the bar wherever it is within a block of the middle."""
        reach = self.reach(self.middle)
        return reach.low > self.width and reach.high < self.length - 1 - self.width

    @property
    def spread(self) -> Reach:
        """Reach of the block in the middle, counted from its start."""
        return self.reach(self.middle).moved(-self.middle)

    def shortened(self, read: ReadShape) -> Bar:
        """Return a bar no longer than the reach of NaN needs, quicker to run; itself, where there is none."""
        # To both sides of the middle, or what reaches far to one side would end outside, unseen.
        needed = 2 * max(self.spread.high + 1 - self.width, -self.spread.low) + 5 * self.width
        length = _on_step(needed, read, self.axis)
        if read.fixed or self._clean is not None or length >= self.length:
            return self
        shape = (*self.shape[: self.axis], length, *self.shape[self.axis + 1 :])
        bar = Bar(self.runner, self.axis, shape, self.width)
        return bar if bar.fits and bar.spread == self.spread else self

    def _by_nan(self, start: int) -> Reach:
        values = self.noise.clone()
        values.narrow(self.axis + 2, start, self.width).fill_(torch.nan)
        return self._extent(self.runner.run(values).isnan(), start)

    def _by_change(self, start: int, clean: torch.Tensor) -> Reach:
        values = self.noise.clone()
        values.narrow(self.axis + 2, start, self.width).mul_(-_CHANGE)
        return self._extent(self.runner.run(values) != clean, start)

    def _extent(self, touched: torch.Tensor, start: int) -> Reach:
        others = [axis for axis in range(touched.ndim) if axis != self.axis + 2]
        positions = touched.sum(dim=others).nonzero()
        own = Reach(start, start + self.width - 1)
        return own.joined(Reach(int(positions[0]), int(positions[-1]))) if len(positions) else own


def fitting_bar(
    runner: Runner, axis: int, thin: Shape, read: ReadShape, width: int, looks: int
) -> Bar | None:
    """Return a bar in which the reach of a block in the middle ends; None where it never does.

    Of a convolution that is dilated more than half the bar nothing arrives inside it. So a bar is long enough
    for all windows of the network that are known, one twice as long has to agree, and at last one twice the
    longest of all.

    Parameters
    ----------
    runner : Runner
        The network.
    axis : int
        Axis along which the bar is long.
    thin : tuple of int
        Voxels across the bar, on the other axes.
    read : ReadShape
        Shapes that the network accepts.
    width : int
        Voxels of the block.
    looks : int
        Voxels to one side that its windows are known to look.
    """

    def bar_of(length: int) -> Bar:
        return Bar(runner, axis, (*thin[:axis], length, *thin[axis + 1 :]), width)

    across = prod(thin) // thin[axis]
    found: Bar | None = None
    for length in _lengths(axis, across, read, width, looks):
        bar = bar_of(length)
        if not bar.fits:
            found = None
        elif found is None or bar.spread != found.spread:
            found = bar
        else:
            break
    if found is None:
        return None
    found.follow_changes()
    if not read.fixed:
        found = _seen_from_afar(
            found, bar_of(_on_step(min(2 * _LONGEST, _MOST_VOXELS // across), read, axis))
        )
    return found.shortened(read) if found.fits else None


def _seen_from_afar(found: Bar, farthest: Bar) -> Bar:
    """Return the bar that was found, or a longer one in which the block reaches further."""
    if farthest.length <= found.length:
        return found
    if found.follows_changes:
        farthest.follow_changes()
    return found if farthest.spread == found.spread else farthest


def _lengths(axis: int, across: int, read: ReadShape, width: int, looks: int) -> Iterator[int]:
    """Yield the lengths to try: the only one of a fixed network, else doubling."""
    if read.fixed:
        yield read.minimum[axis]
        return
    longest = min(_LONGEST, max(_MOST_VOXELS // across, _LEAST_BLOCKS * width))
    length = max(4 * width, min(_FIRST, _FIRST_VOXELS // across))
    # Twice, for the one that has to agree.
    needed = 2 * looks + 5 * width
    if needed > length:
        length, longest = needed, max(longest, min(2 * needed, _MOST_IN_ALL // across))
    while length <= longest:
        yield _on_step(length, read, axis)
        length *= 2


def _on_step(length: int, read: ReadShape, axis: int) -> int:
    step = read.step[axis]
    return max(round_up(length, step), read.minimum[axis])


def staircase(bar: Bar, stride: int) -> tuple[Reach, ...]:
    """Return the reach of the block at each of the positions ``middle, ..., middle + stride``.

    Reach grows with the position, so that between two positions of equal reach nothing need be run.
    """
    first = bar.middle
    reaches = [bar.reach(first)] * stride + [bar.reach(first + stride)]
    spans = [(0, stride)]
    while spans:
        a, b = spans.pop()
        if b - a < 2:
            continue
        if reaches[a] == reaches[b]:
            reaches[a + 1 : b] = [reaches[a]] * (b - a - 1)
            continue
        centre = (a + b) // 2
        reaches[centre] = bar.reach(first + centre)
        spans += [(a, centre), (centre, b)]
    return tuple(reaches)


def largest_jump(bar: Bar) -> int:
    """Return the most outputs by which the reach grows when the block moves by one voxel.

    That is the stride of the deepest pooling, also where up-sampling depends on the position and
    nothing repeats exactly.
    """
    steps = staircase(bar, bar.width)
    return max(max(b.high - a.high, b.low - a.low) for a, b in pairwise(steps))


def halo_of(bar: Bar, stride: int) -> tuple[int, int]:
    """Return the context before and after that a core needs whose ends lie on the stride.

    An output ``q >= core.start`` must depend on no input before ``core.start - before``, and likewise
    after; the worst over all positions within a stride.
    """
    before = after = 0
    for phase, reach in enumerate(staircase(bar, stride)):
        start = bar.middle + phase
        stop = start + bar.width
        before = max(before, reach.high // stride * stride - stop + 1)
        after = max(after, start - (reach.low // stride + 1) * stride + 1)
    return before, after


def receptive_field_of(bar: Bar, stride: int) -> int:
    """Return voxels from the first to the last input on which one output depends; the most over a stride."""
    steps = tuple(enumerate(staircase(bar, stride)))[:-1]
    extents = []
    for output in range(bar.middle, bar.middle + stride):
        firsts = [
            bar.middle + phase + bar.width - 1 - (reach.high - output) // stride * stride
            for phase, reach in steps
        ]
        lasts = [bar.middle + phase + (output - reach.low) // stride * stride for phase, reach in steps]
        extents.append(max(lasts) - min(firsts) + 1)
    return max(extents)
