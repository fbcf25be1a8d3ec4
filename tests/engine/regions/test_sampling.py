"""Statistics of drawn parts: each part is right, what is said of their error is true, all can be repeated."""

from __future__ import annotations

from collections.abc import Iterator
from functools import cache, partial
from math import prod

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional

from napari_tileseg._progress import drain
from napari_tileseg.engine.passes.draw import Draw, Looks, Strata
from napari_tileseg.engine.passes.gathering import Known, Passes, Room
from napari_tileseg.engine.passes.part_maps import PartMaps, joined
from napari_tileseg.engine.passes.part_runner import PartRunner
from napari_tileseg.engine.passes.parts import Parts
from napari_tileseg.engine.passes.placed_network import PlacedNetwork
from napari_tileseg.engine.passes.sampling import Aim, Sampled, Sampler
from napari_tileseg.engine.passes.together import Swept, gather_together
from napari_tileseg.graphs.capture import capture
from napari_tileseg.graphs.graph import Graph
from napari_tileseg.tiling import Box
from napari_tileseg.tiling.read_shape import ReadShape

CHANNELS = 4
STEP = (2, 2)
#: What an output of `Net` depends on, on each side.
HALO = ((8, 8), (8, 8))


class Net(nn.Module):
    """Two scales, a skip, an excitation, and normalization before, between and after."""

    def __init__(self) -> None:
        super().__init__()
        self.first = nn.Sequential(nn.Conv2d(1, CHANNELS, 3, padding=1), nn.InstanceNorm2d(CHANNELS))
        self.down = nn.Sequential(nn.MaxPool2d(2), nn.Conv2d(CHANNELS, CHANNELS, 3, padding=1))
        self.norm, self.weigh = nn.GroupNorm(2, CHANNELS), nn.Linear(CHANNELS, CHANNELS)
        self.join = nn.Sequential(
            nn.Conv2d(2 * CHANNELS, CHANNELS, 3, padding=1), nn.InstanceNorm2d(CHANNELS)
        )
        self.last = nn.Conv2d(CHANNELS, 1, 1)

    def forward(self, x: Tensor) -> Tensor:
        x = self.first(x / (x.std() + 0.1)).relu()
        y = self.norm(self.down(x))
        y = y * self.weigh(y.mean((2, 3))).sigmoid()[..., None, None]
        y = functional.interpolate(y, scale_factor=2.0)
        return self.last(self.join(torch.cat((x, y), dim=1)).relu())


@cache
def net() -> tuple[nn.Module, Graph]:
    torch.manual_seed(0)
    module = Net().eval().double().requires_grad_(False)
    return module, capture(module, 1, ReadShape(minimum=(8, 8), step=STEP))


def field(shape: tuple[int, ...], seed: int = 0) -> Tensor:
    """A random image with bright and dark places, ``(1, 1, *shape)``."""
    rng = np.random.default_rng(seed)
    coarse = torch.from_numpy(rng.random((1, 1, *(max(2, n // 96) for n in shape))))
    broad = functional.interpolate(coarse, shape, mode="bilinear")
    return broad.square() * torch.from_numpy(rng.random((1, 1, *shape)))


def placed(graph: Graph, module: nn.Module) -> PlacedNetwork:
    return PlacedNetwork(graph, module, "cpu", torch.float64)


def crop(image: Tensor, box: Box) -> Tensor:
    return image[(slice(None), slice(None), *box.slices)].clone()


def whole_numbers(image: Tensor) -> dict[int, tuple[Tensor, ...]]:
    module, graph = net()
    shape, known = tuple(image.shape[2:]), Known()
    passes = Passes(placed(graph, module), shape, Room(memory=10**9))
    swept = Swept(passes=passes, read=partial(crop, image), plan=passes.plan(), known=known)
    drain(gather_together([swept]))
    return known.numbers


def numbers_of_all_parts(image: Tensor, parts: Parts, room: int) -> dict[int, tuple[Tensor, ...]]:
    """Take every part of an image through the levels, all of them with the numbers of all."""
    module, graph = net()
    runner = PartRunner(placed(graph, module), parts, lambda box: crop(image, box))
    held, wholes = [PartMaps(parts[number]) for number in range(len(parts))], graph.wholes(parts.shape)
    for level in range(1 + max(each.level for each in runner.statistics)):
        for part in held:
            runner.advance(part, runner.holds(room))
        for each in (each for each in runner.statistics if each.level == level):
            gathered = [part.gathered(each) for part in held]
            whole = joined(gathered, [1.0] * len(parts), prod(wholes[each.source]))
            runner.numbers[each.number] = each.numbers(whole)
    return runner.numbers


def furthest(one: dict[int, tuple[Tensor, ...]], other: dict[int, tuple[Tensor, ...]]) -> float:
    assert one.keys() == other.keys()
    return max(
        float((a - b).abs().max()) for number in one for a, b in zip(one[number], other[number], strict=True)
    )


@pytest.mark.parametrize("room", [0, 10**9])
@pytest.mark.parametrize("shape", [(256, 384), (130, 300)])
def test_all_parts_together_are_the_whole_image(shape: tuple[int, ...], room: int) -> None:
    image = field(shape)
    parts = Parts.of_image(shape, STEP, (8, 8), HALO)
    assert len(parts) > 1
    assert furthest(numbers_of_all_parts(image, parts, room), whole_numbers(image)) < 1e-10


def test_without_their_margin_parts_are_wrong() -> None:
    image = field((256, 384))
    parts = Parts((256, 384), STEP, (0, 0))
    assert furthest(numbers_of_all_parts(image, parts, 10**9), whole_numbers(image)) > 1e-3


def test_insides_fill_the_image_and_margins_end_at_its_border() -> None:
    parts = Parts.of_image((30, 52, 140), (2, 4, 4), (8, 8, 8), ((1, 3), (22, 22), (180, 180)))
    assert parts.counts == (1, 2, 4)
    assert parts.margin == (8, 24, 32)
    covered = np.zeros(parts.shape, int)
    for number in range(len(parts)):
        part = parts[number]
        covered[part.inside.slices] += 1
        assert Box.of_shape(parts.shape).contains(part.read)
        assert part.read.contains(part.inside)
        assert all(n % step == 0 for n, step in zip(part.read.shape, parts.step, strict=True))
    assert (covered == 1).all()


def looks_and_values(seed: int) -> tuple[Looks, np.ndarray]:
    """Parts of a random image, and sums over each that follow from its intensities in part."""
    rng = np.random.default_rng(seed)
    counts = np.full(400, 1024.0)
    means = np.where(rng.random(400) < 0.3, rng.gamma(2.0, 1.0, 400), 0.1 * rng.random(400))
    squares = means**2 * (1.0 + rng.random(400))
    looks = Looks(counts, means, squares)
    values = np.stack([means * looks.spreads, np.sqrt(means), looks.spreads**2], axis=1)
    return looks, counts[:, None] * (values + 0.3 * looks.spreads[:, None] * rng.standard_normal((400, 3)))


def estimate(draw: Draw, values: np.ndarray) -> np.ndarray:
    halves = [draw.weights(half)[:, None] * values[draw.chosen[:, half]] for half in (0, 1)]
    return (halves[0] + halves[1]).sum(0) / 2


@pytest.mark.parametrize("parts", [24, 64, 128])
def test_a_standard_error_is_what_estimates_are_off_by(parts: int) -> None:
    off, said = [], []
    for seed in range(200):
        looks, values = looks_and_values(seed % 10)
        draw = Strata(looks, seed).draw(parts)
        off.append(estimate(draw, values) - values.sum(0))
        said.append(draw.errors(values[draw.chosen]))
    ratio = np.sqrt(np.mean(np.square(off), axis=0) / np.mean(np.square(said), axis=0))
    assert (ratio > 0.7).all(), ratio
    assert (ratio < 1.35).all(), ratio


def test_a_sample_has_the_looks_of_the_image_and_is_surer_for_it() -> None:
    looks, values = looks_and_values(0)
    draws = [Strata(looks, seed).draw(64) for seed in range(50)]
    for draw in draws[:5]:
        known = looks.known * looks.counts[:, None]
        np.testing.assert_allclose(estimate(draw, known), known.sum(0), rtol=0.05)
    rng = np.random.default_rng(0)
    plain = [values[rng.choice(400, draws[0].number, replace=False)].mean(0) * 400 for _ in draws]
    errors = [
        np.square(np.array(each) - values.sum(0)).mean(0)
        for each in ([estimate(draw, values) for draw in draws], plain)
    ]
    assert (errors[0] < errors[1] / 4).all()


def test_a_larger_sample_holds_the_smaller_one_in_the_same_halves() -> None:
    strata = Strata(looks_and_values(0)[0], seed=3)
    small = strata.draw(16)
    large = strata.draw(64)
    assert small.number == 16
    assert large.number == 64
    for half in (0, 1):
        assert set(small.chosen[:, half]) <= set(large.chosen[:, half])
    assert large.sizes.sum() == 400
    assert not set(strata.left(5)) & set(large.chosen.ravel().tolist())


def sampled(image: Tensor, aim: Aim, memory: int = 10**9) -> Sampled | None:
    module, graph = net()
    parts = Parts.of_image(tuple(image.shape[2:]), STEP, (8, 8), HALO)
    network = placed(graph, module)
    sampler = Sampler(network, parts, lambda box: crop(image, box), memory, lambda y: y.numpy())
    return drain(sampler.gather(aim))


@pytest.fixture(scope="module")
def image() -> Tensor:
    """Of 64 parts."""
    return field((1024, 1024))


@pytest.fixture
def one_thread() -> Iterator[None]:
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


@pytest.mark.usefixtures("one_thread")
def test_a_sample_depends_on_image_network_and_seed_alone(image: Tensor) -> None:
    one = sampled(image, Aim(0.5))
    torch.set_num_threads(2)
    again, other = sampled(image, Aim(0.5)), sampled(image, Aim(0.5, seed=1))
    assert one is not None
    assert again is not None
    assert other is not None
    assert furthest(one.numbers, again.numbers) == 0.0
    assert one.difference == again.difference
    assert furthest(one.numbers, other.numbers) > 0.0


def test_less_memory_changes_rounding_only(image: Tensor) -> None:
    one, other = sampled(image, Aim(0.5)), sampled(image, Aim(0.5), memory=0)
    assert one is not None
    assert other is not None
    assert furthest(one.numbers, other.numbers) < 1e-10


def test_parts_are_drawn_until_all_is_sure_enough(image: Tensor) -> None:
    few = sampled(image, Aim(0.5))
    assert few is not None
    assert few.parts == 24
    bound = max(few.errors.values()) * 0.8
    more = sampled(image, Aim(bound))
    assert more is not None
    assert 24 < more.parts <= 32
    assert max(more.errors.values()) <= bound
    whole = whole_numbers(image)
    assert furthest(more.numbers, whole) < 0.1


def test_too_many_parts_are_no_sample(image: Tensor) -> None:
    assert sampled(image, Aim(1e-6)) is None
    assert sampled(field((256, 256)), Aim(1.0)) is None
