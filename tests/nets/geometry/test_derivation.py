"""What is derived from a network's operations is what probes measure of it."""

from collections import Counter
from typing import Any

import pytest
import torch
from hypothesis import HealthCheck, given, reject, settings
from hypothesis import strategies as st
from torch import nn

from napari_tileseg.errors import NetworkError
from napari_tileseg.nets.geometry import measure
from napari_tileseg.nets.geometry.derivation import derive, geometry_of
from napari_tileseg.nets.geometry.probing import probe
from napari_tileseg.nets.geometry.runner import Runner
from napari_tileseg.nets.geometry.shapes import find_read_shape

CASES = {1: 170, 2: 40}
CONVOLUTIONS: dict[int, Any] = {1: nn.Conv1d, 2: nn.Conv2d}
TRANSPOSED: dict[int, Any] = {1: nn.ConvTranspose1d, 2: nn.ConvTranspose2d}
POOLS: dict[int, Any] = {1: (nn.MaxPool1d, nn.AvgPool1d), 2: (nn.MaxPool2d, nn.AvgPool2d)}
LINEAR = {1: "linear", 2: "bilinear"}
CHANNELS = 2


class Skip(nn.Module):
    """What an inner network makes of a feature map, beside or on top of it."""

    def __init__(self, inner: nn.Module, join: nn.Module | None) -> None:
        super().__init__()
        self.inner, self.join = inner, join

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        y = self.inner(x)
        return x + y if self.join is None else self.join(torch.cat([x, y], dim=1))


class Squeeze(nn.Module):
    """Weighs channels by their means over space."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return x * torch.sigmoid(x.mean(tuple(range(2, x.dim())), keepdim=True))


@st.composite
def layers(draw: st.DrawFn, ndim: int) -> nn.Module:
    """A layer that gives as many voxels as it takes."""
    kind = draw(st.sampled_from(("conv", "conv", "conv", "even", "mode", "norm", "act", "pool", "global")))
    if kind == "conv":
        taps, apart = draw(st.sampled_from((1, 3, 5))), draw(st.sampled_from((1, 1, 2, 3, 40)))
        return CONVOLUTIONS[ndim](CHANNELS, CHANNELS, taps, padding=taps // 2 * apart, dilation=apart)
    if kind == "even":
        pads = draw(st.sampled_from(((1, 2), (3, 0), (0, 3))))
        return (
            nn.Sequential(nn.ConstantPad1d(pads, 0.0), nn.Conv1d(2, 2, 4))
            if ndim == 1
            else nn.Sequential(nn.ZeroPad2d(pads * 2), nn.Conv2d(2, 2, 4))
        )
    if kind == "mode":
        mode = draw(st.sampled_from(("reflect", "replicate", "circular")))
        return CONVOLUTIONS[ndim](CHANNELS, CHANNELS, 3, padding=1, padding_mode=mode)
    if kind == "norm":
        return nn.BatchNorm1d(CHANNELS) if ndim == 1 else nn.BatchNorm2d(CHANNELS)
    if kind == "pool":
        return POOLS[ndim][0](3, stride=1, padding=1)
    if kind == "global":
        instance = nn.InstanceNorm1d if ndim == 1 else nn.InstanceNorm2d
        return draw(st.sampled_from((nn.Tanh(), instance(CHANNELS), nn.GroupNorm(1, CHANNELS), Squeeze())))
    return draw(st.sampled_from((nn.ELU(), nn.LeakyReLU(), nn.Softplus())))


@st.composite
def levels(draw: st.DrawFn, ndim: int, depth: int) -> nn.Module:
    """Layers, and perhaps a level below them that is pooled and brought back."""
    parts = [draw(layers(ndim)) for _ in range(draw(st.integers(1, 3)))]
    if depth and draw(st.booleans()):
        by = draw(st.sampled_from((2, 2, 3, 4)))
        conv = CONVOLUTIONS[ndim]
        down = draw(
            st.sampled_from(
                (*(pool(by) for pool in POOLS[ndim]), conv(2, 2, by, by), conv(2, 2, by + 1, by, by // 2))
            )
        )
        inner = draw(levels(ndim, depth - 1))
        up = draw(
            st.sampled_from(
                (
                    nn.Upsample(scale_factor=float(by)),
                    # By an odd factor a voxel may lie on another, or beside it by rounding.
                    nn.Upsample(scale_factor=float(by), mode=LINEAR[ndim] if by % 2 == 0 else "nearest"),
                    TRANSPOSED[ndim](2, 2, by, by),
                    TRANSPOSED[ndim](2, 2, by + 2, by, 1),
                    nn.Upsample(scale_factor=float(by), mode=LINEAR[ndim], align_corners=True),
                )
            )
        )
        join = draw(st.sampled_from((None, conv(2 * CHANNELS, CHANNELS, 1))))
        parts.insert(draw(st.integers(0, len(parts))), Skip(nn.Sequential(down, inner, up), join))
    return nn.Sequential(*parts)


@pytest.mark.parametrize("ndim", CASES)
def test_what_is_derived_is_what_is_measured(ndim: int) -> None:
    checked = Counter[str]()

    @settings(
        max_examples=CASES[ndim], suppress_health_check=list(HealthCheck), deadline=None, derandomize=True
    )
    @given(levels(ndim, 2), st.integers(0, 9))
    def check(inner: nn.Module, seed: int) -> None:
        conv = CONVOLUTIONS[ndim]
        module = nn.Sequential(conv(1, CHANNELS, 1), inner, conv(CHANNELS, 1, 1)).eval()
        torch.manual_seed(seed)
        for weight in module.parameters():
            nn.init.normal_(weight, 0.3)
        runner = Runner(module, 1)
        try:
            read, thin = find_read_shape(runner, ndim)
        except NetworkError:
            reject()  # it gives other sizes than it takes
        measured = probe(runner, read, thin)
        reach = derive(runner, read)
        assert reach is not None
        derived = geometry_of(reach, read)
        checked["bounded" if measured.halo else "unbounded"] += 1
        assert derived.stride == measured.stride
        assert (derived.halo, derived.receptive_field) == (measured.halo, measured.receptive_field)
        if measured.halo is not None:
            assert derived.shift_equivariant == measured.shift_equivariant

    check()
    assert min(checked["bounded"], checked["unbounded"]) > CASES[ndim] // 10, dict(checked)


def test_torchscript_inside_a_module_is_followed() -> None:
    inside = torch.jit.script(nn.Sequential(nn.Conv2d(1, 2, 3, padding=1), nn.MaxPool2d(2)).eval())
    module = nn.Sequential(inside, nn.Upsample(scale_factor=2.0), nn.Conv2d(2, 1, 3, padding=1))
    found = measure(module, 2, 1)
    assert found.derived
    assert (found.geometry.stride, found.geometry.halo) == ((2, 2), ((3, 3), (3, 3)))


def wide(norm: nn.Module) -> nn.Module:
    """A network of more than a million weights that pads inside to a multiple of its poolings."""
    low = [nn.Conv2d(200, 400, 3, padding=1), norm, nn.Conv2d(400, 200, 3, padding=1)]
    inner = nn.Sequential(nn.MaxPool2d(4), *low, nn.ConvTranspose2d(200, 200, 4, 4))
    return nn.Sequential(nn.Conv2d(1, 200, 1), Skip(inner, None), nn.Conv2d(200, 1, 1)).eval()


@pytest.mark.parametrize("norm", [nn.BatchNorm2d(400), nn.InstanceNorm2d(400)], ids=["batch", "instance"])
def test_shapes_of_a_large_network_are_those_that_it_takes(norm: nn.Module) -> None:
    runner = Runner(wide(norm), 1)
    assert runner.weights > 2**20
    read, _ = find_read_shape(runner, 2)
    assert read.step == (4, 4)
    assert runner.size_of_output(read.minimum) == read.minimum


def test_a_large_network_is_refused_in_its_own_words() -> None:
    valid = nn.Sequential(nn.Conv2d(1, 400, 3), nn.Conv2d(400, 400, 3), nn.Conv2d(400, 1, 3)).eval()
    with pytest.raises(NetworkError, match="6 x 6 voxels less than its input has"):
        find_read_shape(Runner(valid, 1), 2)
