"""A network whose statistics are numbers: local in all it does, so that its tiles make no seams."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, final

import torch
from torch import Tensor, nn

from napari_tileseg._words import few
from napari_tileseg.engine.regions.check.captured import CaptureCache
from napari_tileseg.engine.regions.program.program import Program
from napari_tileseg.graphs.graph import Graph
from napari_tileseg.graphs.operations.reductions import GlobalNorm
from napari_tileseg.graphs.statistics.fixing import Numbers, fixed
from napari_tileseg.graphs.statistics.statistic import Statistic
from napari_tileseg.tiling import Box

if TYPE_CHECKING:
    from napari_tileseg.nets.network import Network

_NAMED = 3


@final
class FixedNetwork(nn.Module):
    """Computes a graph on whole images.

    Parameters
    ----------
    graph : Graph
        All its weights are constants.
    """

    def __init__(self, graph: Graph) -> None:
        super().__init__()
        self._graph = graph

    def forward(self, image: Tensor) -> Tensor:
        """Compute ``(batch, classes, *space)`` of ``(batch, channels, *space)``."""
        shape = tuple(image.shape[2:])
        program = Program(self._graph, self, str(image.device), image.dtype)
        return program.run(image, program.schedule(shape, Box.of_shape(program.wholes(shape)[-1])))


def with_numbers(
    network: Network, graph: Graph, statistics: Sequence[Statistic], numbers: Numbers, cache: CaptureCache
) -> Network:
    """Return a network with numbers in place of what it computes over all of space.

    Parameters
    ----------
    network : Network
        The network.
    graph : Graph
        The same as operations, as `CaptureCache.whole_graph_of` gives it.
    statistics : sequence of Statistic
        All that it computes over all of space.
    numbers : mapping
        What that is.
    cache : CaptureCache
        Is told the graph of what is returned.

    Returns
    -------
    Network
        With hash, file and description of `network`: it is the same one, looked at in another way. It can be
        used in this process only.
    """
    local = fixed(graph, statistics, numbers).closed(network.module)
    spec = network.spec
    geometry = replace(
        spec.geometry,
        halo=spec.default_halo,
        receptive_field=tuple(1 + before + after for before, after in spec.default_halo),
    )
    layers = tuple(dict.fromkeys(each.layer for each in statistics if each.layer))
    reason = (
        f"What {len(statistics)} of its operations ({few(layers, _NAMED)}) compute over all of space is "
        "fixed: every output depends on a bounded surrounding."
    )
    spec = replace(spec, geometry=geometry, seam_free=True, reason=reason, seam_layers=(), self_test=None)
    made = replace(network, module=FixedNetwork(local).eval(), spec=spec)
    cache.state(made, local)
    return made


def placeholders(graph: Graph, statistics: Sequence[Statistic]) -> dict[int, tuple[Tensor, ...]]:
    """Return numbers of the right shapes, with which tiles can be planned before any is known."""
    return {each.number: _placeholder(each, graph.nodes[each.number - 1].channels) for each in statistics}


def _placeholder(statistic: Statistic, channels: int) -> tuple[Tensor, ...]:
    ones = torch.ones(channels, dtype=torch.float64)
    return (torch.zeros_like(ones), ones) if isinstance(statistic.operation, GlobalNorm) else (ones,)
