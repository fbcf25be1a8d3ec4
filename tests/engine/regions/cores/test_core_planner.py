"""The planner: within its budget, on the stride, equal parts, no more work than it says."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from napari_tileseg.engine.regions.cores.core_planner import Limits, Planner, planes_of
from napari_tileseg.engine.regions.cores.cost import cost_of, peak_of_sweep
from napari_tileseg.engine.regions.program.program import Program
from napari_tileseg.errors import SettingsError
from napari_tileseg.graphs.capture import capture
from napari_tileseg.nets.architectures import registry
from napari_tileseg.tiling import Box, TileGrid
from napari_tileseg.tiling.read_shape import ReadShape

SHAPE = (192, 192, 192)
STRIDE = (4, 4, 4)


@pytest.fixture(scope="module")
def paper() -> Program:
    """Give the paper's U-Net without its weights: planning runs nothing."""
    module = registry.build("unet", ndim=3, norm="batch").eval()
    graph = capture(module, 1, ReadShape(minimum=STRIDE, step=STRIDE))
    return Program(graph, module, "meta", torch.float32)


def middle(shape: tuple[int, ...], core: tuple[int, ...]) -> Box:
    start = tuple((n - size) // 2 // 4 * 4 for n, size in zip(shape, core, strict=True))
    return Box(start, tuple(a + n for a, n in zip(start, core, strict=True)))


@settings(max_examples=15)
@given(
    share=st.floats(0.02, 1.2),
    size=st.tuples(*[st.integers(1, 60)] * 3),
    swept=st.booleans(),
    patient=st.booleans(),
)
def test_a_plan_keeps_to_its_limits(
    paper: Program, share: float, size: tuple[int, int, int], swept: bool, patient: bool
) -> None:
    shape = tuple(4 * n for n in size)
    box = Box.of_shape(shape)
    planner = Planner(paper, shape, box, STRIDE, None if swept else 1)
    whole = cost_of(paper, shape, box)
    memory = max(int(share * whole.peak), planner.memory(STRIDE))
    plan = planner.best(Limits(memory) if patient else Limits(memory, 0.3 * whole.work))
    assert plan.peak <= memory
    assert plan.peak >= cost_of(paper, shape, middle(shape, plan.core)).peak
    if not patient and plan.core != STRIDE:
        assert cost_of(paper, shape, middle(shape, plan.core)).work <= 0.3 * whole.work
    assert all(n % step == 0 and step <= n for n, step in zip(plan.core, STRIDE, strict=True))
    assert plan.ratio >= 1 - 1e-9
    for extent, n, step in zip(shape, plan.core, STRIDE, strict=True):
        parts = -(-extent // n)
        assert n - step < -(-extent // parts), "parts are as equal as the stride allows"


def test_enough_memory_means_one_core(paper: Program) -> None:
    plan = Planner(paper, SHAPE, Box.of_shape(SHAPE), STRIDE).best(Limits(2**40))
    assert plan.core == SHAPE
    assert plan.ratio == 1


def test_no_tensor_gets_too_many_numbers(paper: Program) -> None:
    shape = (1024,) * 3
    plan = Planner(paper, shape, Box.of_shape(shape), STRIDE).best(Limits(2**45))
    assert cost_of(paper, shape, middle(shape, plan.core)).largest < 2**31


def test_memory_that_is_too_small_names_the_least(paper: Program) -> None:
    planner = Planner(paper, SHAPE, Box.of_shape(SHAPE), STRIDE)
    with pytest.raises(SettingsError, match=r"takes [\d,]+ bytes") as raised:
        planner.best(Limits(10**6))
    least = int(str(raised.value).split("takes ")[1].split(" bytes")[0].replace(",", ""))
    assert planner.best(Limits(least)).peak <= least


def test_impatience_alone_never_fails(paper: Program) -> None:
    assert Planner(paper, SHAPE, Box.of_shape(SHAPE), STRIDE).best(Limits(2**40, 1.0)).core == STRIDE


def test_a_quarter_of_the_memory_is_enough_to_compute_nothing_twice(paper: Program) -> None:
    box = Box.of_shape(SHAPE)
    quarter = cost_of(paper, SHAPE, box).peak // 4
    plan = Planner(paper, SHAPE, box, STRIDE).best(Limits(quarter))
    assert plan.ratio <= 1.15
    assert (
        peak_of_sweep(paper, SHAPE, {len(paper.nodes): box}, planes_of(plan.core, 4)) <= plan.peak <= quarter
    )
    double = (384, 192, 192)
    longer = Planner(paper, double, Box.of_shape(double), STRIDE).of(plan.core)
    assert longer.peak == pytest.approx(plan.peak, rel=0.05), "memory is flat however long the volume"


def test_thin_cores_are_swept_as_far_as_thick_ones(paper: Program) -> None:
    """Where memory is short cores get thin, and still next to nothing is computed twice along a sweep."""
    shape = (512, 192, 192)
    planner = Planner(paper, shape, Box.of_shape(shape), STRIDE)
    thick, thin = planner.of((32, 96, 96)), planner.of((8, 96, 96))
    assert thin.ratio == pytest.approx(thick.ratio, rel=1e-9)
    assert thin.peak < thick.peak


def test_the_work_of_all_tiles_is_what_is_said(paper: Program) -> None:
    """First, last and middle tiles stand for all of them; their neighbours feel the border a little, too."""
    shape, core = (96, 160, 128), (24, 44, 40)
    box = Box((8, 4, 12), (96, 160, 128))
    grid = TileGrid(shape, core, ((0, 0),) * 3, STRIDE, box=box)
    said = Planner(paper, shape, box, STRIDE, length=1).of(core)
    alone = sum(cost_of(paper, shape, tile.core).flops for tile in grid)
    assert said.ratio == pytest.approx(alone / cost_of(paper, shape, box).flops, rel=0.02)
    swept = Planner(paper, shape, box, STRIDE, length=8).of((4, *core[1:]))
    columns = TileGrid(shape, (32, *core[1:]), ((0, 0),) * 3, STRIDE, box=box)
    together = sum(cost_of(paper, shape, tile.core).flops for tile in columns)
    assert swept.ratio == pytest.approx(together / cost_of(paper, shape, box).flops, rel=0.02)


def test_work_at_a_forced_core_far_from_the_border(paper: Program) -> None:
    """What a core of 96 voxels costs, alone and in a strip that is swept."""
    shape, core = (1024,) * 3, (96,) * 3
    voxel = cost_of(paper, shape, Box.of_shape(shape)).flops / 1024**3
    alone = cost_of(paper, shape, Box((400,) * 3, (496,) * 3)).flops
    assert alone / 96**3 / voxel <= 1.6
    strip = cost_of(paper, shape, Box((0, 0, 400), (1024, 1024, 400 + core[2]))).flops
    assert strip / (1024 * 1024 * 96) / voxel <= 1.25
