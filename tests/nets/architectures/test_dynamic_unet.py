"""U-Nets of the family that nnU-Net trains, against the same arithmetic written out from their weights."""

from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional

from napari_tileseg.errors import NetworkError
from napari_tileseg.nets.architectures import registry

KERNELS = {2: ((3, 3),) * 3, 3: ((1, 3, 3), (3, 3, 3), (3, 3, 3))}
STRIDES = {2: ((1, 1), (2, 2), (2, 1)), 3: ((1, 1, 1), (1, 2, 2), (2, 2, 2))}
SHAPE = {2: (16, 24), 3: (8, 16, 24)}
FEATURES, BLOCKS, STEM = (4, 6, 6), (1, 2, 2), 5


def arguments(name: str, ndim: int) -> dict[str, Any]:
    more = {"stem": STEM} if name == "residual_encoder_unet" else {}
    return {
        "ndim": ndim,
        "in_channels": 2,
        "out_channels": 3,
        "features": FEATURES,
        "kernels": KERNELS[ndim],
        "strides": STRIDES[ndim],
        "blocks": BLOCKS,
        "decoder_blocks": (2, 1),
        **more,
    }


def built(name: str, ndim: int) -> nn.Module:
    torch.manual_seed(0)
    module = registry.build(name, **arguments(name, ndim)).eval()
    for weight in module.parameters():
        nn.init.normal_(weight, 0.05, 0.3)
    return module


class Restated:
    """The networks as formulas on named weights."""

    def __init__(self, state: dict[str, Tensor], ndim: int) -> None:
        self.state, self.ndim = state, ndim
        self.conv = (functional.conv2d, functional.conv3d)[ndim - 2]
        self.up = (functional.conv_transpose2d, functional.conv_transpose3d)[ndim - 2]
        self.pool = (functional.avg_pool2d, functional.avg_pool3d)[ndim - 2]

    def block(self, x: Tensor, path: str, stride: Any = 1, active: bool = True) -> Tensor:
        weight = self.state[f"{path}.conv.weight"]
        padding = [size // 2 for size in weight.shape[2:]]
        x = self.conv(x, weight, self.state.get(f"{path}.conv.bias"), stride, padding)
        space = tuple(range(2, x.dim()))
        spread = (x.var(space, keepdim=True, correction=0) + 1e-5).sqrt()
        column = (1, -1) + (1,) * self.ndim
        scale, shift = (self.state[f"{path}.norm.{each}"].reshape(column) for each in ("weight", "bias"))
        x = (x - x.mean(space, keepdim=True)) / spread * scale + shift
        return torch.where(x > 0, x, 0.01 * x) if active else x

    def plain_stage(self, x: Tensor, stage: int) -> Tensor:
        for block in range(BLOCKS[stage]):
            stride = 1 if block else STRIDES[self.ndim][stage]
            x = self.block(x, f"encoder.stages.{stage}.0.convs.{block}", stride)
        return x

    def residual_stage(self, x: Tensor, stage: int) -> Tensor:
        for block in range(BLOCKS[stage]):
            path = f"encoder.stages.{stage}.blocks.{block}"
            stride = (1,) * self.ndim if block else STRIDES[self.ndim][stage]
            beside, position = x, 0
            if max(stride) > 1:
                beside, position = self.pool(beside, stride, stride), 1
            if f"{path}.skip.{position}.conv.weight" in self.state:
                assert f"{path}.skip.{position}.conv.bias" not in self.state
                beside = self.block(beside, f"{path}.skip.{position}", active=False)
            x = self.block(self.block(x, f"{path}.conv1", stride), f"{path}.conv2", active=False) + beside
            x = torch.where(x > 0, x, 0.01 * x)
        return x

    def __call__(self, x: Tensor) -> Tensor:
        residual = "encoder.stem.convs.0.conv.weight" in self.state
        x = self.block(x, "encoder.stem.convs.0") if residual else x
        skips = []
        for stage in range(3):
            x = self.residual_stage(x, stage) if residual else self.plain_stage(x, stage)
            skips.append(x)
        for stage, (skip, blocks) in enumerate(zip(skips[-2::-1], (2, 1), strict=True)):
            stride = STRIDES[self.ndim][-1 - stage]
            path = f"decoder.transpconvs.{stage}"
            x = self.up(x, self.state[f"{path}.weight"], self.state[f"{path}.bias"], stride)
            x = torch.cat((x, skip), 1)
            for block in range(blocks):
                x = self.block(x, f"decoder.stages.{stage}.convs.{block}")
        weight, bias = (self.state[f"decoder.seg_layers.1.{each}"] for each in ("weight", "bias"))
        return self.conv(x, weight, bias)


@pytest.mark.parametrize("ndim", [2, 3])
@pytest.mark.parametrize("name", ["plain_conv_unet", "residual_encoder_unet"])
def test_it_computes_what_its_weights_mean(name: str, ndim: int) -> None:
    module = built(name, ndim).double()
    image = torch.randn(1, 2, *SHAPE[ndim], dtype=torch.float64)
    with torch.inference_mode():
        torch.testing.assert_close(module(image), Restated(module.state_dict(), ndim)(image))


@pytest.mark.parametrize("ndim", [2, 3])
@pytest.mark.parametrize("name", ["plain_conv_unet", "residual_encoder_unet"])
def test_it_is_the_network_of_the_package_that_nnunet_builds_on(name: str, ndim: int) -> None:
    theirs = pytest.importorskip("dynamic_network_architectures.architectures.unet")
    said = arguments(name, ndim)
    residual = name == "residual_encoder_unet"
    counts = {"n_blocks_per_stage" if residual else "n_conv_per_stage": BLOCKS}
    module = built(name, ndim)
    other = (theirs.ResidualEncoderUNet if residual else theirs.PlainConvUNet)(
        input_channels=2,
        n_stages=3,
        features_per_stage=FEATURES,
        conv_op=(nn.Conv2d, nn.Conv3d)[ndim - 2],
        kernel_sizes=said["kernels"],
        strides=said["strides"],
        num_classes=3,
        n_conv_per_stage_decoder=(2, 1),
        conv_bias=True,
        norm_op=(nn.InstanceNorm2d, nn.InstanceNorm3d)[ndim - 2],
        norm_op_kwargs={"eps": 1e-5, "affine": True},
        nonlin=nn.LeakyReLU,
        nonlin_kwargs={"inplace": True},
        **counts,
        **({"stem_channels": STEM} if residual else {}),
    ).eval()
    state = other.state_dict()
    assert len({value.data_ptr() for value in state.values()}) == len(module.state_dict())
    module.load_state_dict({key: state[key] for key in module.state_dict()})
    image = torch.randn(1, 2, *SHAPE[ndim])
    with torch.inference_mode():
        torch.testing.assert_close(module(image), other(image))


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"features": (4,), "kernels": 3, "strides": 1}, "two stages"),
        ({"kernels": (3, 3)}, "3 sizes, one for each stage"),
        ({"kernels": (3, 2, 3)}, "odd number"),
        ({"kernels": 99}, "odd number"),
        ({"strides": (2, 2, 2)}, "first stage keeps the size"),
        ({"strides": (1, 64, 2)}, "1 to 16 voxels"),
        ({"strides": ((1, 1), (2, 2, 2), 2)}, "one for each axis"),
        ({"blocks": (1, 0, 1)}, "one block at least"),
        ({"nonlinearity": "os.system"}, "nonlinearity is one of"),
        ({"norm": "os.system"}, "Normalization is one of"),
        ({"ndim": 4}, "1, 2 or 3"),
    ],
)
def test_what_does_not_fit_is_refused(changed: dict[str, Any], message: str) -> None:
    with pytest.raises(NetworkError, match=message):
        registry.build("plain_conv_unet", **(arguments("plain_conv_unet", 2) | changed))
