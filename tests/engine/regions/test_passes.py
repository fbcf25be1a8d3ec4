"""What a network computes over all of space is gathered exactly, however the image is gone through."""

from __future__ import annotations

import os
from collections import Counter
from functools import partial
from pathlib import Path

import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from torch import Tensor, nn
from torch.nn import functional

from napari_tileseg._progress import drain
from napari_tileseg.engine.passes.cells import Columns
from napari_tileseg.engine.passes.gathering import Known, Passes, Room
from napari_tileseg.engine.passes.placed_network import PlacedNetwork
from napari_tileseg.engine.passes.together import Swept, gather_together
from napari_tileseg.engine.regions.program.program import Program
from napari_tileseg.errors import ImageError
from napari_tileseg.graphs.capture import capture
from napari_tileseg.graphs.graph import Graph, NoRuleError
from napari_tileseg.graphs.statistics.gathered import Moments
from napari_tileseg.graphs.statistics.statistic import find_statistics
from napari_tileseg.nets.architectures.ensembles import Mirrored
from napari_tileseg.nets.architectures.orientation import oriented
from napari_tileseg.tiling import Box
from napari_tileseg.tiling.read_shape import ReadShape

from .drawn_networks import CHANNELS, LEAST, blocks, box_in, captured, check_box, of, shape_for

pytestmark = pytest.mark.usefixtures("one_thread")

#: Networks, or as many as somebody with more time asks for.
NETWORKS = int(os.environ.get("TILESEG_NETWORKS", "100"))
#: Bytes: nothing is kept and slabs are thin; some is kept; everything is.
ROOMS = (1, 2**14, 2**30)


class Excite(nn.Module):
    """Weighs channels by what their means say; beside it each voxel by its channels."""

    def __init__(self, ndim: int) -> None:
        super().__init__()
        self.weigh, self.place = nn.Linear(CHANNELS, CHANNELS), of("Conv", ndim)(CHANNELS, 1, 1)

    def forward(self, x: Tensor) -> Tensor:
        mean = x.mean(dim=tuple(range(2, x.ndim)))
        weights = self.weigh(mean).sigmoid().reshape(-1, CHANNELS, *(1,) * (x.ndim - 2))
        return x * weights + x * self.place(x).sigmoid()


class Response(nn.Module):
    """Global response normalization."""

    def forward(self, x: Tensor) -> Tensor:
        size = torch.linalg.vector_norm(x, dim=tuple(range(2, x.ndim)), keepdim=True)
        return x + x * size / (size.mean(dim=1, keepdim=True) + 1e-3)


class Standardized(nn.Module):
    """Zero mean and unit spread over everything, by a sample's standard deviation."""

    def forward(self, x: Tensor) -> Tensor:
        return (x - x.mean()) / (x.std() + 0.1)


class Ranged(nn.Module):
    """From the least to the largest of each channel."""

    def forward(self, x: Tensor) -> Tensor:
        space = tuple(range(2, x.ndim))
        least, largest = x.amin(space, keepdim=True), x.amax(space, keepdim=True)
        return (x - least) / (largest - least + 0.1)


class Pooled(nn.Module):
    """Means of the whole image beside each voxel, as at the end of a pyramid of dilated convolutions."""

    def __init__(self, ndim: int) -> None:
        super().__init__()
        self.pool, self.join = of("AdaptiveAvgPool", ndim)(1), of("Conv", ndim)(2 * CHANNELS, CHANNELS, 1)

    def forward(self, x: Tensor) -> Tensor:
        mean = functional.interpolate(self.pool(x), x.shape[2:])
        return self.join(torch.cat((x, mean), dim=1))


def reductions(ndim: int) -> st.SearchStrategy[nn.Module]:
    return st.sampled_from(
        [
            lambda: of("InstanceNorm", ndim)(CHANNELS),
            lambda: of("InstanceNorm", ndim)(CHANNELS, affine=True),
            lambda: nn.GroupNorm(1, CHANNELS),
            lambda: of("BatchNorm", ndim)(CHANNELS, track_running_stats=False),
            lambda: Excite(ndim),
            lambda: Response(),
            lambda: Standardized(),
            lambda: Ranged(),
            lambda: Pooled(ndim),
        ]
    ).map(lambda make: make())


@st.composite
def turned(draw: st.DrawFn, network: nn.Module, ndim: int) -> nn.Module:
    """The network itself, or with mirrored copies, or given axes in another order and the other way."""
    axes = tuple(sorted(draw(st.sets(st.integers(0, ndim - 1)))))
    if len(axes) == 1 and draw(st.booleans()):
        return Mirrored(network, axes)
    return oriented(network, ndim, draw(st.permutations(range(ndim))), axes)


@st.composite
def networks(draw: st.DrawFn) -> tuple[int, nn.Module]:
    """A network in which one to three layers, anywhere, look at all of space."""
    ndim = draw(st.sampled_from([1, 2, 2, 3]))
    layers: list[nn.Module] = [of("Conv", ndim)(1, CHANNELS, 1)]
    for _ in range(draw(st.integers(1, 3))):
        if draw(st.booleans()):
            layers.append(draw(blocks(ndim)))
        layers.append(draw(reductions(ndim)))
    if draw(st.booleans()):
        layers.append(draw(blocks(ndim)))
    torch.manual_seed(draw(st.integers(0, 99)))
    module = draw(turned(nn.Sequential(*layers), ndim)).eval().requires_grad_(False)
    for name, value in [*module.named_parameters(), *module.named_buffers()]:
        if value.is_floating_point():
            value.copy_(torch.rand_like(value) + (0.5 if "var" in name else -0.3))
    return ndim, module.double()


def _cut(image: Tensor, box: Box) -> Tensor:
    return image[(slice(None), slice(None), *box.slices)].clone()


def placed(graph: Graph, module: nn.Module) -> PlacedNetwork:
    return PlacedNetwork(graph, module, "cpu", torch.float64)


def gathered(
    graph: Graph, module: nn.Module, image: Tensor, memory: int, known: Known | None = None
) -> tuple[Graph, Known]:
    """Gather over an image; returns the network with numbers in it, beginning at what was kept."""
    known = Known() if known is None else known
    passes = Passes(placed(graph, module), tuple(image.shape[2:]), Room(memory=memory))
    plan = passes.plan()
    drain(gather_together([Swept(passes=passes, read=partial(_cut, image), plan=plan, known=known)]))
    return passes.final_graph(plan, known), known


def equal(one: Known, other: Known) -> bool:
    """Whether the same numbers are known, to the last bit."""
    return one.numbers.keys() == other.numbers.keys() and all(
        torch.equal(a, b)
        for number in one.numbers
        for a, b in zip(one.numbers[number], other.numbers[number], strict=True)
    )


@pytest.mark.filterwarnings("ignore:Using padding='same' with even kernel:UserWarning")
def test_a_box_of_any_network_equals_that_of_the_whole_image() -> None:
    checked = Counter[int]()

    @settings(max_examples=NETWORKS, suppress_health_check=list(HealthCheck))
    @given(networks(), st.data())
    def check(network: tuple[int, nn.Module], data: st.DataObject) -> None:
        ndim, module = network
        graph = captured(module, ndim)
        shape = shape_for(Program(graph, module, "cpu", torch.float64), ndim, data)
        image = torch.rand(1, 1, *shape, dtype=torch.float64) + data.draw(st.sampled_from([0.0, 100.0]))
        with torch.inference_mode():
            expected = module(image.clone())
        for memory in ROOMS:
            local, _ = gathered(graph, module, image, memory)
            check_box(local, module, image, expected, box_in(data.draw, tuple(expected.shape[2:])))
        checked[ndim] += 1

    check()
    assert checked.total() >= NETWORKS, f"networks by number of axes: {dict(checked)}"
    assert len(checked) == len(LEAST)


class Small(nn.Module):
    """A volume's network of three levels, with a skip and layers of every kind that look at all of space."""

    def __init__(self) -> None:
        super().__init__()
        self.first = nn.Sequential(nn.Conv3d(1, CHANNELS, 3, padding=1), nn.InstanceNorm3d(CHANNELS))
        self.down = nn.Sequential(nn.MaxPool3d(2), nn.Conv3d(CHANNELS, CHANNELS, 3, padding=1))
        self.norm, self.excite = nn.GroupNorm(1, CHANNELS), Excite(3)
        self.last = nn.Conv3d(2 * CHANNELS, 1, 1)

    def forward(self, x: Tensor) -> Tensor:
        x = self.first(Standardized()(x)).relu()
        y = functional.interpolate(self.excite(self.norm(self.down(x))), scale_factor=2.0)
        return self.last(torch.cat((x, y), dim=1))


@pytest.fixture(scope="module")
def small() -> tuple[nn.Module, Graph, Tensor, Tensor]:
    """The network, its graph, an image of two columns, and what the network makes of it."""
    torch.manual_seed(0)
    module = Small().eval().double().requires_grad_(False)
    image = torch.rand(1, 1, 20, 192, 176, dtype=torch.float64)
    with torch.inference_mode():
        return module, capture(module, 1, ReadShape(minimum=(8,) * 3, step=(2,) * 3)), image, module(image)


CORNER = Box((12, 180, 160), (20, 192, 176))


@pytest.mark.parametrize("memory", [1, 5 * 10**7, 10**9])
def test_a_run_that_was_killed_leaves_the_same_numbers(
    small: tuple[nn.Module, Graph, Tensor, Tensor], memory: int
) -> None:
    module, graph, image, _ = small
    _, whole = gathered(graph, module, image, memory)
    levels = sorted({each.level for each in find_statistics(graph)})
    for level in levels[1:]:
        before = {each.number for each in find_statistics(graph) if each.level < level}
        half = Known({number: values for number, values in whole.numbers.items() if number in before})
        _, resumed = gathered(graph, module, image, memory, half)
        assert equal(whole, resumed)


def test_the_number_of_threads_changes_no_bit(small: tuple[nn.Module, Graph, Tensor, Tensor]) -> None:
    module, graph, image, _ = small
    _, one = gathered(graph, module, image, 10**8)
    torch.set_num_threads(2)
    _, two = gathered(graph, module, image, 10**8)
    assert equal(one, two)


def test_thin_slabs_and_columns_agree_but_for_rounding(
    small: tuple[nn.Module, Graph, Tensor, Tensor],
) -> None:
    module, graph, image, expected = small
    (_, thin), (local, thick) = (gathered(graph, module, image, memory) for memory in (1, 10**9))
    for number, values in thick.numbers.items():
        for one, other in zip(values, thin.numbers[number], strict=True):
            torch.testing.assert_close(one, other, rtol=1e-11, atol=1e-13)
    check_box(local, module, image, expected, CORNER)


@pytest.mark.parametrize("memory", [1, 10**9])
def test_two_images_count_as_the_one_that_they_are_the_halves_of(memory: int) -> None:
    torch.manual_seed(0)
    layers = (
        *(nn.InstanceNorm2d(CHANNELS), Ranged(), nn.Conv2d(CHANNELS, CHANNELS, 1)),
        *(nn.GroupNorm(1, CHANNELS), Standardized()),
    )
    module = nn.Sequential(nn.Conv2d(1, CHANNELS, 1), *layers).eval().requires_grad_(False).double()
    image = torch.rand(1, 1, 40, 12, dtype=torch.float64)
    graph = capture(module, 1, ReadShape(minimum=(4, 4), step=(1, 1)))
    _, expected = gathered(graph, module, image, memory)
    swept = []
    for rows in (slice(0, 12), slice(12, 40)):
        part = image[:, :, rows]
        passes = Passes(placed(graph, module), tuple(part.shape[2:]), Room(memory=memory))
        read = partial(_cut, part)
        swept.append(Swept(passes=passes, read=read, plan=passes.plan(), known=Known()))
    fractions = [each.fraction for each in gather_together(swept)]
    assert fractions == sorted(fractions)
    assert fractions[-1] == 1
    for each in swept:
        assert each.known.numbers.keys() == expected.numbers.keys()
        for number, values in expected.numbers.items():
            for one, other in zip(values, each.known.numbers[number], strict=True):
                torch.testing.assert_close(one, other, rtol=1e-11, atol=1e-12)


def test_kept_maps_lie_on_disk_as_well(
    small: tuple[nn.Module, Graph, Tensor, Tensor], tmp_path: Path
) -> None:
    module, graph, image, expected = small
    shape = tuple(image.shape[2:])
    room = Room(memory=10**6, scratch=10**8, folder=tmp_path)
    passes, known = Passes(placed(graph, module), shape, room), Known()
    plan = passes.plan()
    assert plan.passes < 1.1
    drain(gather_together([Swept(passes=passes, read=partial(_cut, image), plan=plan, known=known)]))
    assert not any(each.in_memory for each in known.maps.values())
    check_box(passes.final_graph(plan, known), module, image, expected, CORNER)


def _without_between(self: Moments) -> Moments:
    """Join parts as if all had the same mean."""
    counts = self.counts[:, None]
    total = counts.sum(0)
    return Moments(total, (counts * self.means).sum(0)[None] / total, self.deviations.sum(0)[None])


def _without_last(self: Columns, whole: tuple[int, ...], first: int, last: int) -> Box:
    """Leave one line out."""
    start, stop = (whole[1] * at // self.count for at in (first, last))
    return Box((0, start, 0), (whole[0], min(stop, whole[1] - 1), whole[2]))


def _of_half(self: Moments, groups: int) -> Moments:
    """Take the first channel's for a group."""
    return Moments(self.counts, self.means[:, :groups], self.deviations[:, :groups])


@pytest.mark.parametrize(
    ("of", "name", "fault"),
    [
        (Moments, "joined", _without_between),
        (Moments, "over_groups", _of_half),
        (Columns, "box", _without_last),
    ],
)
def test_a_fault_shows(
    small: tuple[nn.Module, Graph, Tensor, Tensor],
    monkeypatch: pytest.MonkeyPatch,
    of: type,
    name: str,
    fault: object,
) -> None:
    module, graph, image, expected = small
    monkeypatch.setattr(of, name, fault)
    local, _ = gathered(graph, module, image, 1)
    with pytest.raises(AssertionError):
        check_box(local, module, image, expected, CORNER)


def test_numbers_that_are_not_finite_name_their_layer() -> None:
    module = nn.Sequential(nn.Conv2d(1, CHANNELS, 1), nn.InstanceNorm2d(CHANNELS)).eval().double()
    image = torch.rand(1, 1, 12, 12, dtype=torch.float64)
    image[..., 5, 7] = torch.inf
    with pytest.raises(ImageError, match=r"What layer 1 takes statistics of is NaN .* near voxel 5,7 of the"):
        gathered(captured(module, 2), module, image, 10**6)


@pytest.mark.parametrize("layer", [nn.Softmax(2), nn.Sequential(nn.Softmax(3), nn.InstanceNorm2d(CHANNELS))])
def test_what_cannot_be_put_together_is_refused(layer: nn.Module) -> None:
    module = nn.Sequential(nn.Conv2d(1, CHANNELS, 1), layer).eval().double()
    with pytest.raises(NoRuleError, match="softmax mixes voxels"):
        find_statistics(captured(module, 2))
