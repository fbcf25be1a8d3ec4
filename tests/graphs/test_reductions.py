"""What looks at all of space is a part of the graph: computed right for a whole image, and by its layer."""

from collections.abc import Callable

import pytest
import torch
from torch import nn
from torch.nn import functional

from napari_tileseg.engine.regions.program.program import Program
from napari_tileseg.graphs.capture import capture
from napari_tileseg.graphs.graph import Node
from napari_tileseg.graphs.operations.reductions import Global
from napari_tileseg.graphs.reach import find_reach
from napari_tileseg.graphs.recording import record
from napari_tileseg.tiling import Box
from napari_tileseg.tiling.read_shape import ReadShape

SHAPE = (12, 16)


class Formula(nn.Module):
    """A layer from a function of its input."""

    def __init__(self, formula: Callable[[torch.Tensor], torch.Tensor]) -> None:
        super().__init__()
        self.formula = formula

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.formula(x)


class Excite(nn.Module):
    """Squeeze and excite by linear layers, between which there is no space."""

    def __init__(self) -> None:
        super().__init__()
        self.inner = nn.Sequential(nn.Linear(4, 2), nn.ReLU(inplace=True), nn.Linear(2, 4), nn.Sigmoid())

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return x * self.inner(functional.adaptive_avg_pool2d(x, 1).flatten(1)).view(1, 4, 1, 1)


class Pyramid(nn.Module):
    """A mean of the whole image beside each voxel."""

    def __init__(self) -> None:
        super().__init__()
        self.weigh, self.join = nn.Conv2d(4, 4, 1), nn.Conv2d(8, 4, 1)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        mean = self.weigh(functional.adaptive_avg_pool2d(x, 1))
        return self.join(torch.cat([x, functional.interpolate(mean, x.shape[2:], mode="bilinear")], dim=1))


class Response(nn.Module):
    """Global response normalization."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        size = torch.linalg.vector_norm(x, dim=(2, 3), keepdim=True)
        return x + 0.1 * x * size / (size.mean(1, keepdim=True) + 1e-6)


def shifted(norm: nn.Module) -> nn.Module:
    """A normalization whose scale and shift do something."""
    for weight in norm.parameters():
        nn.init.uniform_(weight, 0.5, 1.5)
    return norm


LAYERS: dict[str, tuple[Callable[[], nn.Module], str]] = {
    "instance": (lambda: nn.InstanceNorm2d(4), "instance_norm uses the mean"),
    "affine instance": (lambda: shifted(nn.InstanceNorm2d(4, affine=True)), "instance_norm uses the mean"),
    "group": (lambda: shifted(nn.GroupNorm(2, 4)), "no rule for its operation group_norm"),
    "batch": (lambda: shifted(nn.BatchNorm2d(4, track_running_stats=False)), "batch_norm uses the mean"),
    "excite": (Excite, "no rule for its operation adaptive_avg_pool2d"),
    "pyramid": (Pyramid, "no rule for its operation adaptive_avg_pool2d"),
    "response": (Response, "linalg_vector_norm mixes voxels"),
    "largest": (lambda: Formula(lambda x: x / x.abs().amax((2, 3), keepdim=True)), "amax mixes voxels"),
    "least": (lambda: Formula(lambda x: x - x.amin((2, 3), keepdim=True)), "amin mixes voxels"),
    "spread": (lambda: Formula(lambda x: (x - x.mean()) / x.std()), "operation mean"),
    "one axis": (lambda: Formula(lambda x: x - x.mean(3, keepdim=True)), "mean mixes voxels"),
    "channels' largest": (
        lambda: Formula(lambda x: x * functional.adaptive_max_pool2d(x.amax(1, keepdim=True), 1)),
        "no rule for its operation adaptive_max_pool2d",
    ),
    "softmax": (lambda: nn.Softmax(2), "softmax mixes voxels"),
    "sums": (lambda: Formula(lambda x: torch.cumsum(x, 3)), "cumsum mixes voxels"),
}


def network(name: str) -> nn.Module:
    torch.manual_seed(0)
    layer = LAYERS[name][0]()
    first = nn.Sequential(nn.Conv2d(1, 4, 3, padding=1), nn.MaxPool2d(2))
    return nn.Sequential(first, layer, nn.Upsample(scale_factor=2.0), nn.Conv2d(4, 2, 3, padding=1)).eval()


def is_global(node: Node) -> bool:
    return isinstance(node.operation, Global)


@pytest.mark.parametrize("name", LAYERS)
def test_the_graph_computes_what_the_network_does(name: str) -> None:
    module = network(name).double()
    graph = capture(module, 1, ReadShape(minimum=(4, 4), step=(2, 2)))
    assert LAYERS[name][1] in graph.obstacle
    image = torch.rand(1, 1, *SHAPE, dtype=torch.float64)
    program = Program(graph, module, "cpu", torch.float64)
    with torch.inference_mode():
        expected = module(image)
        for box in (Box.of_shape(SHAPE), Box((2, 6), (5, 12))):
            schedule = program.schedule(SHAPE, box)
            values = program.run(image[(slice(None), slice(None), *schedule.read.slices)], schedule)
            part = expected[(slice(None), slice(None), *box.slices)]
            torch.testing.assert_close(values, part, rtol=1e-10, atol=1e-10)


@pytest.mark.parametrize("name", LAYERS)
def test_a_recording_shows_what_an_export_does(name: str) -> None:
    module = network(name)
    graph = capture(module, 1, ReadShape(minimum=(4, 4), step=(2, 2)))
    recording = record(module, torch.zeros(1, 1, *SHAPE))
    exported = [node.operation for node in graph.nodes if is_global(node)]
    assert [node.operation for node in recording.nodes if is_global(node)] == exported
    assert {node.layer for node in (*recording.nodes, *graph.nodes) if is_global(node)} == {"1"}


@pytest.mark.parametrize("name", LAYERS)
def test_the_reach_is_that_of_what_is_local(name: str) -> None:
    reach = find_reach(record(network(name), torch.zeros(1, 1, *SHAPE)))
    assert reach.global_layers == ("1",)
    assert (reach.stride, reach.halo) == ((2, 2), ((3, 3), (3, 3)))
    assert reach.receptive_field == (6, 6)
