"""Capturing networks: whatever goes wrong leaves whole tiles, is found once, and keeps nothing alive."""

import gc
import weakref

import numpy as np
import pytest
import torch
from torch import nn

from napari_tileseg.engine import PlainEngine, known_route, open_engine, open_planner, route_of
from napari_tileseg.engine.regions.check import captured
from napari_tileseg.engine.regions.program.program import Program
from napari_tileseg.graphs.operations.windows import Convolution
from napari_tileseg.tiling import Box, TileGrid

pytestmark = pytest.mark.usefixtures("one_thread")


class Image:
    """A prepared image of noise."""

    padded_shape = (24, 20)

    def read(self, box):
        voxels = np.random.default_rng(0).normal(size=(1, *self.padded_shape)).astype("f4")
        return voxels[(slice(None), *box.slices)]


TILES = list(TileGrid((24, 20), (8, 8), ((3, 3), (3, 3)), (1, 1)))


def layers(count=2):
    torch.manual_seed(0)
    inner = [layer for _ in range(count - 1) for layer in (nn.Conv2d(2, 2, 3, padding=1), nn.ReLU())]
    return nn.Sequential(nn.Conv2d(1, 2, 3, padding=1), nn.ReLU(), *inner)


class Mixed(nn.Module):
    """A network that says itself in which number format it computes."""

    def __init__(self):
        super().__init__()
        self.layers = layers()

    def forward(self, x):
        with torch.autocast("cpu", dtype=torch.bfloat16):
            y = self.layers(x)
        return y.float()


def assert_whole_tiles(network, why):
    path = route_of(network)
    assert path.kind == "plain"
    assert why in path.reason
    engine = open_engine(network, "cpu")
    assert isinstance(engine, PlainEngine)
    assert all(np.isfinite(core).all() for core in engine.compute(Image(), TILES))


def test_a_block_in_another_number_format_is_computed_whole(open_module):
    assert_whole_tiles(open_module(Mixed(), 3), "no rule for its operation wrap_with_autocast")


@pytest.mark.parametrize("error", [RuntimeError, TypeError, AttributeError])
def test_a_rule_that_fails_leaves_whole_tiles_and_is_found_once(open_module, monkeypatch, error):
    calls, capture = [], captured.capture

    def count(*arguments):
        calls.append(1)
        return capture(*arguments)

    def fails(*_, **__):
        raise error("expected another dtype\nand a long explanation")

    monkeypatch.setattr(captured, "capture", count)
    monkeypatch.setattr(Convolution, "run", fails)
    network = open_module(layers(), 3)
    assert_whole_tiles(network, "expected another dtype")
    assert "explanation" not in route_of(network).reason
    assert len(calls) == 1


class Shared(nn.Module):
    """A network that is looked at while it is exported, and one of whose buffers is not saved."""

    def __init__(self, look):
        super().__init__()
        self.layers, self.look = layers(), look
        self.register_buffer("gain", torch.full((1, 2, 1, 1), 3.0), persistent=False)

    def forward(self, x):
        self.look()
        return self.layers(x) * self.gain


def test_others_use_the_network_while_it_is_captured(open_module):
    seen = []
    module = Shared(lambda: seen.append(type(module.layers[0].weight)))
    network = open_module(module, 3)
    assert route_of(network).kind == "regions"
    assert set(seen) == {nn.Parameter}
    with torch.no_grad():
        module.gain.fill_(5.0)
    cores = open_engine(network, "cpu").compute(Image(), TILES[:1])
    plain = PlainEngine(network, "cpu", "float32", 1).compute(Image(), TILES[:1])
    np.testing.assert_allclose(cores[0], plain[0], atol=1e-5)


def test_what_one_cache_knows_another_does_not(open_module):
    network = open_module(layers(), 3)
    route_of(network)
    other = captured.CaptureCache()
    assert known_route(network) is not None
    assert known_route(network, cache=other) is None
    assert open_engine(network, "cpu", cache=other).route.kind == "regions"
    assert known_route(network, cache=other).graph is not known_route(network).graph


class Scaled(nn.Module):
    """A network with numbers that are neither parameters nor buffers."""

    def __init__(self):
        super().__init__()
        self.layers, self.scale = layers(), torch.full((1, 2, 1, 1), 3.0)

    def forward(self, x):
        return self.layers(x) * self.scale


def test_numbers_that_are_no_weights_are_taken_as_they_are(open_module):
    network = open_module(Scaled(), 3)
    assert route_of(network).kind == "regions"
    cores = open_engine(network, "cpu").compute(Image(), TILES[:1])
    plain = PlainEngine(network, "cpu", "float32", 1).compute(Image(), TILES[:1])
    np.testing.assert_allclose(cores[0], plain[0], atol=1e-5)


def test_a_full_memory_is_not_held_against_a_network(open_module, monkeypatch):
    def full(*_, **__):
        raise RuntimeError("DefaultCPUAllocator: can't allocate memory: you tried to allocate 9 bytes")

    network = open_module(layers(), 3)
    with monkeypatch.context() as patch:
        patch.setattr(Convolution, "run", full)
        assert_whole_tiles(network, "can't allocate memory")
        assert known_route(network) is None
    assert route_of(network).kind == "regions"


@pytest.mark.parametrize("norm", [nn.InstanceNorm2d, nn.BatchNorm2d], ids=["whole tiles", "regions"])
def test_nothing_keeps_a_network_that_nobody_uses(open_module, norm):
    module = nn.Sequential(*layers(), norm(2))
    network, gone = open_module(module, 3), weakref.ref(module)
    copied = weakref.ref(module[0].weight)
    for _ in range(3):
        route = route_of(network)
    planner = open_planner(network, route, "cpu")
    if planner is not None:
        planner.best(TileGrid((24, 20), (8, 8), ((3, 3), (3, 3)), (1, 1)), swept=False)
    del network, module, planner, route
    gc.collect()
    assert gone() is None
    assert copied() is None


def test_a_program_gives_its_memory_back_with_its_last_user(open_module):
    network = open_module(layers(), 3)
    program = Program(
        captured.PROCESS_CACHE.graph_of(network), network.module, "cpu", torch.float64, channels_last=True
    )
    program.schedule((24, 20), Box((0, 0), (8, 8)))
    assert not any(node.weights for node in program.nodes), "they are held as placed, and not as found, too"
    (weight, *_), *_ = program._weights
    weight, gone = weakref.ref(weight), weakref.ref(program)
    gc.disable()
    try:
        del program
        assert gone() is None
        assert weight() is None
    finally:
        gc.enable()


def test_closing_an_engine_frees_what_it_held_before_it_hands_memory_back(open_module, monkeypatch):
    engine = open_engine(open_module(layers(), 3), "cpu", "float64")
    engine.compute(Image(), TILES[:1])
    program, seen = weakref.ref(engine._program), []
    monkeypatch.setattr(
        "napari_tileseg.engine.region_engine.release_memory", lambda _: seen.append(program())
    )
    gc.disable()
    try:
        engine.close()
    finally:
        gc.enable()
    assert seen == [None]
    with pytest.raises(RuntimeError, match="closed"):
        engine.compute(Image(), TILES[:1])


class Coordinates(nn.Module):
    """Says where a voxel lies, in the default number format whatever the image's, and computes in it."""

    def __init__(self):
        super().__init__()
        self.layers = nn.Sequential(nn.Conv2d(2, 2, 3, padding=1))

    def forward(self, x):
        rows = torch.linspace(-1, 1, x.shape[2])[:, None].expand(-1, x.shape[3])
        return self.layers(torch.cat((x, rows.float()[None, None]), dim=1))


def test_a_network_that_asks_for_float32_is_compared_in_float64(open_module):
    torch.manual_seed(0)
    route = route_of(open_module(Coordinates(), halo=1))
    assert (route.kind, route.reason) == ("regions", "")
