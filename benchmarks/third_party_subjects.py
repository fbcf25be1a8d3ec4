"""Networks of other packages, and parts they are made of, for `third_party_networks.py`."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional
from torch.nn.utils import parametrizations


@dataclass(frozen=True)
class Subject:
    """A network to try: what to call it, its spatial axes, its channels, and how to build it."""

    name: str
    ndim: int
    channels: int
    build: Callable[[], nn.Module]


def _dynamic(kind: str, ndim: int, norm: str, strides: tuple[object, ...] = (1, 2, 2)) -> nn.Module:
    from dynamic_network_architectures.architectures import unet

    n, more = len(strides), {}
    name = "n_blocks_per_stage" if kind == "ResidualEncoderUNet" else "n_conv_per_stage"
    more[name] = [1] * n
    return getattr(unet, kind)(
        1, n, [8 * 2**i for i in range(n)], getattr(nn, f"Conv{ndim}d"), 3, strides,
        num_classes=2, n_conv_per_stage_decoder=1, conv_bias=True,
        norm_op=getattr(nn, f"{norm}Norm{ndim}d"), norm_op_kwargs={"affine": True},
        nonlin=nn.LeakyReLU, nonlin_kwargs={"inplace": True}, **more,
    )  # fmt: skip


def _monai(kind: str, *args: object, **named: object) -> nn.Module:
    from monai.networks import nets

    return getattr(nets, kind)(*args, **named)


def _smp(kind: str, encoder: str = "resnet18", **named: object) -> nn.Module:
    import segmentation_models_pytorch as smp

    return getattr(smp, kind)(encoder, encoder_weights=None, in_channels=1, classes=2, **named)


def _three(kind: str, order: str, **named: object) -> nn.Module:
    from pytorch3dunet.unet3d import model

    return getattr(model, kind)(1, 2, f_maps=8, layer_order=order, num_levels=3, **named)


def _torch_em(kind: str, **named: object) -> nn.Module:
    from torch_em.model import unet

    return getattr(unet, kind)(1, 2, initial_features=8, **named)


def _careamics(**named: object) -> nn.Module:
    from careamics.models.unet import UNet

    return UNet(num_channels_init=8, **named)


class _Timm(nn.Module):
    """Features of one level of an encoder, brought back to the image's size."""

    def __init__(self, name: str, level: int) -> None:
        super().__init__()
        import timm

        self.body = timm.create_model(
            name, pretrained=False, features_only=True, in_chans=1, out_indices=(level,)
        )
        self.times = self.body.feature_info.reduction()[0]
        self.head = nn.Conv2d(self.body.feature_info.channels()[0], 2, 1)

    def forward(self, x: Tensor) -> Tensor:
        """Return the features, in two channels."""
        return functional.interpolate(self.head(self.body(x)[0]), scale_factor=self.times)


class Part(nn.Module):
    """A function between two convolutions."""

    def __init__(self, run: Callable[..., Tensor], ndim: int = 2, width: int = 4, **parts: nn.Module) -> None:
        super().__init__()
        conv = getattr(nn, f"Conv{ndim}d")
        self.first, self.parts = conv(1, width, 3, padding=1), nn.ModuleDict(parts)
        self.last, self.run = conv(width, 2, 1), run

    def forward(self, x: Tensor) -> Tensor:
        """Return two channels."""
        return self.last(self.run(self.first(x), **self.parts))


def _channel_norm(x: Tensor, norm: nn.Module) -> Tensor:
    return norm(x.permute(0, 2, 3, 1)).permute(0, 3, 1, 2)


def _to_eight(x: Tensor, conv: nn.Module) -> Tensor:
    high, wide = x.shape[2:]
    x = functional.pad(x, (0, -wide % 8, 0, -high % 8))
    x = functional.interpolate(conv(functional.max_pool2d(x, 8)), scale_factor=8) + x
    return x[:, :, :high, :wide]


def _coordinates(x: Tensor, conv: nn.Module) -> Tensor:
    rows = torch.linspace(-1, 1, x.shape[2], dtype=x.dtype)[:, None].expand(-1, x.shape[3])
    columns = torch.linspace(-1, 1, x.shape[3], dtype=x.dtype)[None].expand(x.shape[2], -1)
    return conv(torch.cat((x, rows[None, None], columns[None, None]), 1))


def _gate(x: Tensor, down: nn.Module, theta: nn.Module, phi: nn.Module) -> Tensor:
    coarse = down(x)
    wanted = functional.interpolate(phi(coarse), size=x.shape[2:], mode="bilinear")
    return x * torch.sigmoid(functional.relu(theta(x) + wanted).mean(1, keepdim=True))


def _blur(x: Tensor) -> Tensor:
    kernel = torch.tensor([1.0, 2.0, 1.0], dtype=x.dtype)
    kernel = (kernel[:, None] * kernel / 16).repeat(x.shape[1], 1, 1, 1)
    x = functional.conv2d(
        functional.pad(x, (1, 1, 1, 1), mode="reflect"), kernel, stride=2, groups=x.shape[1]
    )
    return functional.interpolate(x, scale_factor=2)


def _unpool(x: Tensor) -> Tensor:
    y, at = functional.max_pool2d(x, 2, return_indices=True)
    return functional.max_unpool2d(y, at, 2, output_size=x.shape[2:])


def _warp(x: Tensor) -> Tensor:
    rows = torch.linspace(-1, 1, x.shape[2], dtype=x.dtype)[:, None].expand(-1, x.shape[3])
    columns = torch.linspace(-1, 1, x.shape[3], dtype=x.dtype)[None].expand(x.shape[2], -1)
    grid = torch.stack((columns, rows), -1)[None] + 0.01 * x[:, :2].permute(0, 2, 3, 1)
    return functional.grid_sample(x, grid, align_corners=True)


def _attention(x: Tensor) -> Tensor:
    flat = x.flatten(2).transpose(1, 2)
    flat = functional.scaled_dot_product_attention(flat, flat, flat)
    return flat.transpose(1, 2).unflatten(2, x.shape[2:])


def _standardized(x: Tensor, conv: nn.Conv2d) -> Tensor:
    spread, mean = torch.std_mean(conv.weight, (1, 2, 3), keepdim=True)
    return functional.conv2d(x, (conv.weight - mean) / (spread + 1e-5), conv.bias, padding=1)


def _median(x: Tensor) -> Tensor:
    batch, channels, *space = x.shape
    windows = functional.unfold(x, 3, padding=1).view(batch, channels, 9, *space)
    return windows.median(2).values


def _grn(x: Tensor) -> Tensor:
    norm = x.norm(dim=(2, 3), keepdim=True)
    return x * norm / (norm.mean(1, keepdim=True) + 1e-6) + x


def _conv(parametrize: Callable[[nn.Module], nn.Module] = lambda layer: layer) -> nn.Module:
    return parametrize(nn.Conv2d(4, 4, 3, padding=1))


def _parts() -> list[Subject]:
    small = nn.functional
    found: dict[str, Callable[[], nn.Module]] = {
        "layer norm over channels": lambda: Part(_channel_norm, norm=nn.LayerNorm(4)),
        "L2 over channels": lambda: Part(lambda x: small.normalize(x, dim=1)),
        "weight standardization": lambda: Part(_standardized, conv=_conv()),
        "weight norm": lambda: Part(lambda x, conv: conv(x), conv=_conv(parametrizations.weight_norm)),
        "old weight norm": lambda: Part(lambda x, conv: conv(x), conv=_conv(nn.utils.weight_norm)),
        "spectral norm": lambda: Part(lambda x, conv: conv(x), conv=_conv(parametrizations.spectral_norm)),
        "old spectral norm": lambda: Part(lambda x, conv: conv(x), conv=_conv(nn.utils.spectral_norm)),
        "pixel unshuffle": lambda: Part(
            lambda x, conv: small.pixel_shuffle(conv(small.pixel_unshuffle(x, 4)), 4),
            conv=nn.Conv2d(64, 64, 1),
        ),
        "pad to a multiple": lambda: Part(_to_eight, conv=_conv()),
        "local response": lambda: Part(lambda x, norm: norm(x), norm=nn.LocalResponseNorm(3, 0.5)),
        "attention gate": lambda: Part(
            _gate, down=nn.Conv2d(4, 4, 2, 2), theta=nn.Conv2d(4, 4, 1), phi=nn.Conv2d(4, 4, 1)
        ),
        "blur pool": lambda: Part(_blur),
        "bicubic": lambda: Part(
            lambda x: small.interpolate(small.avg_pool2d(x, 2), scale_factor=2, mode="bicubic")
        ),
        "aligned corners": lambda: Part(
            lambda x: small.interpolate(
                small.avg_pool2d(x, 2), scale_factor=2, mode="bilinear", align_corners=True
            )
        ),
        "circular padding": lambda: Part(
            lambda x, conv: conv(x), conv=nn.Conv2d(4, 4, 3, padding=1, padding_mode="circular")
        ),
        "coordinate channels": lambda: Part(_coordinates, conv=nn.Conv2d(6, 4, 1)),
        "unpooling by indices": lambda: Part(_unpool),
        "grid sampling": lambda: Part(_warp),
        "attention over space": lambda: Part(_attention),
        "circular shift": lambda: Part(lambda x: x + torch.roll(x, (3, 3), (2, 3))),
        "median of a window": lambda: Part(_median),
        "branch on data": lambda: Part(lambda x: x * 2 if bool(x.sum() > 0) else x * 3),
        "batch norm without statistics": lambda: Part(
            lambda x, norm: norm(x), norm=nn.BatchNorm2d(4, track_running_stats=False)
        ),
        "instance norm with statistics": lambda: Part(
            lambda x, norm: norm(x), norm=nn.InstanceNorm2d(4, affine=True, track_running_stats=True)
        ),
        "group norm": lambda: Part(lambda x, norm: norm(x), norm=nn.GroupNorm(2, 4)),
        "global response norm": lambda: Part(_grn),
        "division by the largest": lambda: Part(lambda x: x / x.abs().amax((2, 3), keepdim=True)),
        "z-score inside": lambda: Part(
            lambda x: (x - x.mean((2, 3), keepdim=True)) / (x.std((2, 3), keepdim=True) + 1e-5)
        ),
        "squeeze and excite": lambda: Part(
            lambda x, conv: x * torch.sigmoid(conv(small.adaptive_avg_pool2d(x, 1))), conv=nn.Conv2d(4, 4, 1)
        ),
        "dilation 12, 24, 36": lambda: Part(
            lambda x, a, b, c: a(x) + b(x) + c(x),
            a=nn.Conv2d(4, 4, 3, padding=12, dilation=12),
            b=nn.Conv2d(4, 4, 3, padding=24, dilation=24),
            c=nn.Conv2d(4, 4, 3, padding=36, dilation=36),
        ),
    }
    return [Subject(f"part: {name}", 2, 1, build) for name, build in found.items()]


def subjects() -> list[Subject]:
    """Everything that is tried, in the order of the table."""
    layers = {"features": (8, 8, 16, 32, 32, 8), "norm": "batch"}
    dyn = {
        "kernel_size": [3, 3, 3],
        "strides": [1, 2, 2],
        "upsample_kernel_size": [2, 2],
        "filters": [8, 16, 32],
    }
    wide = {"channels": (8, 16, 32), "strides": (2, 2)}
    slim = {"decoder_channels": (32, 16, 8, 8, 8)}
    shallow = {"encoder_depth": 3, "decoder_channels": (32, 16, 8)}
    scse = {"encoder_depth": 3, "decoder_channels": (64, 32, 16), "decoder_attention_type": "scse"}
    single = {"kernel_size": 3, "blocks_down": (1, 1), "blocks_bottleneck": 1, "blocks_up": (1, 1)}
    residual = {"blocks_down": (1, 1, 1), "blocks_up": (1, 1)}
    scales = {"scale_factors": [[1, 2, 2], [2, 2, 2]]}
    table: list[tuple[str, int, Callable[[], nn.Module]]] = [
        ("PlainConvUNet 2D", 2, lambda: _dynamic("PlainConvUNet", 2, "Batch")),
        ("PlainConvUNet 3D", 3, lambda: _dynamic("PlainConvUNet", 3, "Batch")),
        ("PlainConvUNet anisotropic", 3, lambda: _dynamic("PlainConvUNet", 3, "Batch", (1, (1, 2, 2), 2))),
        ("PlainConvUNet InstanceNorm", 2, lambda: _dynamic("PlainConvUNet", 2, "Instance")),
        ("ResidualEncoderUNet 2D", 2, lambda: _dynamic("ResidualEncoderUNet", 2, "Batch")),
        ("ResidualEncoderUNet 3D", 3, lambda: _dynamic("ResidualEncoderUNet", 3, "Batch")),
        ("smp Unet ResNet18 depth 3", 2, lambda: _smp("Unet", **shallow)),
        ("smp Unet ResNet18 depth 5", 2, lambda: _smp("Unet", **slim)),
        ("smp Unet++ ResNet18", 2, lambda: _smp("UnetPlusPlus", **shallow)),
        ("smp Unet MobileOne", 2, lambda: _smp("Unet", "mobileone_s0", **shallow)),
        ("smp Linknet", 2, lambda: _smp("Linknet", encoder_depth=3)),
        ("smp Unet scSE", 2, lambda: _smp("Unet", **scse)),
        ("smp DeepLabV3+", 2, lambda: _smp("DeepLabV3Plus")),
        ("smp MAnet", 2, lambda: _smp("MAnet", **slim)),
        ("smp FPN", 2, lambda: _smp("FPN")),
        ("smp PAN", 2, lambda: _smp("PAN")),
        ("smp PSPNet", 2, lambda: _smp("PSPNet")),
        ("smp Unet EfficientNet-B0", 2, lambda: _smp("Unet", "efficientnet-b0", **slim)),
        ("smp Unet MiT-B0", 2, lambda: _smp("Unet", "mit_b0", **slim)),
        ("pytorch-3dunet UNet2D bcr", 2, lambda: _three("UNet2D", "bcr")),
        ("pytorch-3dunet UNet3D bcr", 3, lambda: _three("UNet3D", "bcr")),
        ("pytorch-3dunet UNet3D gcr", 3, lambda: _three("UNet3D", "gcr")),
        ("pytorch-3dunet ResidualUNet3D bcr", 3, lambda: _three("ResidualUNet3D", "bcr")),
        ("pytorch-3dunet ResidualUNetSE3D bcr", 3, lambda: _three("ResidualUNetSE3D", "bcr")),
        ("torch_em UNet2d BatchNorm", 2, lambda: _torch_em("UNet2d", depth=3, norm="BatchNorm")),
        ("torch_em UNet2d no norm", 2, lambda: _torch_em("UNet2d", depth=3, norm=None)),
        ("torch_em UNet2d defaults", 2, lambda: _torch_em("UNet2d", depth=3)),
        ("torch_em UNet3d BatchNorm", 3, lambda: _torch_em("UNet3d", depth=2, norm="BatchNorm")),
        ("torch_em Anisotropic", 3, lambda: _torch_em("AnisotropicUNet", norm="BatchNorm", **scales)),
        ("careamics UNet 2D", 2, lambda: _careamics(conv_dims=2, depth=2)),
        ("careamics UNet 3D", 3, lambda: _careamics(conv_dims=3, depth=2)),
        ("careamics n2v2", 2, lambda: _careamics(conv_dims=2, depth=2, n2v2=True)),
        ("MONAI BasicUNet BatchNorm", 2, lambda: _monai("BasicUNet", 2, 1, 2, **layers)),
        ("MONAI BasicUNet defaults", 2, lambda: _monai("BasicUNet", 2, 1, 2, features=layers["features"])),
        ("MONAI UNet batch", 2, lambda: _monai("UNet", 2, 1, 2, norm="batch", num_res_units=1, **wide)),
        ("MONAI AttentionUnet", 2, lambda: _monai("AttentionUnet", 2, 1, 2, **wide)),
        ("MONAI SegResNetDS", 3, lambda: _monai("SegResNetDS", 3, 8, 1, 2, blocks_down=(1, 1, 1))),
        ("MONAI SegResNet batch", 3, lambda: _monai("SegResNet", 3, 8, 1, 2, norm="batch", **residual)),
        ("MONAI DynUNet", 2, lambda: _monai("DynUNet", 2, 1, 2, norm_name="batch", **dyn)),
        ("MONAI AHNet", 2, lambda: _monai("AHNet", (1, 1, 1, 1), 2, 1, 2, psp_block_num=0)),
        ("MONAI HighResNet", 3, lambda: _monai("HighResNet", 3, 1, 2)),
        ("MONAI VNet", 2, lambda: _monai("VNet", 2, 1, 2, dropout_dim=2)),
        ("MONAI RegUNet", 2, lambda: _monai("RegUNet", 2, 1, 8, 3, out_channels=2)),
        ("MONAI FlexibleUNet ResNet18", 2, lambda: _monai("FlexibleUNet", 1, 2, "resnet18", **slim)),
        ("MONAI FlexibleUNet b0", 2, lambda: _monai("FlexibleUNet", 1, 2, "efficientnet-b0", **slim)),
        ("MONAI MedNeXt", 2, lambda: _monai("MedNeXt", 2, 8, 1, 2, **single)),
        ("MONAI MedNeXt layer norm", 2, lambda: _monai("MedNeXt", 2, 8, 1, 2, norm_type="layer", **single)),
        ("timm ConvNeXt", 2, lambda: _Timm("convnext_atto", 2)),
        ("timm ConvNeXtV2", 2, lambda: _Timm("convnextv2_atto", 2)),
        ("timm ResNetV2 GroupNorm", 2, lambda: _Timm("resnetv2_50x1_bit", 2)),
        ("timm RegNetY", 2, lambda: _Timm("regnety_002", 2)),
        ("timm ResNet18 blur", 2, lambda: _Timm("resnetblur18", 2)),
    ]  # fmt: skip
    return [Subject(name, ndim, 1, build) for name, ndim, build in table] + _parts()


def more_with_statistics() -> list[Subject]:
    """Further ones that compute something over all of space, as large as they are used."""
    small = {"encoder_depth": 3, "decoder_channels": (32, 16, 8)}
    table: list[tuple[str, int, Callable[[], nn.Module]]] = [
        ("nnU-Net PlainConvUNet, six stages", 3, lambda: _nnunet("PlainConvUNet", [2] * 6)),
        ("nnU-Net ResEncM, six stages", 3, lambda: _nnunet("ResidualEncoderUNet", RES_ENC_M)),
        ("smp Unet SE-ResNet50", 2, lambda: _smp("Unet", "se_resnet50", **small)),
        ("smp DeepLabV3", 2, lambda: _smp("DeepLabV3")),
    ]  # fmt: skip
    return [Subject(name, ndim, 1, build) for name, ndim, build in table]


#: Residual blocks of each stage in nnU-Net's medium preset.
RES_ENC_M = [1, 3, 4, 6, 6, 6]


def _nnunet(kind: str, blocks: list[int]) -> nn.Module:
    """A network as nnU-Net plans it for a large volume."""
    from dynamic_network_architectures.architectures import unet

    residual = kind == "ResidualEncoderUNet"
    name, decoder = ("n_blocks_per_stage", 1) if residual else ("n_conv_per_stage", 2)
    n, features = len(blocks), [32, 64, 128, 256, 320, 320]
    return getattr(unet, kind)(
        1, n, features, nn.Conv3d, 3, [1] + [2] * (n - 1), num_classes=2, conv_bias=True,
        norm_op=nn.InstanceNorm3d, norm_op_kwargs={"eps": 1e-5, "affine": True},
        nonlin=nn.LeakyReLU, nonlin_kwargs={"inplace": True},
        n_conv_per_stage_decoder=[decoder] * (n - 1), **{name: blocks},
    )  # fmt: skip
