"""What turns an image and its output back is computed on the image as it lies, whatever it is made of."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Callable
from itertools import permutations

import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from torch import Tensor, nn
from torch.nn import functional

from napari_tileseg.engine.regions.program.program import Program
from napari_tileseg.graphs.capture import capture
from napari_tileseg.graphs.operations.turned import Turned, Turning
from napari_tileseg.graphs.operations.windows import Window
from napari_tileseg.graphs.statistics.statistic import find_statistics
from napari_tileseg.nets.architectures import ensembles
from napari_tileseg.nets.architectures.orientation import oriented
from napari_tileseg.tiling import Box
from napari_tileseg.tiling.read_shape import ReadShape

from .drawn_networks import LEAST, box_in, captured, check_box, networks, shape_for

pytestmark = pytest.mark.usefixtures("one_thread")

#: Networks, or as many as somebody with more time asks for, and boxes of each.
NETWORKS, BOXES = int(os.environ.get("TILESEG_NETWORKS", "60")), 3


def copies(network: nn.Module, axes: tuple[int, ...]) -> nn.Module:
    return ensembles.Mirrored(network, axes).eval().requires_grad_(False).double()


def some_axes(ndim: int) -> st.SearchStrategy[tuple[int, ...]]:
    return st.sets(st.integers(0, ndim - 1), min_size=1).map(sorted).map(tuple)


@pytest.mark.filterwarnings("ignore:Using padding='same' with even kernel:UserWarning")
def test_a_box_of_mirrored_copies_of_any_network_equals_the_whole() -> None:
    checked = Counter[int]()

    @settings(max_examples=NETWORKS, suppress_health_check=list(HealthCheck))
    @given(networks(), st.data())
    def check(network: tuple[int, nn.Module], data: st.DataObject) -> None:
        ndim, single = network
        axes = data.draw(some_axes(ndim))
        # Of many copies at once export takes its time: often it is a single one, with its axes in any order.
        several = len(axes) == 1 and data.draw(st.booleans())
        order = data.draw(st.permutations(range(ndim)))
        module = copies(single, axes) if several else oriented(single, ndim, order, axes).eval()
        graph = captured(module, ndim)
        assert not any(isinstance(node.operation, Turning) for node in graph.nodes)
        shape = shape_for(Program(graph, module, "cpu", torch.float64), ndim, data)
        image = torch.rand(1, 1, *shape, dtype=torch.float64)
        with torch.inference_mode():
            expected = module(image.clone())
        for _ in range(BOXES):
            check_box(graph, module, image, expected, box_in(data.draw, tuple(expected.shape[2:])))
        checked[ndim] += 1

    check()
    assert checked.total() >= NETWORKS, f"networks by number of axes: {dict(checked)}"
    assert len(checked) == len(LEAST)


class Formula(nn.Module):
    """A function of the image."""

    def __init__(self, formula: Callable[[Tensor], Tensor]) -> None:
        super().__init__()
        self.formula = formula

    def forward(self, x: Tensor) -> Tensor:
        return self.formula(x)


def placed(x: Tensor) -> Tensor:
    """Beside an image, where in it each voxel lies."""
    places = torch.arange(x.shape[2], dtype=x.dtype)[:, None].expand(1, 1, *x.shape[2:])
    return torch.cat((x, places), dim=1)


#: Small networks around what does not treat the ends of an axis alike.
ONE_SIDED: dict[str, Callable[[], nn.Module]] = {
    "a stride at even size": lambda: nn.Conv2d(1, 2, 3, 2, 1),
    "an even kernel": lambda: nn.Conv2d(1, 2, (2, 4), padding="same"),
    "a pooling that rounds up": lambda: nn.AvgPool2d(3, 2, 1, ceil_mode=True),
    "gaps of a transposed convolution": lambda: nn.ConvTranspose2d(1, 2, 2, 3, 0, 2),
    "padding": lambda: nn.ConstantPad2d((2, 0, -1, 1), 0.5),
    "a slice": lambda: Formula(lambda x: x[:, :, 1:-2:3, -7:]),
    "nearest voxels": lambda: nn.Upsample(scale_factor=1.6, mode="nearest"),
    "interpolation": lambda: nn.Upsample(scale_factor=1.6, mode="bilinear"),
    "voxels of channels": lambda: nn.Sequential(nn.Conv2d(1, 4, 1), nn.PixelShuffle(2)),
    "channels of voxels": lambda: nn.PixelUnshuffle(2),
    "places": lambda: Formula(placed),
    "sums along an axis": lambda: Formula(lambda x: torch.cumsum(x, 2)),
}


@pytest.mark.filterwarnings("ignore:Using padding='same' with even kernel:UserWarning")
@pytest.mark.parametrize("name", ONE_SIDED)
@pytest.mark.parametrize("shape", [(16, 20), (20, 28)])
def test_what_begins_at_one_end_begins_at_the_other(name: str, shape: tuple[int, int]) -> None:
    torch.manual_seed(0)
    module = copies(ONE_SIDED[name](), (0, 1))
    image = torch.rand(1, 1, *shape, dtype=torch.float64)
    with torch.inference_mode():
        expected = module(image)
        assert not torch.allclose(expected, module.network(image)), "mirrored copies are others"
    graph = capture(module, 1, ReadShape(minimum=(12, 12), step=(4, 4)))
    rows, columns = expected.shape[2:]
    for box in (
        Box.of_shape((rows, columns)),
        Box((0, 1), (2, 3)),
        Box((rows - 1, columns - 2), (rows, columns)),
    ):
        check_box(graph, module, image, expected, box)


def test_a_window_that_is_not_turned_over_shows(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Window, "along", lambda self, *_: self)
    with pytest.raises(AssertionError):
        test_what_begins_at_one_end_begins_at_the_other("a stride at even size", (16, 20))


def test_what_only_adds_and_scales_stays_as_it_is() -> None:
    layers = (
        nn.Conv2d(1, 2, 3, padding=1),
        nn.BatchNorm2d(2),
        nn.LeakyReLU(),
        nn.MaxPool2d(2),
        nn.Softmax(1),
    )
    module = copies(nn.Sequential(*layers, nn.Upsample(scale_factor=2)), (1,))
    graph = capture(module, 1, ReadShape(minimum=(8, 8), step=(2, 2)))
    turned = [node.operation.operation for node in graph.nodes if isinstance(node.operation, Turned)]
    assert {type(each).__name__ for each in turned} == {"Resize"}


def test_each_copy_has_statistics_of_its_own() -> None:
    torch.manual_seed(0)
    norms = (nn.InstanceNorm2d(2), nn.Conv2d(2, 2, 3, padding=1), nn.InstanceNorm2d(2))
    module = copies(nn.Sequential(nn.Conv2d(1, 2, 3, padding=1), *norms), (0, 1))
    found = find_statistics(capture(module, 1, ReadShape(minimum=(8, 8), step=(1, 1))))
    assert len(found) == 8
    assert len({each.source for each in found}) == 8


@pytest.mark.parametrize("order", list(permutations(range(3))))
@pytest.mark.parametrize("flipped", [(), (0, 2)])
def test_a_network_that_is_given_axes_in_another_order_is_followed(
    order: tuple[int, ...], flipped: tuple[int, ...]
) -> None:
    torch.manual_seed(0)
    layers = (nn.Conv3d(1, 2, (4, 3, 1), (1, 2, 1)), nn.AvgPool3d((1, 3, 2), (1, 2, 2), (0, 1, 1)))
    last = nn.Sequential(
        nn.ReflectionPad3d((1, 0, 0, 1, 0, 1)), nn.ConvTranspose3d(2, 1, (2, 1, 3), (1, 1, 2))
    )
    module = oriented(nn.Sequential(*layers, last), 3, order, flipped).eval().requires_grad_(False).double()
    image = torch.rand(1, 1, 9, 12, 15, dtype=torch.float64)
    graph = capture(module, 1, ReadShape(minimum=(8,) * 3, step=(1,) * 3))
    assert not graph.obstacle
    with torch.inference_mode():
        expected = module(image)
    shape = tuple(expected.shape[2:])
    for box in (Box.of_shape(shape), Box((0, 1, 2), (2, 2, 4)), Box(tuple(n - 1 for n in shape), shape)):
        check_box(graph, module, image, expected, box)


@pytest.mark.parametrize(
    "formula",
    [
        lambda x: x.flip(2),
        lambda x: x + x.flip(2),
        lambda x: functional.relu(x).flip(2, 3) * x,
        lambda x: torch.cat((x.flip(3), x.flip(2)), 1),
        lambda x: x + x.transpose(2, 3).flip(2).amin(3, keepdim=True).transpose(2, 3),
    ],
)
def test_an_image_that_stays_turned_is_computed_whole_alone(
    formula: Callable[[Tensor], Tensor],
) -> None:
    module = nn.Sequential(Formula(formula), nn.Softmax(1)).double()
    image = torch.rand(1, 1, 9, 12, dtype=torch.float64)
    graph = capture(module, 1, ReadShape(minimum=(8, 8), step=(1, 1)))
    assert graph.obstacle == "it turns the image, and not all that it makes of it back"
    check_box(graph, module, image, module(image), Box((1, 2), (9, 5)))
