"""Layers are blamed for seams because they were seen to mix a tile, not because of what they are called."""

import warnings
from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import nn
from torch.nn import functional

from napari_tileseg.nets import network_in_memory
from napari_tileseg.nets.formats.description import Description
from napari_tileseg.nets.spec import NetworkSpec


class Excite(nn.Module):
    """Squeeze and excite by functional calls; its own layer sees one voxel."""

    def __init__(self) -> None:
        super().__init__()
        self.weigh = nn.Conv2d(4, 4, 1)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return x * torch.sigmoid(self.weigh(functional.adaptive_avg_pool2d(x, 1)))


class Largest(nn.Module):
    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return x / (x.abs().amax((2, 3), keepdim=True) + 1.0)


class Response(nn.Module):
    def forward(self, x: torch.Tensor) -> torch.Tensor:
        size = torch.linalg.vector_norm(x, dim=(2, 3), keepdim=True)
        return x + x * size / (size.mean(1, keepdim=True) + 1e-6)


class Tokens(nn.Module):
    """Attention over all voxels."""

    def __init__(self) -> None:
        super().__init__()
        self.mix = nn.MultiheadAttention(4, 2, batch_first=True)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        tokens = x.flatten(2).transpose(1, 2)
        return self.mix(tokens, tokens, tokens)[0].transpose(1, 2).reshape(x.shape)


class ChannelsLast(nn.Module):
    """Normalizes each voxel over its channels, and mixes those."""

    def __init__(self) -> None:
        super().__init__()
        self.norm, self.linear = nn.LayerNorm(4), nn.Linear(4, 4)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.linear(self.norm(x.permute(0, 2, 3, 1))).permute(0, 3, 1, 2)


class NamedAttention(nn.Module):
    """Is called attention, and does nothing."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return x


class Network(nn.Module):
    """One layer in a network with innocent ones of suspicious names, and some that are never called."""

    def __init__(self, layer: nn.Module, pooling: int = 4) -> None:
        super().__init__()
        self.first = nn.Conv2d(1, 4, 3, padding=1)
        self.attention1, self.attention2 = NamedAttention(), nn.Identity()
        self.never, self.unused = nn.AdaptiveAvgPool2d(1), nn.InstanceNorm2d(4)
        self.local = ChannelsLast()
        self.down, self.up = nn.MaxPool2d(pooling), nn.Upsample(scale_factor=float(pooling))
        self.block = nn.Sequential(nn.Conv2d(4, 4, 3, padding=1), layer, nn.ReLU())
        self.last = nn.Conv2d(4, 1, 3, padding=1)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        y = self.attention2(self.attention1(self.first(x)))
        return self.last(self.up(self.block(self.down(self.local(y)))))


def spec_of(module: nn.Module) -> NetworkSpec:
    return network_in_memory(module, Description(axes="yx", in_channels=1)).spec


LAYERS: dict[str, tuple[Callable[[], nn.Module], str]] = {
    "squeeze and excite": (Excite, "block.1"),
    "division by the largest": (Largest, "block.1"),
    "response norm": (Response, "block.1"),
    "attention": (Tokens, "block.1.mix"),
    "instance norm": (lambda: nn.InstanceNorm2d(4), "block.1"),
    "one group": (lambda: nn.GroupNorm(1, 4), "block.1"),
    "batch norm without statistics": (lambda: nn.BatchNorm2d(4, track_running_stats=False), "block.1"),
    "several": (lambda: nn.Sequential(Excite(), nn.Conv2d(4, 4, 1)), "block.1.0"),
}


@pytest.mark.parametrize("pooling", [4, 16])
@pytest.mark.parametrize("name", LAYERS)
def test_the_layer_that_mixes_the_tile_is_blamed_alone(name: str, pooling: int) -> None:
    make, path = LAYERS[name]
    torch.manual_seed(0)
    spec = spec_of(Network(make(), pooling))
    assert spec.geometry.halo is None
    assert spec.seam_layers == (path,)
    assert path in spec.reason


def test_all_that_mix_are_blamed() -> None:
    spec = spec_of(nn.Sequential(nn.Conv2d(1, 4, 3, padding=1), nn.InstanceNorm2d(4), Excite()))
    assert spec.seam_layers == ("1", "2")
    assert "1 InstanceNorm layer (1)" in spec.reason
    assert "also seen by 2." in spec.reason


def test_what_no_layer_does_is_blamed_on_the_network() -> None:
    class Scaled(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.conv = nn.Conv2d(1, 2, 3, padding=1)

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return self.conv(x / x.std())

    assert spec_of(Scaled()).seam_layers == ("the network itself",)


@pytest.mark.parametrize("name", ["squeeze and excite", "instance norm"])
@pytest.mark.parametrize("scripted", [False, True], ids=["traced", "scripted"])
def test_torchscript_blames_what_is_called(name: str, scripted: bool) -> None:
    make, path = LAYERS[name]
    torch.manual_seed(0)
    module = Network(make()).eval()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", torch.jit.TracerWarning)
        script = torch.jit.script(module) if scripted else torch.jit.trace(module, torch.zeros(1, 1, 32, 32))
    spec = spec_of(script)
    assert spec.seam_layers == (path,)


def test_a_local_network_of_suspicious_names_is_not_blamed() -> None:
    torch.manual_seed(0)
    spec = spec_of(Network(nn.Conv2d(4, 4, 1)))
    assert (spec.seam_free, spec.seam_layers) == (True, ())


class Random(nn.Module):
    def __init__(self, change: Callable[[torch.Tensor], Any]) -> None:
        super().__init__()
        self.conv, self.change = nn.Conv2d(1, 4, 3, padding=1), change

    def forward(self, x: torch.Tensor) -> Any:
        return self.change(self.conv(x))


RANDOM: dict[str, Callable[[torch.Tensor], Any]] = {
    "dropout": lambda y: functional.dropout(y, 0.5, training=True),
    "dropout of channels": lambda y: functional.dropout2d(y, 0.5, training=True),
    "noise": lambda y: y + torch.randn_like(y),
    "a sample": lambda y: torch.bernoulli(torch.sigmoid(y)),
}


@pytest.mark.parametrize("name", RANDOM)
def test_a_network_that_answers_anew_each_time_is_called_so(name: str) -> None:
    spec = spec_of(Random(RANDOM[name]))
    assert not spec.seam_free
    assert "gives another answer each time" in spec.reason
    assert spec.seam_layers == ()


def test_a_reach_that_is_longer_than_any_image_blames_no_layer() -> None:
    spec = spec_of(nn.Conv2d(1, 1, 3, padding=600_000, dilation=600_000))
    assert not spec.seam_free
    assert "more of it than could be tried" in spec.reason
