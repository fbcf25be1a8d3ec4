"""The geometry that is measured is the network's own: known truths, and brute force in float64."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn

from napari_tileseg.errors import NetworkError
from napari_tileseg.nets.architectures import registry
from napari_tileseg.nets.geometry import cache, cached_measurement, measure
from napari_tileseg.nets.spec import Geometry

HASH = "0" * 64


def geometry_of(*arguments: Any, **named: Any) -> Geometry:
    return measure(*arguments, **named).geometry


def unet(**arguments: Any) -> nn.Module:
    torch.manual_seed(0)
    return registry.build("unet", **{"ndim": 2, "features": (2, 3, 4), "norm": "batch", **arguments}).eval()


def dynunet(ndim: int = 2) -> nn.Module:
    return registry.build(
        "dynunet",
        spatial_dims=ndim,
        in_channels=1,
        out_channels=1,
        kernel_size=(3, 3, 3),
        strides=(1, 2, 2),
        upsample_kernel_size=(2, 2),
        filters=(2, 3, 4),
        norm_name="batch",
    ).eval()


class Recipe(nn.Module):
    """A network from a function."""

    def __init__(self, forward: Callable[[Any, torch.Tensor], torch.Tensor], **layers: nn.Module) -> None:
        super().__init__()
        self.layers = nn.ModuleDict(layers)
        self._forward = forward

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self._forward(self.layers, x)


def brute_force(module: nn.Module, stride: int, length: int) -> tuple[tuple[int, int], int]:
    """Halo and receptive field on one axis from the dependence of each output on each input in float64.

    Found by changing one input after the other; the other axis is as thin as the stride.
    """
    module = module.double().eval()
    torch.manual_seed(1)
    x = torch.randn(1, 1, length, stride, dtype=torch.float64)
    field = 0
    with torch.inference_mode():
        clean = module(x)
        changed = torch.zeros(length, length, dtype=torch.bool)
        for place in range(length):
            moved = x.clone()
            moved[:, :, place] *= -1e3
            changed[place] = (module(moved) != clean).flatten(3).any(3).any(1)[0]
    border = length // 2 // stride * stride
    before = border - int(changed[:border, border:].any(1).nonzero().min())
    after = int(changed[border:, :border].any(1).nonzero().max()) + 1
    for output in range(length // 2, length // 2 + stride):
        inputs = changed[:, output].nonzero()
        field = max(field, int(inputs.max() - inputs.min()) + 1)
    return (before, after), field


@pytest.mark.parametrize(("upsampling", "halo"), [("transposed", 22), ("linear", 26)])
@pytest.mark.parametrize("ndim", [2, 3])
def test_the_papers_unet(upsampling: str, halo: int, ndim: int) -> None:
    geometry = geometry_of(unet(ndim=ndim, upsampling=upsampling), ndim, 1)
    assert geometry.halo == ((halo, halo),) * ndim
    assert geometry.stride == (4,) * ndim
    assert geometry.shift_equivariant


def test_a_five_level_basic_unet_needs_96_when_aligned() -> None:
    module = registry.build("basic_unet", spatial_dims=2, features=(2, 2, 2, 2, 2, 2), norm="batch")
    geometry = geometry_of(module, 2, 1)
    assert geometry.stride == (16, 16)
    assert geometry.read.minimum == (16, 16)
    assert geometry.read.step == (1, 1)
    assert [-(-side // 16) * 16 for axis in geometry.halo or () for side in axis] == [96] * 4


def linear_unet() -> nn.Module:
    return unet(upsampling="linear")


@pytest.mark.parametrize("make", [unet, linear_unet, dynunet])
def test_halo_and_receptive_field_agree_with_brute_force(make: Callable[[], nn.Module]) -> None:
    # Linear throughout: no rectifier can hide a dependence from a finite change.
    module = make()
    for name, part in list(module.named_modules()):
        if isinstance(part, (nn.ReLU, nn.LeakyReLU)):
            owner, _, last = name.rpartition(".")
            setattr(module.get_submodule(owner), last, nn.Identity())
    geometry = geometry_of(module, 2, 1)
    halo, field = brute_force(module, 4, 96)
    assert geometry.halo == (halo, halo)
    assert geometry.receptive_field == (field, field)


def test_strided_convolutions_see_further_before_than_after() -> None:
    geometry = geometry_of(dynunet(3), 3, 1)
    assert geometry.halo is not None
    assert all(before > after for before, after in geometry.halo)


@pytest.mark.parametrize(
    ("module", "halo", "field", "stride"),
    [
        (nn.Conv2d(1, 1, 3, padding=1), (1, 1), 3, 1),
        (nn.Conv2d(1, 1, 3, padding=7, dilation=7), (7, 7), 15, 1),
        (nn.Conv2d(1, 1, 3, padding=150, dilation=150), (150, 150), 301, 1),
        (nn.Sequential(nn.ZeroPad2d((0, 1, 0, 1)), nn.Conv2d(1, 1, 2)), (0, 1), 2, 1),
        (nn.Sequential(nn.ZeroPad2d((2, 1, 2, 1)), nn.Conv2d(1, 1, 4)), (2, 1), 4, 1),
        (nn.Conv2d(1, 1, 2, padding=2, dilation=4), (2, 2), 5, 1),
        (nn.Conv2d(1, 1, 2, padding=20, dilation=40), (20, 20), 41, 1),
        (nn.Sequential(nn.MaxPool2d(3), nn.Upsample(scale_factor=3)), (0, 0), 3, 3),
        (nn.Sequential(nn.Conv2d(1, 1, 3, 2, 1), nn.ConvTranspose2d(1, 1, 2, 2)), (1, 0), 3, 2),
        (nn.Identity(), (0, 0), 1, 1),
    ],
    ids=[
        "odd",
        "dilated",
        "far",
        "even2",
        "even4",
        "even_dilated",
        "even_far",
        "pool3",
        "strided",
        "identity",
    ],
)
def test_single_operations(module: nn.Module, halo: tuple[int, int], field: int, stride: int) -> None:
    geometry = geometry_of(module, 2, 1)
    assert geometry.halo == (halo, halo)
    assert geometry.receptive_field == (field, field)
    assert geometry.stride == (stride, stride)
    assert geometry.read.step == (stride, stride)


def test_axes_are_measured_by_themselves() -> None:
    pool = nn.Sequential(nn.MaxPool3d((1, 2, 4)), nn.Upsample(scale_factor=(1, 2, 4)))
    geometry = geometry_of(nn.Sequential(nn.Conv3d(2, 3, (1, 3, 5), padding=(0, 1, 2)), pool), 3, 2)
    assert geometry.stride == (1, 2, 4)
    assert geometry.halo == ((0, 0), (1, 1), (2, 2))
    assert geometry.receptive_field == (1, 4, 8)


def test_the_stride_is_found_where_any_size_is_accepted() -> None:
    def forward(layers: Any, x: torch.Tensor) -> torch.Tensor:
        low = layers["conv"](nn.functional.max_pool2d(x, 8, ceil_mode=True))
        return x + nn.functional.interpolate(low, scale_factor=8.0)[..., : x.shape[2], : x.shape[3]]

    geometry = geometry_of(Recipe(forward, conv=nn.Conv2d(1, 1, 3, padding=1)), 2, 1)
    assert geometry.read.step == (1, 1)
    assert geometry.read.minimum == (1, 1)
    assert geometry.stride == (8, 8)
    assert geometry.halo == ((8, 8), (8, 8))


def test_swallowed_nan_is_followed_as_a_change() -> None:
    def forward(layers: Any, x: torch.Tensor) -> torch.Tensor:
        return layers["wide"]((x > 0.1).to(x.dtype))

    geometry = geometry_of(Recipe(forward, wide=nn.Conv2d(1, 1, 9, padding=4)), 2, 1)
    assert geometry.halo == ((4, 4), (4, 4))


@pytest.mark.parametrize("norm", ["instance", "group"])
def test_statistics_of_the_tile_are_unbounded(norm: str) -> None:
    geometry = geometry_of(unet(norm=norm, features=(8, 8, 8)), 2, 1)
    assert geometry.halo is None
    assert geometry.receptive_field is None
    assert geometry.stride == (4, 4)


def test_squeeze_and_excite_is_unbounded() -> None:
    def forward(layers: Any, x: torch.Tensor) -> torch.Tensor:
        return x * torch.sigmoid(layers["conv"](x.mean((2, 3), keepdim=True)))

    assert geometry_of(Recipe(forward, conv=nn.Conv2d(1, 1, 1)), 2, 1).halo is None


def test_attention_of_a_fixed_shape(small: dict[str, Any]) -> None:
    arguments, shape = small["unetr"]
    geometry = geometry_of(registry.build("unetr", **arguments), len(shape), 1)
    assert geometry.read.fixed
    assert geometry.read.minimum == shape
    assert geometry.halo is None
    assert not geometry.shift_equivariant


def test_corner_aligned_upsampling_moves_with_nothing() -> None:
    up = nn.Upsample(scale_factor=4, mode="bilinear", align_corners=True)
    conv = nn.Conv2d(1, 1, 3, padding=1)
    geometry = geometry_of(nn.Sequential(conv, nn.MaxPool2d(4), up, conv), 2, 1)
    assert not geometry.shift_equivariant
    assert geometry.stride == (4, 4)


def weighed_by_border(_layers: Any, x: torch.Tensor) -> torch.Tensor:
    inside = nn.functional.conv2d(torch.ones_like(x), x.new_ones(1, 1, 9, 9), padding=4)
    return x / inside


@pytest.mark.parametrize(
    "module",
    [
        nn.Conv2d(1, 1, 3, padding=1, padding_mode="circular"),
        Recipe(lambda _, x: x + torch.linspace(-1, 1, x.shape[2], dtype=x.dtype)[:, None]),
        Recipe(weighed_by_border),
    ],
    ids=["circular", "coordinates", "border"],
)
def test_what_depends_on_the_border_or_the_place_is_not_exact_on_tiles(module: nn.Module) -> None:
    geometry = geometry_of(module, 2, 1)
    assert geometry.halo is not None
    assert not geometry.shift_equivariant


@pytest.mark.parametrize("make", [torch.jit.script, torch.jit.trace], ids=["scripted", "traced"])
def test_torchscript_agrees_with_the_network_it_was_made_from(make: Any) -> None:
    layers = [nn.Conv2d(1, 4, 3, padding=1), nn.BatchNorm2d(4), nn.ReLU(), nn.MaxPool2d(2)]
    module = nn.Sequential(*layers, nn.ConvTranspose2d(4, 2, 2, 2)).eval()
    example = (torch.zeros(1, 1, 16, 16),) if make is torch.jit.trace else ()
    assert geometry_of(make(module, *example), 2, 1) == geometry_of(module, 2, 1)


def test_a_fixed_shape_is_found_by_trying_or_said() -> None:
    def forward(_layers: Any, x: torch.Tensor) -> torch.Tensor:
        return x.reshape(x.shape[0], 1, 24, 24)

    geometry = geometry_of(Recipe(forward), 2, 1)
    assert (geometry.read.fixed, geometry.read.minimum) == (True, (24, 24))

    def oblong(_layers: Any, x: torch.Tensor) -> torch.Tensor:
        return x.reshape(x.shape[0], 1, 6, 35)

    with pytest.raises(NetworkError, match="read_shape"):
        geometry_of(Recipe(oblong), 2, 1)
    geometry = geometry_of(Recipe(oblong), 2, 1, read_shape=(6, 35))
    assert (geometry.read.fixed, geometry.read.minimum) == (True, (6, 35))


def test_a_network_that_shrinks_its_input_is_refused_before_large_inputs_are_tried() -> None:
    tried: list[int] = []

    def forward(layers: Any, x: torch.Tensor) -> torch.Tensor:
        tried.append(x.numel())
        return layers["valid"](x)

    with pytest.raises(NetworkError, match="2 x 2 x 2 voxels less than its input has"):
        geometry_of(Recipe(forward, valid=nn.Conv3d(1, 1, 3)), 3, 1)
    assert max(tried) <= 64**3


@pytest.mark.parametrize(
    ("module", "message"),
    [
        (nn.Conv2d(1, 1, 3), "2 x 2 voxels less than its input"),
        (nn.Conv2d(3, 1, 1), "refuses every input of 1 channels .* to have 3 channels, but got 1"),
        (Recipe(lambda _, x: {"out": x}), "one tensor"),
        (Recipe(lambda _, x: (x, x)), "a tuple of 2"),
        (Recipe(lambda _, x: x / 0), "finite"),
    ],
    ids=["valid", "channels", "dictionary", "two", "infinite"],
)
def test_what_cannot_be_measured_is_refused(module: nn.Module, message: str) -> None:
    with pytest.raises(NetworkError, match=message):
        geometry_of(module, 2, 1)


def test_the_network_is_left_as_it_was() -> None:
    module = unet(norm="batch").train()
    module.encoders[0].eval()
    modes = [part.training for part in module.modules()]
    state = {key: value.clone() for key, value in module.state_dict().items()}
    random = torch.get_rng_state()
    geometry_of(module, 2, 1)
    assert [part.training for part in module.modules()] == modes
    assert all(torch.equal(value, state[key]) for key, value in module.state_dict().items())
    assert all(value.dtype == state[key].dtype for key, value in module.state_dict().items())
    assert torch.equal(torch.get_rng_state(), random)


@pytest.fixture
def runs(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """Count what is measured."""
    counted: list[int] = []

    def count(*arguments: Any) -> Any:
        counted.append(1)
        return measure(*arguments)

    monkeypatch.setattr(cache, "measure", count)
    return counted


@pytest.mark.parametrize("make", [unet, lambda: nn.InstanceNorm2d(1)], ids=["bounded", "unbounded"])
def test_a_network_is_measured_once(make: Callable[[], nn.Module], runs: list[int]) -> None:
    first = cached_measurement(make(), HASH, 2, 1)
    assert cached_measurement(make(), HASH, 2, 1) == first
    assert len(runs) == 1
    cached_measurement(make(), "1" * 64, 2, 1)
    assert len(runs) == 2


@pytest.mark.parametrize(
    "text",
    [
        "",
        "{",
        "[]",
        "null",
        '{"version": 2}',
        '{"version": 0, "geometry": {}}',
        '{"version": 2, "geometry": 3}',
    ],
)
def test_a_broken_or_old_entry_is_measured_anew(home: Path, runs: list[int], text: str) -> None:
    first = cached_measurement(nn.Identity(), HASH, 2, 1)
    (entry,) = (home / "geometry").iterdir()
    entry.write_text(text)
    assert cached_measurement(nn.Identity(), HASH, 2, 1) == first
    assert len(runs) == 2
    assert json.loads(entry.read_text())["geometry"]["stride"] == [1, 1]


def test_a_cache_that_cannot_be_written_is_done_without(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, runs: list[int]
) -> None:
    blocked = tmp_path / "file"
    blocked.write_text("")
    monkeypatch.setenv("TILESEG_HOME", str(blocked))
    assert cached_measurement(nn.Identity(), HASH, 2, 1) == cached_measurement(nn.Identity(), HASH, 2, 1)
    assert len(runs) == 2


def test_a_hash_is_a_hash() -> None:
    with pytest.raises(NetworkError, match="64 hexadecimal digits"):
        cached_measurement(nn.Identity(), "../x", 2, 1)
