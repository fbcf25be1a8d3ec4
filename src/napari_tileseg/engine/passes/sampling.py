"""What a network computes over all of space, from parts that are drawn over the image."""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterator, Sequence
from dataclasses import dataclass
from math import ceil, prod
from typing import TypeAlias, final

import numpy as np
import torch
from torch import Tensor

from napari_tileseg._progress import Clock, Progress
from napari_tileseg._types import Array
from napari_tileseg.engine.passes.draw import HALVES, Draw, Looks, Strata
from napari_tileseg.engine.passes.gathering import check_finite
from napari_tileseg.engine.passes.part_maps import PartMaps, joined
from napari_tileseg.engine.passes.part_runner import PartRunner
from napari_tileseg.engine.passes.parts import Parts
from napari_tileseg.engine.passes.placed_network import PlacedNetwork
from napari_tileseg.engine.regions.program.sweep import Read
from napari_tileseg.graphs.statistics.gathered import Gathered, Moments
from napari_tileseg.graphs.statistics.statistic import Statistic

_WHAT = "Sampling statistics"
#: Parts that are drawn at first.
_FIRST = 24
#: Parts of an image that are few enough to be called a sample of it: half of them.
_FEW = 2
#: More work than that of one pass over the image is not worth a sample.
_LIMIT = 1.0
#: How many times as many parts are drawn at once, at most.
_GROWTH = 4
#: Parts on which the difference of the output is measured.
_HELD_OUT = 4
_PERCENTILE = 99.9
_Numbers: TypeAlias = dict[int, tuple[Tensor, ...]]


@dataclass(frozen=True, slots=True)
class Aim:
    """How sure a sample is to be.

    Parameters
    ----------
    error : float
        The largest standard error of a layer's means, and of its spreads, relative to its spreads.
    seed : int
        Decides which parts are drawn.
    """

    error: float
    seed: int = 0


@dataclass(frozen=True, slots=True, eq=False)
class Sampled:
    """Numbers from a sample.

    Parameters
    ----------
    numbers : mapping
        By the number of a statistic's feature map, what `Statistic.numbers` returns.
    parts, of : int
        Parts that were drawn, and parts that there are.
    errors : mapping of int to float
        By the same number, the standard error of means and spreads relative to the spreads, of channels in
        the mean square, the larger one of the two; 0 of extremes, which are those of the drawn parts.
    difference : float
        By how much the output is expected to differ from that with the statistics of the whole image, at the
        99.9th percentile of the voxels of parts that were not drawn. It is half of what the two halves of
        the sample differ by, each with numbers of its own.
    """

    numbers: _Numbers
    parts: int
    of: int
    errors: dict[int, float]
    difference: float


@final
class Sampler:
    """Samples the statistics of one image with one network.

    Parts are computed as images by themselves, with a margin that is left out of what is gathered, and all of
    them a level further before any of them goes on. The two halves of the sample go through the levels with
    numbers of their own: what they differ by in the end says how sure it all is.

    Parameters
    ----------
    network : PlacedNetwork
        The network.
    parts : Parts
        How the image is cut.
    read : callable
        Reads the image, as for `sweep`.
    memory : int
        Bytes that feature maps of parts may take between levels.
    activate : callable
        Makes probabilities of an output.

    Raises
    ------
    NoRuleError
        As `find_statistics`.
    """

    def __init__(
        self,
        network: PlacedNetwork,
        parts: Parts,
        read: Read,
        memory: int,
        activate: Callable[[Tensor], Array],
    ) -> None:
        self._parts, self._read, self._memory, self._activate = parts, read, memory, activate
        self._runners = [PartRunner(network, parts, read) for _ in range(HALVES)]
        self._wholes = network.graph.wholes(parts.shape)
        self._held: dict[int, PartMaps] = {}

    @property
    def most(self) -> int:
        """Parts that are worth drawing; none where the image is too small for a sample."""
        runner = self._runners[0]
        return min(len(self._parts) // _FEW, int(_LIMIT / runner.work)) if runner.fits else 0

    @property
    def bounds(self) -> tuple[float, float] | None:
        """Work of as few and as many parts as are drawn, in passes; None where the whole image is taken."""
        if self.most < _FIRST:
            return None
        work = self._runners[0].work
        return _FIRST * work, self.most * work

    def gather(self, aim: Aim) -> Generator[Progress, None, Sampled | None]:
        """Draw parts until all is sure enough, level after level.

        Parameters
        ----------
        aim : Aim
            How sure.

        Yields
        ------
        Progress
            How far it is.

        Returns
        -------
        Sampled or None
            None where that takes so many parts that the whole image is to be preferred.

        Raises
        ------
        ImageError
            If a number is not finite.
        """
        if self.most < _FIRST:
            return None
        clock, statistics = Clock(), self._runners[0].statistics
        levels = 1 + max(each.level for each in statistics)
        looks = yield from self._looks(clock, levels + 1)
        strata = Strata(looks, aim.seed)
        draw: Draw | None = strata.draw(_FIRST)
        numbers: _Numbers = {}
        errors: dict[int, float] = {}
        for level in range(levels):
            here = [each for each in statistics if each.level == level]
            while draw is not None:
                for fraction in self._advance(level, draw):
                    yield clock.estimate(Progress(_WHAT, 1 + level + fraction, levels + 1))
                found = {each.number: self._error(each, draw) for each in here}
                if max(found.values()) <= aim.error:
                    break
                draw = self._larger(strata, draw, max(found.values()) / aim.error)
            if draw is None:
                return None
            errors |= found
            numbers |= {each.number: self._fix(each, draw) for each in here}
        assert draw is not None
        return Sampled(numbers, draw.number, len(self._parts), errors, self._difference(strata))

    def _looks(self, clock: Clock, steps: int) -> Generator[Progress, None, Looks]:
        """Look at the intensities of every part."""
        rows = []
        for number in range(len(self._parts)):
            values = self._read(self._parts[number].inside).double().cpu().numpy()
            rows.append((float(values[0, 0].size), float(values.mean()), float((values**2).mean())))
            yield clock.estimate(Progress(_WHAT, (number + 1) / len(self._parts), steps))
        counts, means, squares = np.array(rows).T
        return Looks(counts, means, squares)

    def _larger(self, strata: Strata, draw: Draw, factor: float) -> Draw | None:
        """Return a larger sample; None where it would be too large."""
        grown = strata.draw(ceil(draw.number * min(factor, _GROWTH)))
        return grown if draw.number < grown.number <= self.most else None

    def _advance(self, level: int, draw: Draw) -> Iterator[float]:
        """Take all drawn parts past a level; yields how much of that is done."""
        holds = self._runners[0].holds(self._memory // draw.number)
        pairs = [(int(number), half) for pair in draw.chosen for half, number in enumerate(pair)]
        for done, (number, half) in enumerate(pairs, start=1):
            held = self._held.setdefault(number, PartMaps(self._parts[number]))
            while held.level <= level:
                self._runners[half].advance(held, holds)
            yield done / len(pairs)

    def _of(self, statistic: Statistic, draw: Draw, halves: Sequence[int]) -> Gathered:
        """Return what was gathered for a statistic, of some halves of the sample, as if of all of space."""
        parts, weights = [], []
        for half in halves:
            parts += [self._held[int(number)].gathered(statistic) for number in draw.chosen[:, half]]
            weights += list(draw.weights(half))
        return joined(parts, weights, prod(self._wholes[statistic.source]))

    def _error(self, statistic: Statistic, draw: Draw) -> float:
        """Return the standard error of a feature map's moments, relative to its spreads."""
        whole = self._of(statistic, draw, range(HALVES))
        check_finite(statistic, whole)
        if not isinstance(whole, Moments):
            return 0.0
        pairs = [[self._held[int(n)].gathered(statistic) for n in pair] for pair in draw.chosen]
        parts = Moments.together([each for pair in pairs for each in pair if isinstance(each, Moments)])
        count, variance = float(whole.counts[0]), whole.variances
        apart = parts.means - whole.means
        counts = parts.counts[:, None]
        sums = torch.cat(
            (counts * apart, parts.deviations + counts * (apart.square() - variance)), dim=1
        ).numpy()
        errors = torch.from_numpy(draw.errors(sums.reshape(*draw.chosen.shape, -1))).reshape(2, -1) / count
        of_spread = variance[0] > 0
        means = errors[0][of_spread].square() / variance[0][of_spread]
        spreads = (errors[1][of_spread] / (2 * variance[0][of_spread])).square()
        return max(float(each.mean().sqrt()) for each in (means, spreads)) if bool(of_spread.any()) else 0.0

    def _fix(self, statistic: Statistic, draw: Draw) -> tuple[Tensor, ...]:
        """Fix numbers: each half's for itself, and those of both together, which are returned."""
        for half, runner in enumerate(self._runners):
            runner.numbers[statistic.number] = statistic.numbers(self._of(statistic, draw, [half]))
        return statistic.numbers(self._of(statistic, draw, range(HALVES)))

    def _difference(self, strata: Strata) -> float:
        """Return half of what the outputs of the two halves differ by, on parts that were not drawn."""
        parts = [self._parts[number] for number in strata.left(_HELD_OUT)]
        outputs = [[self._activate(each) for each in runner.outputs(parts)] for runner in self._runners]
        apart = [np.abs(one - other).ravel() for one, other in zip(*outputs, strict=True)]
        return float(np.percentile(np.concatenate(apart), _PERCENTILE)) / HALVES if apart else 0.0
