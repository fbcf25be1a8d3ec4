"""Where layers that look at all of space get their numbers from: a tile, a region, or the whole image."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import torch

from napari_tileseg._types import Shape
from napari_tileseg._words import by_axis
from napari_tileseg.engine.passes.fixed_network import placeholders, with_numbers
from napari_tileseg.engine.region_engine import Kept
from napari_tileseg.engine.regions.check.captured import PROCESS_CACHE, CaptureCache
from napari_tileseg.errors import NetworkError, SettingsError
from napari_tileseg.graphs.graph import Graph, NoRuleError
from napari_tileseg.graphs.statistics.statistic import Statistic, find_statistics
from napari_tileseg.nets.intensities.resolved import finite_number
from napari_tileseg.prediction.plan.numbers.sampling import Sample
from napari_tileseg.settings import PredictSettings
from napari_tileseg.tiling import Box

if TYPE_CHECKING:
    from napari_tileseg.nets.network import Network


@dataclass(frozen=True, slots=True, kw_only=True)
class Gathered:
    """Numbers that were gathered, in plain values.

    Parameters
    ----------
    values : mapping of int to sequence
        By the number of a feature map, the values of each of a statistic's tensors.
    holds : mapping of int to int
        What was kept from pass to pass, as in `PassPlan`.
    sample : Sample, optional
        How they were sampled, where that was asked for.
    """

    values: Mapping[int, Sequence[Sequence[float]]]
    holds: Mapping[int, int]
    sample: Sample | None = None

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> Gathered:
        """Build from what `FixedStatistics.as_dict` returned.

        Raises
        ------
        KeyError, TypeError, ValueError, AttributeError
            If it is something else.
        """
        return cls(
            values={
                int(number): [[finite_number(value) for value in each] for each in of_number]
                for number, of_number in values["numbers"].items()
            },
            holds={int(number): int(until) for number, until in values["holds"].items()},
            sample=Sample.from_dict(values["sample"]) if "sample" in values else None,
        )

    def tensors(self) -> dict[int, tuple[torch.Tensor, ...]]:
        """Return the values as a graph takes them, in float64."""
        return {
            number: tuple(torch.tensor(each, dtype=torch.float64) for each in values)
            for number, values in self.values.items()
        }


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class FixedStatistics:
    """What a network computes over all of space, once for all tiles.

    Parameters
    ----------
    source : Network
        The network as it was opened.
    graph : Graph
        The same as operations.
    found : tuple of Statistic
        What they compute over all of space.
    part : Box, optional
        Part of the image that the numbers are of, on all its grid axes; None where it is still to be found.
    gathered : Gathered, optional
        The numbers; None where they are still to be gathered.
    kept : Kept, optional
        Feature maps of the whole image that gathering left, so that a prediction begins at them.
    origin : str
        Name of the prediction whose numbers they are; "" where they are of the image itself.
    """

    source: Network
    graph: Graph
    found: tuple[Statistic, ...]
    part: Box | None = None
    gathered: Gathered | None = None
    kept: Kept | None = None
    origin: str = ""

    @property
    def box(self) -> Box:
        """The part, once it is known."""
        assert self.part is not None
        return self.part

    def network(self, cache: CaptureCache = PROCESS_CACHE) -> Network:
        """Return the network with these numbers, or with others of the same shapes where there are none."""
        known = self.gathered
        numbers = placeholders(self.graph, self.found) if known is None else known.tensors()
        return with_numbers(self.source, self.graph, self.found, numbers, cache)

    def fits(self, gathered: Gathered, *, partly: bool = False) -> bool:
        """Return whether numbers that were stored are those of this network, or of some of its layers."""
        wanted, values = placeholders(self.graph, self.found), gathered.values
        if not (values.keys() <= wanted.keys() if partly else values.keys() == wanted.keys()):
            return False
        # The second of a pair is a variance.
        return gathered.holds.keys() <= {each.source for each in self.found} and all(
            [len(each) for each in numbers] == [each.numel() for each in wanted[number]]
            and all(value >= 0 for each in numbers[1:] for value in each)
            for number, numbers in values.items()
        )

    def as_dict(self) -> dict[str, Any]:
        """Return plain values, ready for JSON, of numbers that were gathered."""
        assert self.gathered is not None
        return {
            **({"of": self.origin} if self.origin else {"box": [list(self.box.start), list(self.box.stop)]}),
            "layers": {str(each.number): each.layer for each in self.found},
            "numbers": {str(number): values for number, values in self.gathered.values.items()},
            "holds": {str(number): until for number, until in self.gathered.holds.items()},
            **({} if self.gathered.sample is None else {"sample": self.gathered.sample.as_dict()}),
        }

    @property
    def notes(self) -> tuple[str, ...]:
        """What was found while they were gathered."""
        if self.origin:
            return (f"Statistics are those of {self.origin}.",)
        sample = None if self.gathered is None else self.gathered.sample
        return () if sample is None else (sample.words,)


def are_fixed(network: Network, settings: PredictSettings) -> bool:
    """Return whether statistics are to be one thing for all tiles, and the network has some."""
    return settings.statistics != "tile" and network.spec.geometry.halo is None


def fix_statistics(
    network: Network,
    settings: PredictSettings,
    shape: Shape,
    box: Box,
    cache: CaptureCache = PROCESS_CACHE,
) -> FixedStatistics | None:
    """Say what a network's statistics are, and of the whole image also what volume; no voxel is read.

    Parameters
    ----------
    network : Network
        The opened network.
    settings : PredictSettings
        How statistics are had.
    shape : tuple of int
        Shape of the image, on its grid axes.
    box : Box
        What is predicted of it.
    cache : CaptureCache, optional
        What is known of networks; that of the process by default.

    Returns
    -------
    FixedStatistics or None
        None where each tile is computed by itself, or the network computes nothing over all of space.

    Raises
    ------
    SettingsError
        If there is more than one volume in the whole of what is predicted.
    NetworkError
        If what the network computes over all of space cannot be put together from parts.
    """
    if not are_fixed(network, settings):
        return None
    whole = _whole(network, shape, box) if settings.statistics in {"whole", "sample"} else None
    try:
        graph = cache.whole_graph_of(network)
        found = find_statistics(graph)
    except NoRuleError as error:
        raise NetworkError(
            f"The statistics of {network.spec.name} cannot be gathered from parts of an image, because "
            f"{error}. Predict with statistics of each tile."
        ) from error
    return FixedStatistics(source=network, graph=graph, found=found, part=whole) if found else None


def _whole(network: Network, shape: Shape, box: Box) -> Box:
    lead = len(shape) - network.spec.ndim
    if any(b - a > 1 for a, b in zip(box.start[:lead], box.stop[:lead], strict=True)):
        raise SettingsError(
            f"Statistics are those of one volume, and there are {by_axis(box.shape[:lead])} in what is "
            "predicted. Predict one at a time with box, or take statistics of a region of one of them."
        )
    return Box(box.start[:lead] + (0,) * network.spec.ndim, box.stop[:lead] + shape[lead:])
