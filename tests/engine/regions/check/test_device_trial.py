"""Trying a network's graph: its rules where it is captured, a device before it is first used."""

from functools import partial
from itertools import accumulate, chain
from math import inf

import numpy as np
import pytest
import torch
from torch import nn

from napari_tileseg.engine import PlainEngine, RegionEngine, open_engine, open_planner, route_of
from napari_tileseg.engine.regions.check.captured import PROCESS_CACHE
from napari_tileseg.engine.regions.check.device_trial import Timing, Trial
from napari_tileseg.engine.regions.program.program import Program
from napari_tileseg.errors import DeviceError
from napari_tileseg.graphs.graph import NoRuleError
from napari_tileseg.graphs.operations.windows import Convolution
from napari_tileseg.tiling import TileGrid

pytestmark = pytest.mark.usefixtures("one_thread")

#: A name of the CPU that is not "cpu" stands for a device of another kind.
OTHER = "cpu:0"
HALO = 5
#: Values of two channels, which tell one order of axes from the other once they are placed.
PATTERN = torch.zeros(1, 2, 3, 3)


class Image:
    """A prepared image of noise that is smaller than the network's context."""

    padded_shape = (4, 4)

    def read(self, box):
        voxels = np.random.default_rng(0).normal(size=(1, *self.padded_shape)).astype("f4")
        return voxels[(slice(None), *box.slices)]


TILES = list(TileGrid((4, 4), (2, 4), ((HALO, HALO),) * 2, (1, 1)))


def layers():
    """Seven and five taps on each axis, of which the outermost hardly count."""
    torch.manual_seed(0)
    first, second = nn.Conv2d(1, 2, 7, padding=3), nn.Conv2d(2, 2, 5, padding=2)
    with torch.no_grad():
        for weight in (first.weight, second.weight):
            for axis in (2, 3):
                weight.index_fill_(axis, torch.tensor([0, weight.shape[axis] - 1]), 1e-7)
    return nn.Sequential(first, nn.LeakyReLU(), second)


@pytest.fixture
def network(open_module):
    """Make a network whose graph is not known."""
    return open_module(layers(), HALO)


def engine_on(network, device, **how):
    graph = PROCESS_CACHE.graph_of(network)
    return RegionEngine(network, graph, device, "float32", 1, PROCESS_CACHE, trial=partial(Trial, **how))


def ticks(runs):
    """Make a clock by which each run takes its seconds."""
    moments = accumulate(chain.from_iterable((0.0, seconds) for seconds in runs))
    return lambda: next(moments)


def assert_right(engine, network):
    plain = PlainEngine(network, "cpu", "float32", 1).compute(Image(), TILES)
    for one, other in zip(engine.compute(Image(), TILES), plain, strict=True):
        np.testing.assert_allclose(one, other, atol=1e-5)


@pytest.mark.parametrize("axis", [0, 1])
def test_voxels_that_hardly_count_are_missed_all_the_same(network, axis, monkeypatch):
    """A rule that leaves them out far from the border errs by less than rounding in float32."""
    run = Convolution.run

    def short(self, values, weights, place, *, reuse):
        if not any(place[axis]):
            weight = weights[0].clone()
            weight.index_fill_(axis + 2, torch.tensor([0, weight.shape[axis + 2] - 1]), 0.0)
            weights = (weight, *weights[1:])
        return run(self, values, weights, place, reuse=reuse)

    monkeypatch.setattr(Convolution, "run", short)
    path = route_of(network)
    assert path.kind == "plain"
    assert "another result than the network itself" in path.reason
    assert "interior" in path.reason


class Stated(nn.Module):
    """A network that holds a kernel in float32 where nothing converts it."""

    def __init__(self):
        super().__init__()
        self.kernel = torch.full((2, 1, 3, 3), 0.1)

    def forward(self, x):
        return nn.functional.conv2d(x, self.kernel, padding=1)


def test_a_network_that_is_float32_only_is_compared_in_that(open_module):
    network = open_module(Stated(), 1)
    assert route_of(network).kind == "regions"
    assert_right(open_engine(network, "cpu"), network)


def test_an_interior_is_tried_however_small_the_first_image_is(network, monkeypatch):
    route_of(network)
    run = Convolution.run

    def faulty(self, values, weights, place, *, reuse):
        return run(self, values, weights, place, reuse=reuse) * (1 if any(map(any, place)) else 1.01)

    monkeypatch.setattr(Convolution, "run", faulty)
    engine = open_engine(network, "cpu")
    assert_right(engine, network)
    assert engine.route.kind == "plain"
    assert "interior" in engine.route.reason


def is_last(tensor):
    return not tensor.is_contiguous() and tensor.is_contiguous(memory_format=torch.channels_last)


def faulty_if(wrong, monkeypatch):
    run = Convolution.run

    def faulty(self, values, weights, place, *, reuse):
        factor = 1.01 if wrong(weights[0]) else 1.0
        return run(self, values, weights, place, reuse=reuse) * factor

    monkeypatch.setattr(Convolution, "run", faulty)


@pytest.mark.parametrize("faster", [False, True])
@pytest.mark.parametrize("faulty", [False, True])
def test_the_order_of_axes_that_is_used_is_the_one_that_was_compared(network, faster, faulty, monkeypatch):
    """Where the faster one is faulty, the other is used."""
    route_of(network)
    faulty_if(lambda weight: is_last(weight) == faulty, monkeypatch)
    runs = [1.0] * 4 + [0.5 if faster else 1.0] * 4
    engine = engine_on(network, OTHER, timing=Timing(sizes=(500,), clock=ticks(runs)))
    assert_right(engine, network)
    assert engine.route.kind == "regions"
    assert engine.take_notes() == ()


def test_a_fault_of_one_device_is_not_held_against_another(network, monkeypatch):
    route_of(network)
    with monkeypatch.context() as patch:
        faulty_if(lambda _: True, patch)
        engine = engine_on(network, OTHER)
        assert_right(engine, network)
        assert f"on {OTHER}" in engine.route.reason
        assert f"on {OTHER}" in engine.take_notes()[0]
        with pytest.raises(NoRuleError, match=f"on {OTHER}"):
            PROCESS_CACHE.graph_of(network, OTHER)
    route = route_of(network, "cpu")
    assert route.kind == "regions"
    assert open_planner(network, route, "cpu") is not None
    engine = open_engine(network, "cpu")
    assert_right(engine, network)
    assert engine.route.kind == "regions"


@pytest.mark.parametrize("error", [torch.OutOfMemoryError, MemoryError, RuntimeError])
@pytest.mark.parametrize("device", ["cpu", OTHER])
def test_a_full_memory_is_no_fault_of_the_network(network, device, error, monkeypatch):
    route_of(network)
    run, most = Program.run, 200

    def limited(self, image, schedule):
        if image[0, 0].numel() > most:
            raise error("CUDA out of memory. Tried to allocate")
        return run(self, image, schedule)

    monkeypatch.setattr(Program, "run", limited)
    engine = engine_on(network, device, compared=(10**4, 100))
    assert_right(engine, network)
    assert engine.route.kind == "regions"
    assert engine.take_notes() == ()


def test_no_memory_at_all_is_an_error_until_there_is_some(network, monkeypatch):
    route_of(network)

    def none(*_):
        raise torch.OutOfMemoryError("CUDA out of memory")

    engine = engine_on(network, OTHER)
    with monkeypatch.context() as patch:
        patch.setattr(Program, "run", none)
        with pytest.raises(DeviceError, match=f"{OTHER} has too little memory for little, even on a small"):
            engine.compute(Image(), TILES)
    assert_right(engine, network)
    assert engine.route.kind == "regions"


@pytest.mark.parametrize(
    ("seconds", "faster"),
    [
        ({2**16: (0.03, 0.02)}, True),
        ({2**16: (0.03, 0.029)}, False),
        ({2**16: (0.02, 0.03)}, False),
        ({2**16: (1e-3, 5e-4), 2**18: (4e-3, 4e-3), 2**20: (0.016, 0.018)}, False),
        ({2**16: (1e-3, 1e-3), 2**18: (2e-3, 2e-3), 2**20: (0.009, 0.006)}, True),
        ({2**16: (1e-3, 5e-4), 2**18: (inf, inf)}, True),
        ({2**16: (inf, 0.01)}, True),
        ({2**16: (0.01, inf)}, False),
        ({2**16: (inf, inf)}, False),
    ],
    ids=["faster", "chance", "slower", "small misleads", "large tells", "memory", "one", "other", "none"],
)
def test_an_order_is_chosen_on_runs_that_are_long_enough_and_by_a_margin(seconds, faster):
    assert Timing().is_faster_last(lambda last, size: seconds[size][last]) is faster


@pytest.mark.parametrize("error", [torch.OutOfMemoryError, NotImplementedError, MemoryError])
def test_timing_that_fails_leaves_the_plain_order(network, error):
    route_of(network)

    def fails():
        raise error("not on this device")

    engine = engine_on(network, OTHER, timing=Timing(clock=fails))
    assert_right(engine, network)
    assert engine.route.kind == "regions"
    assert not is_last(
        Trial(network, PROCESS_CACHE.graph_of(network), OTHER, torch.float32, PROCESS_CACHE)
        .program()
        .to_device(PATTERN)
    )


@pytest.mark.parametrize("seconds", [(1.0, 0.5), (1.0, 1.0)])
def test_the_shortest_run_of_each_order_counts_but_the_first(network, seconds):
    """Each order runs four times; the first run, and one that is disturbed, take anything."""
    plain, last = seconds
    runs = [0.1, plain, plain + 3, plain, 9.0, last + 3, last + 2, last]
    trial = Trial(
        network,
        PROCESS_CACHE.graph_of(network),
        OTHER,
        torch.float32,
        PROCESS_CACHE,
        Timing(sizes=(500,), clock=ticks(runs)),
    )
    assert is_last(trial.program().to_device(PATTERN)) is (last < plain)


def test_orders_are_timed(network):
    engine = engine_on(network, OTHER, timing=Timing(sizes=(500,)))
    assert_right(engine, network)
    assert engine.route.kind == "regions"
