"""U-Nets whose layers follow a stated order, against formulas on their weights and against pytorch-3dunet."""

from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional

from napari_tileseg.errors import NetworkError
from napari_tileseg.nets.architectures import registry

FEATURES = (4, 8, 16)
SHAPE = {2: (13, 16), 3: (9, 12, 8)}
#: Orders, numbers of groups, and whether the network is residual, gated and flat.
CASES = [
    ("gcr", 4, "UNet3D"),
    ("gcl", 2, "UNet3D"),
    ("cge", 4, "UNet3D"),
    ("bcr", None, "UNet3D"),
    ("ce", None, "UNet3D"),
    ("gcr", 4, "UNet2D"),
    ("gcl", 4, "ResidualUNet3D"),
    ("bcr", None, "ResidualUNet3D"),
    ("cge", 4, "ResidualUNetSE3D"),
]


def built(order: str, groups: int | None, kind: str, **more: Any) -> nn.Module:
    torch.manual_seed(0)
    arguments = {
        "ndim": 2 if kind.endswith("2D") else 3,
        "in_channels": 2,
        "out_channels": 3,
        "features": FEATURES,
        "layer_order": order,
        "num_groups": groups,
        "final_activation": "softmax",
        **({"squeeze_excitation": True} if "SE" in kind else {}),
        **more,
    }
    name = "residual_unet" if "Residual" in kind else "double_conv_unet"
    module = registry.build(name, **arguments).eval()
    return with_statistics(module)


def with_statistics(module: nn.Module) -> nn.Module:
    for name, values in module.named_buffers():
        if name.endswith("running_mean"):
            values.normal_()
        elif name.endswith("running_var"):
            values.uniform_(0.5, 2)
    for weight in module.parameters():
        nn.init.normal_(weight, 0.03, 0.2)
    return module


class Restated:
    """The networks as formulas on named weights."""

    def __init__(self, state: dict[str, Tensor], order: str, groups: int | None, ndim: int) -> None:
        self.state, self.order, self.groups, self.ndim = state, order, groups, ndim
        self.conv = (functional.conv2d, functional.conv3d)[ndim - 2]
        self.up = (functional.conv_transpose2d, functional.conv_transpose3d)[ndim - 2]
        self.pool = (functional.max_pool2d, functional.max_pool3d)[ndim - 2]

    def weighted(self, x: Tensor, path: str) -> Tensor:
        column = (1, -1) + (1,) * self.ndim
        scale, shift = (self.state[f"{path}.{each}"].reshape(column) for each in ("weight", "bias"))
        return x * scale + shift

    def grouped(self, x: Tensor, path: str) -> Tensor:
        assert self.groups
        groups = self.groups if x.shape[1] >= self.groups else 1
        parts = x.reshape(groups, -1)
        spread = (parts.var(1, keepdim=True, correction=0) + 1e-5).sqrt()
        return self.weighted(((parts - parts.mean(1, keepdim=True)) / spread).reshape(x.shape), path)

    def batched(self, x: Tensor, path: str) -> Tensor:
        column = (1, -1) + (1,) * self.ndim
        mean, var = (self.state[f"{path}.running_{each}"].reshape(column) for each in ("mean", "var"))
        return self.weighted((x - mean) / (var + 1e-5).sqrt(), path)

    def convolved(self, x: Tensor, path: str) -> Tensor:
        weight, bias = self.state[f"{path}.weight"], self.state.get(f"{path}.bias")
        return self.conv(x, weight, bias, padding=weight.shape[-1] // 2)

    def stack(self, x: Tensor, path: str, order: str) -> Tensor:
        for letter in order:
            x = {
                "g": lambda x: self.grouped(x, f"{path}.groupnorm"),
                "b": lambda x: self.batched(x, f"{path}.batchnorm"),
                "c": lambda x: self.convolved(x, f"{path}.conv"),
                "r": lambda x: x.clamp_min(0),
                "l": lambda x: torch.where(x > 0, x, 0.01 * x),
                "e": lambda x: torch.where(x > 0, x, x.clamp_max(0).exp() - 1),
            }[letter](x)
        return x

    def block(self, x: Tensor, path: str) -> Tensor:
        path = f"{path}.basic_module"
        if f"{path}.SingleConv1.conv.weight" in self.state:
            return self.stack(
                self.stack(x, f"{path}.SingleConv1", self.order), f"{path}.SingleConv2", self.order
            )
        beside = self.convolved(x, f"{path}.conv1") if f"{path}.conv1.weight" in self.state else x
        x = self.stack(beside, f"{path}.conv2", self.order)
        x = self.stack(x, f"{path}.conv3", self.order.translate({ord(letter): None for letter in "rle"}))
        x = x + beside
        steep = {"r": torch.zeros_like(x), "l": 0.1 * x, "e": x.clamp_max(0).exp() - 1}
        x = torch.where(x > 0, x, steep[self.order.strip("gbc")])
        return self.gated(x, f"{path}.se_module") if f"{path}.se_module.sSE.conv.weight" in self.state else x

    def gated(self, x: Tensor, path: str) -> Tensor:
        means = x.flatten(2).mean(2)
        for layer, bend in (("fc1", lambda y: y.clamp_min(0)), ("fc2", torch.sigmoid)):
            weight, bias = (self.state[f"{path}.cSE.{layer}.{each}"] for each in ("weight", "bias"))
            means = bend(means @ weight.T + bias)
        channels = x * means.reshape(1, -1, *(1,) * self.ndim)
        voxels = x * torch.sigmoid(self.convolved(x, f"{path}.sSE.conv"))
        return torch.where(channels > voxels, channels, voxels)

    def enlarged(self, x: Tensor, path: str, size: Any) -> Tensor:
        weight = self.state.get(f"{path}.upsampling.upsample.conv_transposed.weight")
        x = x if weight is None else self.up(x, weight, stride=2, padding=1)
        for axis, wanted in enumerate(size, 2):
            # Nearest from the left: 2n - 1 voxels are stretched to 2n.
            index = (torch.arange(wanted) * x.shape[axis]) // wanted
            x = x.index_select(axis, index)
        return x

    def __call__(self, x: Tensor) -> Tensor:
        skips: list[Tensor] = []
        for level in range(len(FEATURES)):
            x = self.block(x if not level else self.pool(x, 2), f"encoders.{level}")
            skips.append(x)
        added = any("conv3" in name for name in self.state)
        for level, skip in enumerate(skips[-2::-1]):
            x = self.enlarged(x, f"decoders.{level}", skip.shape[2:])
            x = self.block(skip + x if added else torch.cat((skip, x), 1), f"decoders.{level}")
        return torch.softmax(self.convolved(x, "final_conv"), 1)


@pytest.mark.parametrize(("order", "groups", "kind"), CASES)
def test_each_is_the_formula_on_its_weights(order: str, groups: int | None, kind: str) -> None:
    module = built(order, groups, kind).double()
    ndim = 2 if kind.endswith("2D") else 3
    restated = Restated(module.state_dict(), order, groups, ndim)
    x = torch.randn(1, 2, *SHAPE[ndim], dtype=torch.float64)
    with torch.inference_mode():
        torch.testing.assert_close(module(x), restated(x), rtol=0, atol=1e-9)


@pytest.mark.parametrize(
    ("order", "groups", "kind", "theirs", "ours"),
    [
        *((*case, {}, {}) for case in CASES),
        ("crg", 4, "UNet3D", {}, {}),
        ("cbe", None, "UNet2D", {}, {}),
        ("bcrd", None, "UNet3D", {"conv_upscale": 1}, {"upscale": 1}),
        ("gcr", 4, "UNet3D", {"upsample": "trilinear"}, {"upsampling": "linear"}),
        ("bcr", None, "UNet3D", {"upsample": "deconv"}, {"upsampling": "deconv"}),
        ("bcr", None, "ResidualUNet3D", {"upsample": "deconv"}, {"joining": "concatenation"}),
    ],
)
def test_each_equals_the_class_of_pytorch_3dunet(
    order: str, groups: int | None, kind: str, theirs: dict[str, Any], ours: dict[str, Any]
) -> None:
    package = pytest.importorskip("pytorch3dunet.unet3d.model")
    like = getattr(package, kind)
    module = like(2, 3, False, f_maps=[*FEATURES], layer_order=order, num_groups=groups, **theirs).eval()
    mine = built(order, groups, kind, **ours)
    mine.load_state_dict(with_statistics(module).state_dict())
    x = torch.randn(1, 2, *SHAPE[2 if kind.endswith("2D") else 3])
    with torch.inference_mode():
        torch.testing.assert_close(mine(x), module(x), rtol=0, atol=1e-6)


def test_weights_go_by_the_names_that_trained_ones_have() -> None:
    names = set(built("gcr", 4, "UNet3D").state_dict()) | set(
        built("bcr", None, "ResidualUNet3D").state_dict()
    )
    assert names >= {
        "encoders.0.basic_module.SingleConv1.groupnorm.weight",
        "encoders.2.basic_module.SingleConv2.conv.weight",
        "decoders.1.basic_module.SingleConv2.conv.weight",
        "encoders.0.basic_module.conv1.bias",
        "encoders.1.basic_module.conv3.batchnorm.running_var",
        "decoders.0.upsampling.upsample.conv_transposed.weight",
        "final_conv.bias",
    }


def test_fewer_channels_than_groups_are_one_group() -> None:
    module = built("gcr", 8, "UNet3D", features=(8, 16))
    groups = {n: each.num_groups for n, each in module.named_modules() if isinstance(each, nn.GroupNorm)}
    assert groups["encoders.0.basic_module.SingleConv1.groupnorm"] == 1
    assert groups["encoders.1.basic_module.SingleConv2.groupnorm"] == 8


def test_what_came_in_is_not_written_into() -> None:
    x = torch.randn(1, 2, 8, 8)
    before = x.clone()
    with torch.inference_mode():
        built("drc", None, "UNet2D")(x)
    assert torch.equal(x, before)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"layer_order": "rcg"}, "no nonlinearity"),
        ({"layer_order": "gr"}, "with a c"),
        ({"layer_order": "gcgr"}, "each once"),
        ({"layer_order": "gcx"}, "got 'gcx'"),
        ({"layer_order": "?"}, "got '?"),
        ({"num_groups": None}, "needs a number of groups"),
        ({"num_groups": "8"}, "needs a number of groups; got '8'"),
        ({"features": (6, 12), "num_groups": 4}, "6 channels and 4 groups"),
        ({"features": (8,)}, "two levels"),
        ({"kernel": 2}, "odd number"),
        ({"kernel": (3, 3)}, "one for each of 3 axes"),
        ({"pool": 17}, "1 to 16 voxels"),
        ({"upsampling": "cubic"}, "nearest, linear, area, deconv; got 'cubic'"),
        ({"upscale": 3}, "1 or 2"),
        ({"dropout": 1.0}, "from 0 to below 1"),
        ({"final_activation": "relu"}, "none, sigmoid, softmax"),
        ({"ndim": 4}, "1, 2 or 3"),
    ],
)
def test_what_does_not_fit_is_an_error(arguments: dict[str, Any], message: str) -> None:
    with pytest.raises(NetworkError, match=message):
        registry.build("double_conv_unet", **arguments)


def test_levels_are_joined_in_one_of_two_ways() -> None:
    with pytest.raises(NetworkError, match="sum or concatenation; got 'product'"):
        registry.build("residual_unet", joining="product")
