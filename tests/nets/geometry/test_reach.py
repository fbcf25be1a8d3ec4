"""Halo and stride hold for networks that probes alone get wrong: cut images equal the whole, in float64."""

from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import nn
from torch.nn import functional

from napari_tileseg.nets.geometry import measure
from napari_tileseg.nets.spec import Geometry

EXACT = 1e-12


def geometry_of(*arguments: Any, **named: Any) -> Geometry:
    return measure(*arguments, **named).geometry


CONVOLUTIONS: dict[int, type[nn.Conv1d | nn.Conv2d | nn.Conv3d]] = {1: nn.Conv1d, 2: nn.Conv2d, 3: nn.Conv3d}
POOLS: dict[int, Callable[..., torch.Tensor]] = {
    1: functional.max_pool1d,
    2: functional.max_pool2d,
    3: functional.max_pool3d,
}
LINEAR = {1: "linear", 2: "bilinear", 3: "trilinear"}


class Formula(nn.Module):
    """A network from a function of its layers and its input."""

    def __init__(self, formula: Callable[[Any, torch.Tensor], Any], **layers: nn.Module) -> None:
        super().__init__()
        self.layers = nn.ModuleDict(layers)
        self.formula = formula

    def forward(self, x: torch.Tensor) -> Any:
        return self.formula(self.layers, x)


class FarBranch(nn.Module):
    """Poolings, and at the bottom a layer that jumps over most of what it looks past."""

    def __init__(self, ndim: int, pools: int, dilation: int, *, strided: bool = False) -> None:
        super().__init__()
        conv = CONVOLUTIONS[ndim]
        pool = {1: nn.MaxPool1d, 2: nn.MaxPool2d, 3: nn.MaxPool3d}[ndim]
        self.down = nn.Sequential(*(conv(1, 1, 2, stride=2) if strided else pool(2) for _ in range(pools)))
        self.up = nn.Upsample(scale_factor=float(2**pools), mode=LINEAR[ndim])
        self.near = conv(1, 2, 1)
        self.far = conv(1, 2, 3, padding=dilation, dilation=dilation)
        self.last = conv(4, 1, 1)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        y = self.down(x)
        return self.up(self.last(torch.cat([self.near(y), self.far(y)], dim=1)))


class PadsInside(nn.Module):
    """Pads to a multiple, at the far end or on both sides, pools once, and crops."""

    def __init__(self, multiple: int, *, ndim: int = 2, evenly: bool = False) -> None:
        super().__init__()
        conv = CONVOLUTIONS[ndim]
        self.multiple, self.evenly, self.ndim = multiple, evenly, ndim
        self.first, self.low = conv(1, 3, 3, padding=1), conv(3, 3, 3, padding=1)
        self.last = conv(3, 1, 3, padding=1)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        missing = [-n % self.multiple for n in x.shape[2:]]
        before = [n // 2 if self.evenly else 0 for n in missing]
        pads = [side for a, n in zip(before, missing, strict=True) for side in (n - a, a)][::-1]
        y = torch.relu(self.first(functional.pad(x, pads)))
        low = torch.relu(self.low(POOLS[self.ndim](y, 2)))
        y = self.last(y + functional.interpolate(low, scale_factor=2.0))
        for axis, (a, n) in enumerate(zip(before, x.shape[2:], strict=True), start=2):
            y = y.narrow(axis, a, n)
        return y


class ResponseNorm(nn.Module):
    """Global response normalization over space, with weights that are not 0."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        size = torch.linalg.vector_norm(x, dim=(2, 3), keepdim=True)
        return x + 0.1 * x * size / (size.mean(1, keepdim=True) + 1e-6)


class SqueezeExcite(nn.Module):
    """Weighs channels by their means over space, by functional calls alone."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.randn(channels, channels, 1, 1))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        mean = functional.adaptive_avg_pool2d(x, 1)
        return x * torch.sigmoid(functional.conv2d(mean, self.weight))


class StretchedUp(nn.Module):
    """Poolings, and transposed convolutions of odd size that are stretched to the size they should have."""

    def __init__(self, pools: int, *, ndim: int = 3) -> None:
        super().__init__()
        transposed: Any = {2: nn.ConvTranspose2d, 3: nn.ConvTranspose3d}[ndim]
        self.ndim, self.first = ndim, CONVOLUTIONS[ndim](1, 2, 3, padding=1)
        self.up = nn.ModuleList(transposed(2, 2, 3, stride=2, padding=1) for _ in range(pools))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        levels = [self.first(x)]
        for _ in self.up:
            levels.append(POOLS[self.ndim](levels[-1], 2))
        y = levels.pop()
        for up in self.up:
            y = functional.interpolate(up(y), size=levels[-1].shape[2:]) + levels.pop()
        return y


def seeded(make: Callable[[], nn.Module]) -> nn.Module:
    """A module in evaluation mode, with weights whose far voxels count."""
    torch.manual_seed(7)
    module = make()
    with torch.no_grad():
        for weight in module.parameters():
            weight.add_(weight.std(correction=0) / 3)
    return module.eval()


def cut_error(module: nn.Module, geometry: Geometry, axis: int, less: int = 0) -> float:
    """Largest difference of tiles of three cores from the whole image in float64, over its largest value.

    Parameters
    ----------
    module : torch.nn.Module
        The network; it is made float64.
    geometry : Geometry
        What was measured of it.
    axis : int
        Axis along which the image is cut; the others are a few strides long.
    less : int
        Voxels of context that are left out on both sides.
    """
    assert geometry.halo is not None
    stride, module = geometry.stride[axis], module.double().eval()
    before, after = (-(-max(0, n - less) // stride) * stride for n in geometry.halo[axis])
    core = -(-(max(geometry.halo[axis]) + 3 * stride) // stride) * stride
    shape = [max(2 * step, least) for step, least in zip(geometry.stride, geometry.read.minimum, strict=True)]
    shape[axis] = 3 * core + stride
    torch.manual_seed(11)
    image = torch.randn(1, 1, *shape, dtype=torch.float64)
    with torch.inference_mode():
        whole = module(image)
        parts = []
        for start in (0, core, 2 * core):
            stop = start + core if start < 2 * core else shape[axis]
            low, high = max(0, start - before), min(shape[axis], stop + after)
            tile = module(image.narrow(axis + 2, low, high - low))
            parts.append(tile.narrow(axis + 2, start - low, stop - start))
    return float((torch.cat(parts, axis + 2) - whole).abs().max() / whole.abs().max())


def shifted(voxels: int) -> nn.Module:
    """Adds what lies many voxels before, by cutting and padding alone."""
    return Formula(lambda _, x: x + functional.pad(x, (0, 0, voxels, 0))[:, :, : x.shape[2]])


def unfolded(dilation: int) -> nn.Module:
    def forward(_: Any, x: torch.Tensor) -> torch.Tensor:
        columns = functional.unfold(x, 3, dilation=dilation, padding=dilation)
        return columns.reshape(1, 9, *x.shape[2:]).mean(1, keepdim=True)

    return Formula(forward)


def traced(module: nn.Module, edge: int = 64) -> nn.Module:
    return torch.jit.trace(module, torch.zeros(1, 1, edge, edge))  # type: ignore[no-any-return]


FAR: dict[str, tuple[int, Callable[[], nn.Module], int]] = {
    "four poolings": (2, lambda: FarBranch(2, 4, 36), 592),
    "traced": (2, lambda: traced(FarBranch(2, 4, 36)), 592),
    "three poolings, scripted": (2, lambda: torch.jit.script(FarBranch(2, 3, 50)), 408),
    "strided, traced": (2, lambda: traced(FarBranch(2, 2, 150, strided=True)), 604),
    "five poolings": (2, lambda: FarBranch(2, 5, 30), 992),
    "one axis": (1, lambda: FarBranch(1, 3, 90), 728),
    "three axes": (3, lambda: FarBranch(3, 2, 60), 244),
    "no pooling": (2, lambda: nn.Conv2d(1, 1, 3, padding=900, dilation=900), 900),
    "for inference": (
        2,
        lambda: torch.jit.optimize_for_inference(torch.jit.script(FarBranch(2, 2, 190).eval())),
        764,
    ),
    "unfolded": (2, lambda: unfolded(700), 700),
}


@pytest.mark.parametrize("name", FAR)
def test_a_layer_that_jumps_over_the_probes_is_seen(name: str) -> None:
    ndim, make, halo = FAR[name]
    module = seeded(make)
    geometry = geometry_of(module, ndim, 1)
    assert geometry.halo == ((halo, halo),) * ndim
    assert geometry.shift_equivariant
    if name == "for inference":
        return  # its weights have been packed in float32
    assert cut_error(module, geometry, 0) < EXACT
    assert cut_error(module, geometry, 0, less=geometry.stride[0]) > EXACT


@pytest.mark.parametrize("voxels", [300, 700, 1900])
def test_what_lies_far_to_one_side_is_seen(voxels: int) -> None:
    geometry = geometry_of(shifted(voxels), 2, 1)
    assert geometry.halo == ((voxels, 0), (0, 0))
    assert cut_error(shifted(voxels), geometry, 0) < EXACT


def test_a_reach_past_every_image_that_is_tried_is_not_called_exact() -> None:
    assert geometry_of(nn.Conv2d(1, 1, 3, padding=600_000, dilation=600_000), 2, 1).halo is None


PADDING: dict[str, tuple[int, Callable[[], nn.Module], int]] = {
    "8": (2, lambda: PadsInside(8), 8),
    "4": (2, lambda: PadsInside(4), 4),
    "12": (2, lambda: PadsInside(12), 12),
    "32": (2, lambda: PadsInside(32), 32),
    "both sides": (2, lambda: PadsInside(16, evenly=True), 16),
    "three axes": (3, lambda: PadsInside(4, ndim=3), 4),
    "the pooling alone": (2, lambda: PadsInside(2), 2),
}


@pytest.mark.parametrize("name", PADDING)
def test_a_network_that_pads_inside_is_exact_on_the_multiple_that_it_pads_to(name: str) -> None:
    ndim, make, multiple = PADDING[name]
    module = seeded(make)
    geometry = geometry_of(module, ndim, 1)
    assert geometry.stride == (multiple,) * ndim
    assert geometry.shift_equivariant
    assert all(cut_error(module, geometry, axis) < EXACT for axis in range(ndim))


def convnext(norm: Callable[[], nn.Module]) -> nn.Module:
    """A stem by parts of 4 and two halvings, each with a normalization, and an up-sampling."""
    down = [nn.Conv2d(1, 4, 4, 4), norm(), nn.Conv2d(4, 4, 2, 2), norm(), nn.Conv2d(4, 4, 2, 2), norm()]
    return nn.Sequential(*down, nn.Conv2d(4, 1, 3, padding=1), nn.Upsample(scale_factor=16.0))


def halvings(times: int, last: nn.Module, mode: dict[str, Any]) -> nn.Module:
    pools = [nn.MaxPool2d(2) for _ in range(times)]
    up = nn.Upsample(scale_factor=float(2**times), **mode)
    return nn.Sequential(nn.Conv2d(1, 4, 3, padding=1), *pools, last, up, nn.Conv2d(4, 1, 3, padding=1))


INEXACT: dict[str, tuple[int, Callable[[], nn.Module], int]] = {
    "response norm": (2, lambda: convnext(ResponseNorm), 16),
    "instance norm": (2, lambda: halvings(3, nn.InstanceNorm2d(4), {}), 8),
    "squeeze and excite": (2, lambda: halvings(3, SqueezeExcite(4), {}), 8),
    "one group": (2, lambda: convnext(lambda: nn.GroupNorm(1, 4)), 16),
    "aligned corners": (
        2,
        lambda: halvings(3, nn.Identity(), {"mode": "bilinear", "align_corners": True}),
        8,
    ),
    "by three": (
        2,
        lambda: nn.Sequential(nn.AvgPool2d(3), SqueezeExcite(1), nn.Upsample(scale_factor=3.0)),
        3,
    ),
}


@pytest.mark.parametrize("name", INEXACT)
def test_where_no_shift_is_exact_the_stride_is_that_of_the_poolings(name: str) -> None:
    ndim, make, stride = INEXACT[name]
    geometry = geometry_of(seeded(make), ndim, 1)
    assert geometry.stride == (stride,) * ndim
    assert geometry.halo is None or not geometry.shift_equivariant


@pytest.mark.parametrize(("pools", "ndim"), [(2, 3), (3, 2), (1, 2)])
def test_what_is_stretched_by_a_voxel_is_exact_on_the_stride_of_its_poolings(pools: int, ndim: int) -> None:
    module = seeded(lambda: StretchedUp(pools, ndim=ndim))
    geometry = geometry_of(module, ndim, 1)
    assert geometry.stride == (2**pools,) * ndim
    assert geometry.shift_equivariant
    assert all(cut_error(module, geometry, axis) < EXACT for axis in range(ndim))


@pytest.mark.parametrize("ndim", [1, 2, 3])
def test_dropout_that_is_always_on_is_called_random(ndim: int) -> None:
    conv = CONVOLUTIONS[ndim](1, 4, 3, padding=1)
    module = Formula(lambda layers, x: functional.dropout(layers["conv"](x), 0.5, training=True), conv=conv)
    assert geometry_of(module, ndim, 1).random


@pytest.mark.parametrize(
    "make", [lambda: FarBranch(2, 1, 3), lambda: nn.InstanceNorm2d(1)], ids=["near", "norm"]
)
def test_a_network_that_repeats_is_not_called_random(make: Callable[[], nn.Module]) -> None:
    assert not geometry_of(seeded(make), 2, 1).random
