"""Capturing networks: whatever goes wrong leaves whole tiles, is found once, and keeps nothing alive."""

import numpy as np
import pytest
import torch
from torch import nn

from napari_tileseg.engine import PlainEngine, known_path, open_engine, path_of
from napari_tileseg.engine.regions import compiled
from napari_tileseg.engine.regions.windows import Convolution
from napari_tileseg.tiling import TileGrid

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
    path = path_of(network)
    assert path.kind == "plain"
    assert why in path.reason
    engine = open_engine(network, "cpu")
    assert isinstance(engine, PlainEngine)
    assert all(np.isfinite(core).all() for core in engine.compute(Image(), TILES))


def test_a_block_in_another_number_format_is_computed_whole(open_module):
    assert_whole_tiles(open_module(Mixed(), 3), "no rule for its operation wrap_with_autocast")


@pytest.mark.parametrize("error", [RuntimeError, TypeError, KeyError])
def test_a_rule_that_fails_leaves_whole_tiles_and_is_found_once(open_module, monkeypatch, error):
    captured, capture = [], compiled.capture

    def count(*arguments):
        captured.append(1)
        return capture(*arguments)

    def fails(*_, **__):
        raise error("expected another dtype\nand a long explanation")

    monkeypatch.setattr(compiled, "capture", count)
    monkeypatch.setattr(Convolution, "run", fails)
    network = open_module(layers(), 3)
    assert_whole_tiles(network, "expected another dtype")
    assert "explanation" not in path_of(network).reason
    assert len(captured) == 1


class Shared(nn.Module):
    """A network that is looked at while it is exported, and one of whose buffers is not saved."""

    def __init__(self, look):
        super().__init__()
        self.layers, self.look = layers(), look
        self.register_buffer("gain", torch.full((1, 2, 1, 1), 3.0), persistent=False)

    def __deepcopy__(self, memo):
        # As any module is copied, but for what looks.
        made = Shared(self.look)
        made.load_state_dict(self.state_dict())
        return made.eval().requires_grad_(False)

    def forward(self, x):
        self.look()
        return self.layers(x) * self.gain


def test_others_use_the_network_while_it_is_captured(open_module):
    seen = []
    module = Shared(lambda: seen.append(type(module.layers[0].weight)))
    network = open_module(module, 3)
    assert path_of(network).kind == "regions"
    assert set(seen) == {nn.Parameter}
    with torch.no_grad():
        module.gain.fill_(5.0)
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
        assert known_path(network) is None
    assert path_of(network).kind == "regions"
