"""The U-Net of the paper, for any number of spatial axes."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from typing import Literal

import torch
from torch import Tensor, nn

from napari_tileseg._words import as_typed
from napari_tileseg.errors import NetworkError
from napari_tileseg.nets.norm_layers import make_norm

CONVOLUTIONS: dict[int, type[nn.Conv1d | nn.Conv2d | nn.Conv3d]] = {1: nn.Conv1d, 2: nn.Conv2d, 3: nn.Conv3d}
TRANSPOSED: dict[int, type[nn.ConvTranspose1d | nn.ConvTranspose2d | nn.ConvTranspose3d]] = {
    1: nn.ConvTranspose1d,
    2: nn.ConvTranspose2d,
    3: nn.ConvTranspose3d,
}
POOLS: dict[int, type[nn.MaxPool1d | nn.MaxPool2d | nn.MaxPool3d]] = {
    1: nn.MaxPool1d,
    2: nn.MaxPool2d,
    3: nn.MaxPool3d,
}
INTERPOLATION = {1: "linear", 2: "bilinear", 3: "trilinear"}


def conv_blocks(channels: Sequence[int], norm: str, ndim: int) -> nn.Sequential:
    """Convolution of 3 voxels, normalization and ReLU, from each number of channels to the next."""
    return nn.Sequential(
        *(
            nn.Sequential(
                CONVOLUTIONS[ndim](before, after, 3, padding=1),
                make_norm(norm, after, ndim),
                nn.ReLU(inplace=True),
            )
            for before, after in pairwise(channels)
        )
    )


def _upsampler(kind: str, before: int, after: int, ndim: int) -> nn.Module:
    if kind == "transposed":
        return TRANSPOSED[ndim](before, after, 2, stride=2)
    if kind == "linear":
        doubled = nn.Upsample(scale_factor=2, mode=INTERPOLATION[ndim], align_corners=False)
        return nn.Sequential(doubled, CONVOLUTIONS[ndim](before, after, 1))
    raise NetworkError(f"Up-sampling is one of transposed, linear; got {kind!r}.")


class UNet(nn.Module):
    """U-Net: two convolution blocks a level, max-pooling between levels, skips by concatenation.

    The defaults are those of the paper (arXiv 2503.19545): two down-samplings, 32, 64 and 128 features.

    Parameters
    ----------
    ndim : int
        Spatial axes: 1, 2 or 3.
    in_channels, out_channels : int
        Channels in and out. The output is not activated.
    features : sequence of int
        Features of each level, from the finest; one down-sampling by 2 lies between two levels.
    blocks : int
        Convolution, normalization and nonlinearity, so many times a level.
    norm : str
        Normalization, a name of `napari_tileseg.nets.norm_layers.NORMS`.
    upsampling : {"transposed", "linear"}
        Transposed convolution of 2 voxels, or (bi-, tri-)linear interpolation and a convolution of 1 voxel.

    Raises
    ------
    NetworkError
        If an argument is out of its range.
    """

    def __init__(
        self,
        *,
        ndim: int = 3,
        in_channels: int = 1,
        out_channels: int = 2,
        features: Sequence[int] = (32, 64, 128),
        blocks: int = 2,
        norm: str = "batch_renorm",
        upsampling: Literal["transposed", "linear"] = "transposed",
    ) -> None:
        super().__init__()
        if ndim not in CONVOLUTIONS:
            raise NetworkError(f"A U-Net has 1, 2 or 3 spatial axes; got ndim {ndim}.")
        if not features or min(*features, in_channels, out_channels, blocks) < 1:
            raise NetworkError(
                "A U-Net needs one level, block, feature and channel at least; got features "
                f"{as_typed(tuple(features))}, blocks {blocks}, channels {in_channels} in and {out_channels} "
                "out."
            )
        sizes = tuple(features)
        self.encoders = nn.ModuleList(
            conv_blocks((before, *(after,) * blocks), norm, ndim)
            for before, after in pairwise((in_channels, *sizes))
        )
        self.pool = POOLS[ndim](2)
        self.upsamplers = nn.ModuleList(
            _upsampler(upsampling, coarse, fine, ndim) for coarse, fine in pairwise(sizes[::-1])
        )
        self.decoders = nn.ModuleList(
            conv_blocks((2 * fine, *(fine,) * blocks), norm, ndim) for fine in sizes[-2::-1]
        )
        self.output = CONVOLUTIONS[ndim](sizes[0], out_channels, 1)

    def forward(self, x: Tensor) -> Tensor:
        """``(batch, in_channels, *space)``, multiples of the stride, to ``(batch, out_channels, *space)``."""
        skips: list[Tensor] = []
        for level, encoder in enumerate(self.encoders):
            x = encoder(self.pool(x) if level else x)
            skips.append(x)
        skips.pop()
        for upsample, decoder in zip(self.upsamplers, self.decoders, strict=True):
            x = decoder(torch.cat((skips.pop(), upsample(x)), dim=1))
        output: Tensor = self.output(x)
        return output
