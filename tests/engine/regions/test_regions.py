"""Any box of a network's result, computed from what it needs alone, is that box of the whole result."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Callable

import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from torch import Tensor, nn
from torch.nn import functional

from napari_tileseg.engine.regions.check.captured import CaptureCache
from napari_tileseg.engine.regions.program.program import Program
from napari_tileseg.engine.regions.program.sweep import sweep
from napari_tileseg.graphs.capture import capture
from napari_tileseg.graphs.graph import NoRuleError
from napari_tileseg.nets import Network
from napari_tileseg.tiling import Box
from napari_tileseg.tiling.read_shape import ReadShape

from .drawn_networks import LEAST, box_in, captured, networks, shape_for

pytestmark = pytest.mark.usefixtures("one_thread")

#: Networks, and geometries of each: 504 cases, or as many as somebody with more time asks for.
NETWORKS, GEOMETRIES = int(os.environ.get("TILESEG_NETWORKS", "56")), 9


def check_box(module: nn.Module, program: Program, values: Tensor, expected: Tensor, box: Box) -> None:
    schedule = program.schedule(tuple(values.shape[2:]), box)
    part = values[(slice(None), slice(None), *schedule.read.slices)].clone()
    with torch.inference_mode():
        result = program.run(part, schedule)
    wanted = expected[(slice(None), slice(None), *box.slices)]
    assert result.shape == wanted.shape
    assert float((result - wanted).abs().max()) <= 1e-10 * max(1.0, float(expected.abs().max())), module


def check_sweep(program: Program, values: Tensor, expected: Tensor, planes: int) -> None:
    """Slab by slab, with all planes kept that later slabs need and no others."""
    with torch.inference_mode():
        whole = Box.of_shape(tuple(expected.shape[2:]))
        parts = sweep(
            program,
            tuple(values.shape[2:]),
            whole,
            planes,
            lambda box: values[(slice(None), slice(None), *box.slices)].clone(),
        )
        result = torch.cat([part for _, part in parts], dim=2)
    assert result.shape == expected.shape
    assert float((result - expected).abs().max()) <= 1e-10 * max(1.0, float(expected.abs().max()))


@pytest.mark.filterwarnings("ignore:Using padding='same' with even kernel:UserWarning")
def test_a_box_of_any_network_equals_the_whole() -> None:
    checked = Counter[int]()

    @settings(max_examples=NETWORKS, suppress_health_check=list(HealthCheck))
    @given(networks(), st.data())
    def check(network: tuple[int, nn.Module], data: st.DataObject) -> None:
        ndim, module = network
        graph = captured(module, ndim)
        program = Program(graph, module, "cpu", torch.float64, channels_last=data.draw(st.booleans()))
        for _ in range(GEOMETRIES):
            shape = shape_for(program, ndim, data)
            values = torch.rand(2, 1, *shape, dtype=torch.float64)
            with torch.inference_mode():
                expected = module(values.clone())
            assert program.wholes(shape)[-1] == tuple(expected.shape[2:])
            check_box(module, program, values, expected, box_in(data.draw, tuple(expected.shape[2:])))
            check_sweep(program, values, expected, data.draw(st.integers(1, 9)))
            checked[ndim] += 1

    check()
    assert checked.total() >= GEOMETRIES * NETWORKS, f"cases by number of axes: {dict(checked)}"
    assert len(checked) == len(LEAST)


def test_voxels_that_no_input_reaches_lie_beside_some_that_are_cut() -> None:
    """A kernel below the stride leaves gaps; on the other axis, what is computed is cut to the box."""
    torch.manual_seed(0)
    module = nn.Sequential(nn.Conv2d(1, 2, 3), nn.ConvTranspose2d(2, 2, (2, 1), (1, 2))).double()
    program = Program(
        capture(module, 1, ReadShape(minimum=(8, 8), step=(1, 1))), module, "cpu", torch.float64
    )
    values = torch.rand(1, 1, 9, 10, dtype=torch.float64)
    with torch.inference_mode():
        expected = module(values)
    height, width = expected.shape[2:]
    for row in range(height):
        for column in range(width):
            check_box(module, program, values, expected, Box((row, column), (row + 1, column + 1)))


class Refusing(nn.Module):
    """Says on several lines that it takes no image."""

    def forward(self, x: Tensor) -> Tensor:
        raise ValueError(f"no image of {x.ndim} axes is right.\nIndeed none.")


class Shifts(nn.Module):
    """Adds voxels at one end of an axis, and cuts as many off at the other."""

    def __init__(self, *amounts: int) -> None:
        super().__init__()
        self.amounts = amounts

    def forward(self, x: Tensor) -> Tensor:
        return functional.pad(x * 1.5, self.amounts, value=0.5)


@pytest.mark.parametrize("amounts", [(1, -1), (-2, 2), (0, 0, 3, -3), (0, 0, 0, 0)])
def test_a_shift_keeps_the_size_and_is_no_copy(amounts: tuple[int, ...]) -> None:
    torch.manual_seed(0)
    module = nn.Sequential(nn.Conv2d(1, 2, 3, padding=1), Shifts(*amounts)).double()
    graph = capture(module, 1, ReadShape(minimum=(8, 8), step=(1, 1)))
    program = Program(graph, module, "cpu", torch.float64)
    values = torch.rand(1, 1, 11, 12, dtype=torch.float64)
    with torch.inference_mode():
        expected = module(values)
    for box in (Box.of_shape((11, 12)), Box((0, 0), (2, 2)), Box((5, 5), (6, 7)), Box((9, 10), (11, 12))):
        check_box(module, program, values, expected, box)
    check_sweep(program, values, expected, 2)


@pytest.mark.parametrize(
    ("module", "why"),
    [
        (nn.Sequential(nn.Conv2d(1, 2, 3, padding=1), nn.InstanceNorm2d(2)), "instance_norm uses the mean"),
        (
            nn.Sequential(nn.Conv2d(1, 2, 3, padding=1), nn.GroupNorm(1, 2)),
            "no rule for its operation group_norm",
        ),
        (nn.Softmax(dim=2), "softmax mixes voxels"),
        (nn.Sequential(nn.Conv2d(1, 1, 1), nn.Flatten(2), nn.Unflatten(2, (12, 12))), "export"),
        (Refusing(), r"export .* \(ValueError: no image of 4 axes is right\)$"),
    ],
)
def test_what_has_no_rule_is_named(open_module: Callable[..., Network], module: nn.Module, why: str) -> None:
    network = open_module(module, 1, stride=4)
    with pytest.raises(NoRuleError, match=why):
        CaptureCache().graph_of(network)
