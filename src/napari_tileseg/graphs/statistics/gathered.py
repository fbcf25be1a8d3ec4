"""What is known of the values of each channel over a part of space, and what two parts make together.

Means and squared deviations of parts are joined as in Chan, Golub and LeVeque, "Algorithms for computing the
sample variance: analysis and recommendations" (1983), here for any number of parts at once, in float64.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TypeAlias, final

import torch
from torch import Tensor


@final
@dataclass(frozen=True, slots=True, eq=False)
class Moments:
    """Mean and squared deviations of each channel.

    Parameters
    ----------
    counts : Tensor
        Voxels, ``(parts,)``, float64.
    means : Tensor
        Means, ``(parts, channels)``, float64.
    deviations : Tensor
        Sums of squared deviations from these, ``(parts, channels)``, float64.
    """

    counts: Tensor
    means: Tensor
    deviations: Tensor

    @classmethod
    def of_planes(cls, values: Tensor) -> Moments:
        """Return those of each plane by itself.

        Parameters
        ----------
        values : Tensor
            ``(channels, planes, *space)``; half precision is summed in float32.
        """
        rows = _rows(values)
        number = rows.shape[1]
        ones = rows.new_ones(1, number)
        means = (ones @ rows) / number
        apart = rows - means
        # What rounding left in the mean shows in the mean of the deviations.
        left = (ones @ apart) / number
        squares = ones @ apart.square_()
        rest = left.double()
        return cls(
            torch.full((len(rows),), number, dtype=torch.float64),
            (means.double() + rest)[:, 0].cpu(),
            (squares.double() - number * rest.square())[:, 0].clamp_min_(0.0).cpu(),
        )

    @classmethod
    def together(cls, parts: list[Moments]) -> Moments:
        """Return several after one another, as so many parts."""
        return cls(
            torch.cat([each.counts for each in parts]),
            torch.cat([each.means for each in parts]),
            torch.cat([each.deviations for each in parts]),
        )

    @property
    def number(self) -> int:
        """How many parts there are."""
        return len(self.counts)

    def part(self, first: int, last: int) -> Moments:
        """Return the parts from `first` up to `last`."""
        return Moments(self.counts[first:last], self.means[first:last], self.deviations[first:last])

    def joined(self) -> Moments:
        """Return all parts as one."""
        counts = self.counts[:, None]
        total = counts.sum(0)
        mean = (counts * self.means).sum(0) / total
        spread = (self.deviations + counts * (self.means - mean).square()).sum(0)
        return Moments(total, mean[None], spread[None])

    def over_groups(self, groups: int) -> Moments:
        """Return those of groups of channels that follow each other, in place of channels."""
        each = [values.reshape(len(values), groups, -1) for values in (self.means, self.deviations)]
        means = each[0].mean(2)
        between = (each[0] - means[..., None]).square().sum(2) * self.counts[:, None]
        counts = self.counts * each[0].shape[2]
        return Moments(counts, means, each[1].sum(2) + between)

    @property
    def variances(self) -> Tensor:
        """Mean squared deviations, ``(parts, channels)``."""
        return self.deviations / self.counts[:, None]


@final
@dataclass(frozen=True, slots=True, eq=False)
class Extremes:
    """Least and largest value of each channel.

    Parameters
    ----------
    least, largest : Tensor
        ``(parts, channels)``, float64.
    """

    least: Tensor
    largest: Tensor

    @classmethod
    def of_planes(cls, values: Tensor) -> Extremes:
        """As `Moments.of_planes`."""
        rows = _rows(values)
        return cls(rows.amin(1).double().cpu(), rows.amax(1).double().cpu())

    @classmethod
    def together(cls, parts: list[Extremes]) -> Extremes:
        """As `Moments.together`."""
        return cls(torch.cat([each.least for each in parts]), torch.cat([each.largest for each in parts]))

    @property
    def number(self) -> int:
        """As `Moments.number`."""
        return len(self.least)

    def part(self, first: int, last: int) -> Extremes:
        """As `Moments.part`."""
        return Extremes(self.least[first:last], self.largest[first:last])

    def joined(self) -> Extremes:
        """As `Moments.joined`."""
        return Extremes(self.least.amin(0)[None], self.largest.amax(0)[None])


#: What is gathered of a feature map.
Gathered: TypeAlias = Moments | Extremes


def as_one(wholes: Sequence[Gathered]) -> Gathered:
    """Return what is known of several images as if they were one, each voxel counting once.

    Parameters
    ----------
    wholes : sequence of Moments or Extremes
        One at least, all of one kind; a single one is returned as it is.
    """
    first = wholes[0]
    if len(wholes) == 1:
        return first
    if isinstance(first, Moments):
        return Moments.together([each for each in wholes if isinstance(each, Moments)]).joined()
    return Extremes.together([each for each in wholes if isinstance(each, Extremes)]).joined()


def _rows(values: Tensor) -> Tensor:
    """Return ``(planes, voxels, channels)``, in float32 at least."""
    rows = values.movedim(0, -1).flatten(1, -2) if values.ndim > 2 else values.movedim(0, -1)[:, None]
    return rows if rows.dtype == torch.float64 else rows.float()
