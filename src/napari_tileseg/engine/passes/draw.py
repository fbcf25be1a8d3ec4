"""Which parts of an image are drawn, what each of them stands for, and how sure their moments are.

Parts are drawn in pairs, from strata of parts that look alike; what they stand for is then calibrated, so
that they have the brightness and the spread of the whole image (Deville and Särndal, "Calibration estimators
in survey sampling", 1992).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TypeAlias, final

import numpy as np
import numpy.typing as npt

_Floats: TypeAlias = npt.NDArray[np.float64]
_Integers: TypeAlias = npt.NDArray[np.int64]
#: Parts of a stratum that are drawn, one for each half of the sample.
HALVES = 2
#: Between how little and how much a part may stand for, relative to its share of the stratum.
_BOUNDS = (0.2, 5.0)
#: Looks that differ less than this in all parts are taken as alike.
_RANK = 1e-9
#: Least share of a part's value that the others do not decide.
_LEAST = 0.05


@dataclass(frozen=True, slots=True, eq=False)
class Looks:
    """What is known of every part of an image before a network has seen any.

    Parameters
    ----------
    counts : ndarray
        Voxels of each part.
    means, squares : ndarray
        Mean of its intensities, and of their squares.
    """

    counts: _Floats
    means: _Floats
    squares: _Floats

    @property
    def spreads(self) -> _Floats:
        """Standard deviation of each part's intensities."""
        return np.sqrt(np.maximum(self.squares - self.means**2, 0.0))

    @property
    def known(self) -> _Floats:
        """What is calibrated to: ``(parts, 4)``, each of about size 1."""
        columns = np.stack([np.ones_like(self.means), self.means, self.squares, self.spreads], axis=1)
        scales: _Floats = np.abs(columns).mean(axis=0)
        return columns / np.where(scales > 0, scales, 1.0)


@dataclass(frozen=True, slots=True, eq=False)
class Draw:
    """A sample of an image's parts.

    Parameters
    ----------
    looks : Looks
        What is known of every part.
    chosen : ndarray
        Numbers of the drawn parts, ``(strata, 2)``: one for each half of the sample.
    sizes : ndarray
        Parts of each stratum.
    """

    looks: Looks
    chosen: _Integers
    sizes: _Floats

    @property
    def number(self) -> int:
        """How many parts there are in the sample."""
        return int(self.chosen.size)

    def weights(self, half: int) -> _Floats:
        """Return how many parts of the image each one of a half stands for."""
        own, known = self.chosen[:, half], self.looks.known
        shares = self.sizes * self.looks.counts[own]
        missing = (known * self.looks.counts[:, None]).sum(0) - (known[own] * shares[:, None]).sum(0)
        # The least of all changes that make up for what is missing.
        inverse = np.linalg.pinv(_squares(known[own], shares), rcond=_RANK, hermitian=True)
        weights: _Floats = self.sizes * np.clip(1.0 + known[own] @ (inverse @ missing), *_BOUNDS)
        return weights

    def errors(self, rows: _Floats) -> _Floats:
        """Return the standard errors of sums over the image.

        What a part's looks say of its values is no error, as the sample has the looks of the image.

        Parameters
        ----------
        rows : ndarray
            Values of the drawn parts, ``(strata, 2, values)``: sums over the voxels of each.
        """
        one, other = (
            self.weights(half)[:, None] * self._unexplained(half, rows[:, half]) for half in range(HALVES)
        )
        finite = 1.0 - HALVES / self.sizes
        errors: _Floats = np.sqrt((finite[:, None] * (one - other) ** 2).sum(0)) / HALVES
        return errors

    def _unexplained(self, half: int, rows: _Floats) -> _Floats:
        """Return what the looks of a half's parts do not say of their values.

        Each part is compared with what the others say of it, as in a jackknife: with few parts, what all of
        them say together follows each one closely.
        """
        own = self.chosen[:, half]
        shares = self.sizes * self.looks.counts[own]
        known, values = self.looks.known[own], rows / self.looks.counts[own][:, None]
        inverse = np.linalg.pinv(_squares(known, shares), rcond=_RANK, hermitian=True)
        moments = (known[:, :, None] * (values * shares[:, None])[:, None, :]).sum(0)
        leverage = (known @ inverse * known).sum(1) * shares
        left = (values - known @ (inverse @ moments)) / np.maximum(1.0 - leverage, _LEAST)[:, None]
        unexplained: _Floats = left * self.looks.counts[own][:, None]
        return unexplained


@final
class Strata:
    """Divides parts into strata that look alike, which can be divided further.

    A part that was drawn stays so: each has a number of its own, and of a stratum those with the least are
    drawn (Ohlsson, "Coordination of samples using permanent random numbers", 1995). Where intensities differ
    much, strata are smaller, as more of the networks' values is decided there.

    Parameters
    ----------
    looks : Looks
        What is known of every part; there are two or more.
    seed : int
        Decides the numbers.
    """

    def __init__(self, looks: Looks, seed: int) -> None:
        self._looks = looks
        self._order = np.random.default_rng(seed).random(len(looks.counts))
        self._strata: list[_Integers] = [np.arange(len(looks.counts))]
        self._half: dict[int, int] = {}
        columns = np.stack([looks.means, looks.spreads], axis=1)
        scales = columns.std(axis=0)
        self._columns = columns / np.where(scales > 0, scales, 1.0)
        mean = looks.spreads.mean()
        self._sizes = 1.0 + looks.spreads / (mean if mean > 0 else 1.0)

    def draw(self, parts: int) -> Draw:
        """Return a sample of at least so many parts, or the largest that there is."""
        while HALVES * len(self._strata) < parts:
            large = [place for place, each in enumerate(self._strata) if len(each) >= 2 * HALVES]
            if not large:
                break
            # The one where most is decided.
            place = max(large, key=lambda each: float(self._sizes[self._strata[each]].sum()))
            self._strata[place : place + 1] = self._divided(self._strata[place])
        chosen = np.array([self._pair(stratum) for stratum in self._strata])
        return Draw(self._looks, chosen, np.array([float(len(each)) for each in self._strata]))

    def left(self, count: int) -> list[int]:
        """Return some parts that are not drawn, from strata where intensities differ most."""
        drawn = set(self._half)
        spread = [float(self._looks.spreads[stratum].mean()) for stratum in self._strata]
        found: list[int] = []
        for place in sorted(range(len(spread)), key=lambda each: -spread[each]):
            others = [int(each) for each in self._strata[place] if int(each) not in drawn]
            if others:
                found.append(min(others, key=lambda each: float(self._order[each])))
        return found[:count]

    def _divided(self, stratum: _Integers) -> list[_Integers]:
        """Cut in two where it is widest, so that both have as much to decide, and two parts at least."""
        columns = self._columns[stratum]
        axis = int(np.argmax(np.ptp(columns, axis=0)))
        ordered = stratum[np.argsort(columns[:, axis], kind="stable")]
        sums = np.cumsum(self._sizes[ordered])
        cut = int(np.searchsorted(sums, sums[-1] / 2))
        cut = min(max(cut, HALVES), len(ordered) - HALVES)
        return [ordered[:cut], ordered[cut:]]

    def _pair(self, stratum: _Integers) -> tuple[int, int]:
        """Return the two parts that are drawn of a stratum, the one of the first half first."""
        one, other = (int(each) for each in stratum[np.argsort(self._order[stratum], kind="stable")[:HALVES]])
        half = self._half.get(one, 1 - self._half.get(other, 1))
        self._half |= {one: half, other: 1 - half}
        return (one, other) if half == 0 else (other, one)


def _squares(rows: _Floats, weights: _Floats) -> _Floats:
    # Summed in their order, whatever the number of threads.
    squares: _Floats = (rows[:, :, None] * rows[:, None, :] * weights[:, None, None]).sum(0)
    return squares
