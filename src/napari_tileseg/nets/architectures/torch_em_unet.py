"""The U-Net of torch_em, with the names that its weights have there."""

from __future__ import annotations

from itertools import pairwise
from typing import Literal

import torch
from torch import Tensor, nn
from torch.nn import functional

from napari_tileseg.errors import NetworkError
from napari_tileseg.nets.architectures.unet import CONVOLUTIONS, INTERPOLATION, POOLS
from napari_tileseg.nets.norm_layers import INSTANCE_NORMS, make_norm

_ACTIVATIONS = {"Sigmoid": nn.Sigmoid}
_DEEPEST, _MOST_FEATURES = 10, 2**16


def _norm(name: str | None, channels: int, ndim: int) -> nn.Module | None:
    """Return a normalization layer by torch_em's name or ours; its InstanceNorm has no weights."""
    if name is None:
        return None
    if name == "InstanceNorm":
        return INSTANCE_NORMS[ndim](channels)
    return make_norm("batch" if name == "BatchNorm" else name, channels, ndim)


class _Block(nn.Module):
    """Normalization, convolution of 3 voxels and ReLU, twice: a normalization comes first."""

    def __init__(self, before: int, after: int, norm: str | None, ndim: int) -> None:
        super().__init__()
        layers: list[nn.Module | None] = []
        for given, found in ((before, after), (after, after)):
            convolution = CONVOLUTIONS[ndim](given, found, 3, padding=1)
            layers += [_norm(norm, given, ndim), convolution, nn.ReLU(inplace=True)]
        self.block = nn.Sequential(*(layer for layer in layers if layer is not None))

    def forward(self, x: Tensor) -> Tensor:
        output: Tensor = self.block(x)
        return output


class _Sampler(nn.Module):
    """Linear interpolation to twice the size, then a convolution of 1 voxel."""

    def __init__(self, before: int, after: int, ndim: int) -> None:
        super().__init__()
        self.mode = INTERPOLATION[ndim]
        self.conv = CONVOLUTIONS[ndim](before, after, 1)

    def forward(self, x: Tensor) -> Tensor:
        doubled = functional.interpolate(x, scale_factor=2, mode=self.mode, align_corners=False)
        output: Tensor = self.conv(doubled)
        return output


class _Encoder(nn.Module):
    def __init__(self, features: list[int], norm: str | None, ndim: int) -> None:
        super().__init__()
        self.blocks = nn.ModuleList(_Block(*pair, norm, ndim) for pair in pairwise(features))
        self.pool = POOLS[ndim](2)

    def forward(self, x: Tensor) -> tuple[Tensor, list[Tensor]]:
        skips = []
        for block in self.blocks:
            skips.append(block(x))
            x = self.pool(skips[-1])
        return x, skips


class _Decoder(nn.Module):
    def __init__(self, features: list[int], norm: str | None, ndim: int) -> None:
        super().__init__()
        self.blocks = nn.ModuleList(_Block(*pair, norm, ndim) for pair in pairwise(features))
        self.samplers = nn.ModuleList(_Sampler(*pair, ndim) for pair in pairwise(features))

    def forward(self, x: Tensor, skips: list[Tensor]) -> Tensor:
        for sampler, block in zip(self.samplers, self.blocks, strict=True):
            x = block(torch.cat((sampler(x), skips.pop()), dim=1))
        return x


class TorchEmUNet(nn.Module):
    """U-Net of torch_em: `depth` down-samplings by 2, normalization before each convolution.

    Parameters
    ----------
    ndim : int
        Spatial axes: 2 or 3.
    in_channels, out_channels : int
        Channels in and out.
    depth : int
        Down-samplings.
    initial_features, gain : int
        Features of the finest level, and of each level for one of the level before.
    norm : str, optional
        "InstanceNorm", without weights, "BatchNorm", a name of `napari_tileseg.nets.norm_layers.NORMS`, or
        none.
    final_activation : {"Sigmoid"}, optional
        What follows the last convolution, as a part of the network.

    Raises
    ------
    NetworkError
        If an argument is out of its range.
    """

    def __init__(
        self,
        *,
        ndim: int = 2,
        in_channels: int = 1,
        out_channels: int = 1,
        depth: int = 4,
        initial_features: int = 32,
        gain: int = 2,
        norm: str | None = "InstanceNorm",
        final_activation: Literal["Sigmoid"] | None = None,
    ) -> None:
        super().__init__()
        if ndim not in {2, 3} or not 1 <= depth <= _DEEPEST or min(in_channels, initial_features, gain) < 1:
            raise NetworkError(
                f"A U-Net of torch_em has 2 or 3 axes, 1 to {_DEEPEST} levels and one feature at least; got "
                f"{ndim} axes, depth {depth}, {initial_features} features and a gain of {gain}."
            )
        if final_activation not in {None, *_ACTIVATIONS}:
            raise NetworkError(f"The final activation is Sigmoid or none; got {final_activation!r}.")
        features = [initial_features * gain**level for level in range(depth + 1)]
        if features[-1] > _MOST_FEATURES:
            raise NetworkError(f"A U-Net has {_MOST_FEATURES} features a level at most; got {features[-1]}.")
        self.encoder = _Encoder([in_channels, *features[:-1]], norm, ndim)
        self.base = _Block(features[-2], features[-1], norm, ndim)
        self.decoder = _Decoder(features[::-1], norm, ndim)
        self.out_conv = CONVOLUTIONS[ndim](features[0], out_channels, 1)
        self.final = _ACTIVATIONS[final_activation]() if final_activation else nn.Identity()

    def forward(self, x: Tensor) -> Tensor:
        """``(batch, in_channels, *space)``, multiples of the stride, to ``(batch, out_channels, *space)``."""
        x, skips = self.encoder(x)
        output: Tensor = self.final(self.out_conv(self.decoder(self.base(x), skips)))
        return output
