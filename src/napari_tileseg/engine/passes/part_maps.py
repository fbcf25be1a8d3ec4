"""What is held of one part of an image while it goes through a network level by level."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import final

from torch import Tensor

from napari_tileseg.engine.passes.parts import Part
from napari_tileseg.graphs.statistics.gathered import Extremes, Gathered, Moments
from napari_tileseg.graphs.statistics.statistic import Statistic
from napari_tileseg.tiling import Box


@final
class PartMaps:
    """Feature maps of a part that later levels need, and what has been gathered of its inside.

    Parameters
    ----------
    part : Part
        The part.
    """

    def __init__(self, part: Part) -> None:
        self.part = part
        #: The level that comes next.
        self.level = 0
        self._maps: dict[int, tuple[Box, Tensor]] = {}
        self._gathered: dict[tuple[int, type[Gathered]], Gathered] = {}

    @property
    def kept(self) -> frozenset[int]:
        """Numbers of the feature maps that are held."""
        return frozenset(self._maps)

    def take(self, here: Iterable[Statistic], source: int, box: Box, inside: Box, values: Tensor) -> None:
        """Gather what statistics need of a feature map, and hold it.

        Parameters
        ----------
        here : iterable of Statistic
            Those that look at feature maps of this level.
        source : int
            The feature map.
        box : Box
            What of it was computed.
        inside : Box
            What of it is gathered.
        values : Tensor
            ``(1, channels, *box.shape)``.
        """
        for kind in {each.gathers for each in here if each.source == source}:
            part = kind.of_planes(values[0][(slice(None), *inside.within(box))])
            self._gathered[source, kind] = part.joined()
        if source:
            self._maps[source] = box, values

    def finish_level(self, holds: Mapping[int, int]) -> None:
        """Go on to the next level; what is read then or later, as a `PassPlan` has it, stays held."""
        for source in [each for each in self._maps if holds.get(each, -1) <= self.level]:
            del self._maps[source]
        self.level += 1

    def read(self, source: int, box: Box) -> Tensor:
        """Return a box of a feature map that is held, as new memory."""
        held, values = self._maps[source]
        return values[(slice(None), slice(None), *box.within(held))].clone()

    def gathered(self, statistic: Statistic) -> Gathered:
        """Return what a statistic needs to know of the inside, as one part."""
        return self._gathered[statistic.source, statistic.gathers]


def joined(parts: list[Gathered], weights: list[float], voxels: int) -> Gathered:
    """Return what parts make together, each of which stands for so many.

    Parameters
    ----------
    parts : list of Moments or Extremes
        All of one kind, each as one part.
    weights : list of float
        How many parts each one stands for; extremes are those of the parts.
    voxels : int
        Voxels of the whole feature map.
    """
    first = parts[0]
    if isinstance(first, Extremes):
        return Extremes.together([each for each in parts if isinstance(each, Extremes)]).joined()
    moments = Moments.together([each for each in parts if isinstance(each, Moments)])
    shares = moments.counts.new_tensor(weights)
    shares *= voxels / float((shares * moments.counts).sum())
    return Moments(moments.counts * shares, moments.means, moments.deviations * shares[:, None]).joined()
