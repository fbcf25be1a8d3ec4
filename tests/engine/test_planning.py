"""The planner: within its budget, on the stride, equal parts, no more work than it says."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from napari_tileseg.engine.regions.capture import capture
from napari_tileseg.engine.regions.cost import cost_of, peak_of_sweep
from napari_tileseg.engine.regions.planning import plan_core, plan_sweep
from napari_tileseg.engine.regions.program import Program
from napari_tileseg.errors import SettingsError
from napari_tileseg.nets import registry
from napari_tileseg.nets.spec import ReadShape
from napari_tileseg.tiling import Box

SHAPE = (192, 192, 192)
STRIDE = (4, 4, 4)


@pytest.fixture(scope="module")
def paper() -> Program:
    """Give the paper's U-Net without its weights: planning runs nothing."""
    module = registry.build("unet", ndim=3, norm="batch").eval()
    graph = capture(module, 1, ReadShape(minimum=STRIDE, step=STRIDE))
    return Program(graph, module, "meta", torch.float32)


@settings(max_examples=15)
@given(share=st.floats(0.02, 1.2), size=st.tuples(*[st.integers(1, 60)] * 3))
def test_a_plan_keeps_to_its_budget(paper: Program, share: float, size: tuple[int, int, int]) -> None:
    shape = tuple(4 * n for n in size)
    box = Box.of_shape(shape)
    budget = int(share * cost_of(paper, shape, box).peak)
    least = cost_of(paper, shape, Box(tuple(n // 8 * 4 for n in shape), tuple(n // 8 * 4 + 4 for n in shape)))
    plan = plan_core(paper, shape, box, STRIDE, max(budget, least.peak))
    budget = max(budget, least.peak)
    assert plan.peak <= budget
    assert all(n % step == 0 and step <= n for n, step in zip(plan.core, STRIDE, strict=True))
    assert plan.ratio >= 1 - 1e-9
    for extent, n, step in zip(shape, plan.core, STRIDE, strict=True):
        parts = -(-extent // n)
        assert n - step < -(-extent // parts), "parts are as equal as the stride allows"


def test_enough_memory_means_one_core(paper: Program) -> None:
    plan = plan_core(paper, SHAPE, Box.of_shape(SHAPE), STRIDE, 2**40)
    assert plan.core == SHAPE
    assert plan.ratio == 1


def test_no_tensor_gets_too_many_numbers(paper: Program) -> None:
    plan = plan_core(paper, (1024,) * 3, Box.of_shape((1024,) * 3), STRIDE, 2**45)
    middle = Box((256,) * 3, tuple(256 + n for n in plan.core))
    assert cost_of(paper, (1024,) * 3, middle).largest < 2**31


def test_a_budget_that_is_too_small_names_the_least(paper: Program) -> None:
    box = Box.of_shape(SHAPE)
    with pytest.raises(SettingsError, match=r"takes [\d,]+ bytes") as raised:
        plan_core(paper, SHAPE, box, STRIDE, 10**6)
    least = int(str(raised.value).split("takes ")[1].split(" bytes")[0].replace(",", ""))
    assert plan_core(paper, SHAPE, box, STRIDE, least).peak <= least
    with pytest.raises(SettingsError, match="thinnest slab"):
        plan_sweep(paper, SHAPE, box, STRIDE, 10**6)


def test_a_quarter_of_the_memory_is_enough_to_compute_nothing_twice(paper: Program) -> None:
    box = Box.of_shape(SHAPE)
    whole = cost_of(paper, SHAPE, box)
    plan = plan_sweep(paper, SHAPE, box, STRIDE, whole.peak // 4)
    assert plan.ratio <= 1.15
    assert plan.peak == peak_of_sweep(paper, SHAPE, box, plan.planes) <= whole.peak // 4
    double = (384, 192, 192)
    longer = peak_of_sweep(paper, double, Box.of_shape(double), plan.planes)
    assert longer == pytest.approx(plan.peak, rel=0.05), "memory is flat however long the volume"


def test_work_at_a_forced_core_far_from_the_border(paper: Program) -> None:
    """What a core of 96 voxels costs, alone and in a strip that is swept."""
    shape, core = (1024,) * 3, (96,) * 3
    voxel = cost_of(paper, shape, Box.of_shape(shape)).flops / 1024**3
    alone = cost_of(paper, shape, Box((400,) * 3, (496,) * 3)).flops
    assert alone / 96**3 / voxel <= 1.6
    strip = cost_of(paper, shape, Box((0, 0, 400), (1024, 1024, 400 + core[2]))).flops
    assert strip / (1024 * 1024 * 96) / voxel <= 1.25
