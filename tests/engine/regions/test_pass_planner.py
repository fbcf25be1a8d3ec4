"""What is kept from pass to pass costs the least work that there is room for."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import product
from math import prod

import pytest
import torch
from torch import nn

from napari_tileseg.engine.passes.gathering import Passes, Room
from napari_tileseg.engine.passes.pass_planner import PassPlan, PassPlanner
from napari_tileseg.engine.passes.placed_network import PlacedNetwork
from napari_tileseg.graphs.capture import capture
from napari_tileseg.graphs.graph import Graph
from napari_tileseg.graphs.statistics.statistic import find_statistics
from napari_tileseg.nets.architectures.registry import build
from napari_tileseg.tiling.read_shape import ReadShape

SHAPE = (64, 64)


def graph_of(features: tuple[int, ...]) -> tuple[nn.Module, Graph]:
    torch.manual_seed(0)
    module = build("unet", ndim=2, features=features, blocks=1, norm="instance").eval()
    return module, capture(module, 1, ReadShape(minimum=(8, 8), step=(4, 4)))


@pytest.fixture(scope="module")
def small() -> tuple[nn.Module, Graph]:
    """Three levels of one convolution each on the way down and up: five statistics, one after the other."""
    return graph_of((4, 8, 16))


def planner_of(graph: Graph, *, predicts: bool = True) -> PassPlanner:
    return PassPlanner(graph, find_statistics(graph), graph.wholes(SHAPE), 4, predicts=predicts)


def all_choices(planner: PassPlanner, graph: Graph) -> Iterator[PassPlan]:
    """All that can be held, map by map until any pass."""
    maps = [(each.source, each.level) for each in find_statistics(graph)]
    for until in product(*(range(level, planner.last + 1) for _, level in maps)):
        yield planner.of(
            {source: last for (source, level), last in zip(maps, until, strict=True) if last > level}
        )


@pytest.mark.parametrize("predicts", [True, False])
@pytest.mark.parametrize("bytes_a_voxel", [0, 3, 6, 8, 12, 16, 20, 24, 32, 64])
def test_the_least_work_of_all_choices_is_found(
    small: tuple[nn.Module, Graph], bytes_a_voxel: int, predicts: bool
) -> None:
    planner, room = planner_of(small[1], predicts=predicts), bytes_a_voxel * prod(SHAPE)
    best = planner.best(room)
    least = min(each.work for each in all_choices(planner, small[1]) if each.kept <= room)
    assert best.kept <= room
    assert best.work == pytest.approx(least)


def test_a_map_that_was_read_makes_room_for_the_next_one() -> None:
    """One map at full resolution is written over the one before it, and half resolution in between."""
    _, graph = graph_of((32, 64, 128))
    full = 32 * 4
    planner = planner_of(graph)
    assert planner.best(full * prod(SHAPE)).passes < 1.1
    assert planner.best((full - 1) * prod(SHAPE)).passes > 1.4


def test_more_than_half_of_the_memory_is_taken_where_slabs_fit_beside_it() -> None:
    module, graph = graph_of((32, 64, 128))
    shape, full = (2048, 256), 32 * 4 * 2048 * 256
    network = PlacedNetwork(graph, module, "cpu", torch.float32)
    passes = {share: Passes(network, shape, Room(memory=int(share * full))) for share in (0.9, 1.3, 2.0)}
    plans = {share: each.plan() for share, each in passes.items()}
    assert plans[0.9].kept < full
    assert plans[1.3].kept >= full > 1.3 * full / 2
    assert plans[1.3].passes == pytest.approx(plans[2.0].passes, rel=0.01)
    assert plans[1.3].passes < 0.9 * plans[0.9].passes
    for share, plan in plans.items():
        again = passes[share].plan(plan.holds)
        assert plan.on_disk == again.on_disk == 0
