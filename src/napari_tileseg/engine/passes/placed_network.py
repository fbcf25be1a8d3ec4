"""A network as operations, with its weights, on a device in a number format."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property

import torch
from torch import nn

from napari_tileseg.engine.device import true_float32
from napari_tileseg.engine.regions.program.program import Program
from napari_tileseg.graphs.graph import Graph
from napari_tileseg.graphs.operations.coordinates import Given
from napari_tileseg.graphs.statistics.fixing import Numbers, ending_at, fixed
from napari_tileseg.graphs.statistics.statistic import Statistic, find_statistics


@dataclass(frozen=True, eq=False)
class PlacedNetwork:
    """Makes programs of parts of a network that looks at all of space.

    Parameters
    ----------
    graph : Graph
        The network.
    module : torch.nn.Module
        Holds its weights.
    device : str
        Where it runs.
    dtype : torch.dtype
        Number format: float32 or float64.
    """

    graph: Graph
    module: nn.Module
    device: str
    dtype: torch.dtype

    @cached_property
    def statistics(self) -> tuple[Statistic, ...]:
        """What it computes over all of space.

        Raises
        ------
        NoRuleError
            As `find_statistics`.
        """
        return find_statistics(self.graph)

    def ending_at(
        self, ends: Sequence[int], numbers: Numbers, given: Mapping[int, Given]
    ) -> tuple[Graph, tuple[int, ...]]:
        """Return the part that computes some feature maps, with numbers in place of statistics.

        Parameters
        ----------
        ends, given
            As for `graphs.statistics.fixing.ending_at`.
        numbers : mapping
            What is known of its statistics.
        """
        return ending_at(fixed(self.graph, self.statistics, numbers), ends, given)

    def program(self, graph: Graph, device: str | None = None) -> Program:
        """Return what runs such a part; on another device, such as "meta", to look at its sizes only."""
        return Program(graph, self.module, device or self.device, self.dtype, channels_last=True)

    @contextmanager
    def running(self) -> Iterator[None]:
        """Compute as exactly as the device can."""
        with true_float32(self.device), torch.inference_mode():
            yield
