"""Comparing a captured graph with the network itself, before anything is computed with it."""

from __future__ import annotations

import copy
from typing import TYPE_CHECKING

import torch

from napari_tileseg._words import by_axis
from napari_tileseg.engine.device import ran_out_of_memory
from napari_tileseg.engine.regions.check.comparison import (
    TOLERANCE,
    Region,
    differences,
    noise,
    regions_for_check,
    whole_for_check,
)
from napari_tileseg.engine.regions.program.program import Program
from napari_tileseg.graphs.graph import Graph, NoRuleError
from napari_tileseg.tiling import Box

if TYPE_CHECKING:
    from collections.abc import Iterator

    from torch import nn

    from napari_tileseg._types import Shape
    from napari_tileseg.nets.network import Network
    from napari_tileseg.nets.spec import NetworkSpec


def check_rules(network: Network, graph: Graph) -> None:
    """Compare a graph with its network on the CPU in float64, where rounding hides nothing.

    In float32 it hides a rule that leaves far voxels out, whose part in a result may be as small. A network
    that states float32 somewhere is compared in that.

    Parameters
    ----------
    network : Network
        The network.
    graph : Graph
        The same as operations with rules.

    Raises
    ------
    NoRuleError
        If they differ.
    """
    module = copy.deepcopy(network.module)
    try:
        _compare(network, graph, module.double(), torch.float64)
    except RuntimeError as error:
        if ran_out_of_memory(error):
            raise
        _compare(network, graph, module.float(), torch.float32)


def _compare(network: Network, graph: Graph, module: nn.Module, dtype: torch.dtype) -> None:
    program = Program(graph, network.module, "cpu", dtype, channels_last=True)
    for shape, regions in _cases(network.spec):
        if not program.fits(shape):
            continue
        for found in differences(program, module, noise(network.spec, shape).to(dtype), regions):
            if not found.share <= TOLERANCE[dtype]:
                raise NoRuleError(
                    f"its exported graph gives another result than the network itself on {by_axis(shape)} "
                    "voxels "
                    f"({found.region.name}, off by {found.share:.1g} of the largest value)"
                )


def _cases(spec: NetworkSpec) -> Iterator[tuple[Shape, tuple[Region, ...]]]:
    """Generate small images, and what to compare of them.

    Along each axis the least image, one a step larger, and one that has an interior: rules treat axes alike,
    so that one at a time can be long.
    """
    read = spec.padded_sizes
    for first in range(2):
        shape = tuple(
            least + step * ((first + axis) % 2)
            for axis, (least, step) in enumerate(zip(read.minimum, read.step, strict=True))
        )
        yield shape, (Region("whole", Box.of_shape(shape)),)
    for axis in range(spec.ndim):
        shape = whole_for_check(spec, axes=(axis,))
        yield shape, regions_for_check(shape, read.step)
