"""What is looked for in an image, block by block: means and quantiles."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, TypeAlias, final

import numpy as np
import numpy.typing as npt

from napari_tileseg._types import Array, Shape
from napari_tileseg.nets.intensities.foreground import Foreground
from napari_tileseg.nets.intensities.moments import Moments
from napari_tileseg.nets.intensities.quantiles import RankSearch, quantile_ranks
from napari_tileseg.nets.intensities.resolved import ResolvedStep, foreground_of, run_steps
from napari_tileseg.nets.intensities.steps import Linear, Over, Percentiles, ZeroMean


@dataclass(frozen=True, slots=True)
class Block:
    """A block of an image.

    Parameters
    ----------
    stored, current : ndarray
        ``(channels, *shape)``: intensities as they are stored, and after the steps that have their numbers.
    start : tuple of int
        Its first voxel in the image.
    foreground : Foreground, optional
        Where the image is not zero, if a step is about that.
    """

    stored: Array
    current: Array
    start: Shape
    foreground: Foreground | None

    @property
    def holes(self) -> npt.NDArray[np.bool_] | None:
        """Which voxels are in holes of what is not zero; None where none is."""
        return self.foreground and self.foreground.holes_of(self.start, self.stored.shape[1:])

    def of(self, channel: int, over: Over, *, stored: bool) -> Array:
        """Return the intensities of a channel that a step is about, stored or current ones."""
        values = (self.stored if stored else self.current)[channel]
        if over == "nonzero":
            values = values[self.current[channel] != 0]
        elif over == "mask":
            values = values[foreground_of(self.stored, self.holes)]
        elif over == "box" and self.foreground is not None:
            box = zip(self.foreground.start, self.foreground.stop, self.start, values.shape, strict=True)
            values = values[tuple(slice(max(a - at, 0), min(max(b - at, 0), n)) for a, b, at, n in box)]
        return np.asarray(values)


def groups_of(step: ZeroMean | Percentiles, channels: int) -> list[int]:
    """Return for each channel of a step the group it is measured in: one each, or all in one."""
    count = len(step.indices(channels))
    return list(range(count)) if step.per_channel else [0] * count


@final
class MeanSearch:
    """Mean and deviation of each group of a step's channels, in one pass.

    Parameters
    ----------
    step : ZeroMean
        What is asked.
    channels : int
        Channels of the image.
    """

    def __init__(self, step: ZeroMean, channels: int) -> None:
        self.passes = 1
        self._step, self._channels = step, channels
        self._moments = [Moments() for _ in set(groups_of(step, channels))]

    def add(self, block: Block) -> None:
        """Look at a block."""
        groups = groups_of(self._step, self._channels)
        for channel, group in zip(self._step.indices(self._channels), groups, strict=True):
            self._moments[group].add(block.of(channel, self._step.over, stored=False))

    def end_pass(self) -> None:
        """Take note that the whole image was shown."""
        self.passes = 0

    def found(self, group: int) -> tuple[int, float, float]:
        """Return how many intensities a group has, their mean and their deviation."""
        moments = self._moments[group]
        return moments.count, moments.mean, moments.deviation

    def is_constant(self, group: int) -> bool:
        """Return whether all intensities of a group are the same."""
        return self._moments[group].deviation == 0


@final
class QuantileSearch:
    """Two percentiles of each group of a step's channels.

    Parameters
    ----------
    step : Percentiles
        What is asked.
    channels : int
        Channels of the image.
    dtype : dtype
        Type of the intensities that are looked at.
    before : sequence of ResolvedStep, optional
        Steps that stored intensities take before this one, none of which changes their order but to reverse
        it; None to look at intensities after those steps.
    """

    def __init__(
        self,
        step: Percentiles,
        channels: int,
        dtype: np.dtype[Any],
        before: Sequence[ResolvedStep] | None,
    ) -> None:
        self._step, self._channels, self._before = step, channels, before
        groups = groups_of(step, channels)
        self._searches = [RankSearch(dtype) for _ in set(groups)]
        self._first_of = [step.indices(channels)[groups.index(group)] for group in sorted(set(groups))]
        self._reversed = [_is_reversed(before or (), channel, channels) for channel in self._first_of]
        self.passes = self._searches[0].passes
        self._begun = False

    def add(self, block: Block) -> None:
        """Look at a block."""
        groups = groups_of(self._step, self._channels)
        for channel, group in zip(self._step.indices(self._channels), groups, strict=True):
            values = block.of(channel, self._step.over, stored=self._before is not None)
            self._searches[group].add(values)

    def end_pass(self) -> None:
        """Take note that the whole image was shown."""
        self.passes -= 1
        for group, search in enumerate(self._searches):
            if not self._begun and search.count:
                ranks = {rank for percent in self._percents for rank in self._ranks(group, percent)[:2]}
                search.choose({*ranks, 0, search.count - 1})
            elif self._begun:
                search.narrow()
            if self.passes:
                search.next_pass()
        self._begun = True

    def found(self, group: int) -> tuple[int, float, float]:
        """Return how many intensities a group has, the lower percentile, and how far the upper one is."""
        search = self._searches[group]
        if not search.count:
            return 0, 0.0, 0.0
        low, high = (self._percentile(group, percent) for percent in self._percents)
        return search.count, low, high - low

    def is_constant(self, group: int) -> bool:
        """Return whether all intensities of a group are the same."""
        search = self._searches[group]
        ends = {self._value(group, search.value(rank)) for rank in (0, search.count - 1)}
        return len(ends) == 1

    @property
    def _percents(self) -> tuple[float, float]:
        return self._step.low, self._step.high

    def _ranks(self, group: int, percent: float) -> tuple[int, int, float]:
        """Return the ranks on both sides of a percentile among what is looked at, and the second's share."""
        count = self._searches[group].count
        lower, upper, share = quantile_ranks(count, percent)
        return (
            (count - 1 - lower, count - 1 - upper, share) if self._reversed[group] else (lower, upper, share)
        )

    def _percentile(self, group: int, percent: float) -> float:
        *ranks, share = self._ranks(group, percent)
        below, above = (self._value(group, self._searches[group].value(int(rank))) for rank in ranks)
        return below + (above - below) * share

    def _value(self, group: int, stored: float) -> float:
        """Return what the steps before make of a stored intensity."""
        if not self._before:
            return stored
        same = np.full((self._channels, 1), stored)
        return float(run_steps(same, self._before)[self._first_of[group], 0])


Search: TypeAlias = MeanSearch | QuantileSearch


def _is_reversed(before: Sequence[ResolvedStep], channel: int, channels: int) -> bool:
    """Return whether steps turn the order of a channel's intensities round."""
    turned = False
    for each in before:
        step, index = each.step, each.step.indices(channels)
        if channel not in index:
            continue
        if isinstance(step, Linear):
            gain = step.gain[index.index(channel)] if isinstance(step.gain, tuple) else step.gain
            turned ^= gain < 0
        elif isinstance(step, Percentiles):
            turned ^= step.to[0] > step.to[1]
    return turned
