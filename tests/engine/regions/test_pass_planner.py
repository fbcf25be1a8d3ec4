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
from napari_tileseg.nets.architectures.ensembles import MeanOfLogits
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


@pytest.fixture(scope="module")
def averaged() -> Graph:
    """Two such networks over two mirrored copies each: four that need nothing of each other."""
    arguments = {"ndim": 2, "features": (4, 8, 16), "blocks": 1, "norm": "instance"}
    module = build("ensemble", architecture="unet", arguments=arguments, members=2, mirrored=(1,)).eval()
    return capture(module, 1, ReadShape(minimum=(8, 8), step=(4, 4)))


def test_networks_that_are_averaged_follow_one_another(
    small: tuple[nn.Module, Graph], averaged: Graph
) -> None:
    levels: dict[int, list[int]] = {number: [] for number in range(4)}
    for each in find_statistics(averaged):
        levels[each.network].append(each.level)
    alone = [each.level for each in find_statistics(small[1])]
    assert [level for each in levels.values() for level in each] == list(range(4 * len(alone)))
    planner = planner_of(averaged)
    assert planner.different == (*range(len(alone)), planner.last), "copies are alike"


@pytest.mark.parametrize("bytes_a_voxel", [0, 8, 16, 64, 256])
def test_each_of_several_networks_has_all_the_room(
    small: tuple[nn.Module, Graph], averaged: Graph, bytes_a_voxel: int
) -> None:
    room = bytes_a_voxel * prod(SHAPE)
    gathering, plan = planner_of(small[1], predicts=False).best(room), planner_of(averaged).best(room)
    assert plan.kept <= room
    assert plan.passes <= gathering.passes + 1e-6
    if bytes_a_voxel == 256:
        assert plan.passes == pytest.approx(1.0)
        assert averaged_until_the_end(averaged, plan) == 4


def averaged_until_the_end(graph: Graph, plan: PassPlan) -> int:
    """How many networks keep something for the prediction."""
    last = planner_of(graph).last
    return len({each.network for each in find_statistics(graph) if plan.holds.get(each.source) == last})


def test_a_statistic_of_what_is_averaged_comes_after_all() -> None:
    branches = [nn.Sequential(nn.Conv2d(1, 2, 3, padding=1), nn.InstanceNorm2d(2)) for _ in range(2)]
    module = nn.Sequential(MeanOfLogits(branches), nn.InstanceNorm2d(2)).eval()
    found = find_statistics(capture(module, 1, ReadShape(minimum=(8, 8), step=(1, 1))))
    assert [(each.network, each.level) for each in found] == [(0, 0), (0, 0), (0, 1)]


def test_statistics_of_one_feature_map_are_gathered_in_one_pass() -> None:
    stem = nn.Conv2d(1, 2, 3, padding=1)
    branches = [
        nn.InstanceNorm2d(2),
        nn.Sequential(nn.InstanceNorm2d(2), nn.Conv2d(2, 2, 1), nn.InstanceNorm2d(2)),
    ]
    module = nn.Sequential(stem, MeanOfLogits(branches)).eval()
    found = find_statistics(capture(module, 1, ReadShape(minimum=(8, 8), step=(1, 1))))
    assert [(each.network, each.level) for each in found] == [(0, 0), (0, 0), (0, 1)]


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
