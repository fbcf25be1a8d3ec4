"""The UNETR of the paper: a vision transformer as encoder, a convolutional decoder."""

from __future__ import annotations

from collections.abc import Sequence
from math import prod

import torch
from torch import Tensor, nn

from napari_tileseg._words import as_typed, by_axis
from napari_tileseg.errors import NetworkError
from napari_tileseg.nets.architectures.unet import CONVOLUTIONS, TRANSPOSED, conv_blocks


class UNETR(nn.Module):
    """UNETR (Hatamizadeh et al. 2022, arXiv 2103.10504) with a choice of normalization in its decoder.

    Positions are learned, so that it takes one size of input only. The defaults are those of the paper
    (arXiv 2503.19545): patches of 16, 12 heads, hidden size 768, patches projected by a convolution.

    Parameters
    ----------
    image_size : sequence of int
        Voxels along each spatial axis, multiples of `patch`; their number is the number of axes.
    in_channels, out_channels : int
        Channels in and out. The output is not activated.
    patch : int
        Voxels of a patch along each axis, a power of 2 from 2 on.
    hidden, heads, layers, mlp : int
        Transformer: width of a token, attention heads, layers, width of the layers in between.
    features : int
        Features of the decoder at full resolution; they double with each level.
    norm : str
        Normalization of the decoder, a name of `napari_tileseg.nets.norm_layers.NORMS`.

    Raises
    ------
    NetworkError
        If an argument is out of its range, or two do not fit each other.
    """

    def __init__(
        self,
        *,
        image_size: Sequence[int] = (128, 128, 128),
        in_channels: int = 1,
        out_channels: int = 2,
        patch: int = 16,
        hidden: int = 768,
        heads: int = 12,
        layers: int = 12,
        mlp: int = 3072,
        features: int = 16,
        norm: str = "batch_renorm",
    ) -> None:
        super().__init__()
        ndim, levels = len(image_size), patch.bit_length() - 1
        _check(tuple(image_size), patch, hidden, heads, layers)
        self.image_size, self.patch = tuple(image_size), patch
        self.project = CONVOLUTIONS[ndim](in_channels, hidden, patch, stride=patch)
        tokens = prod(size // patch for size in image_size)
        self.positions = nn.Parameter(0.02 * torch.randn(1, tokens, hidden))
        self.layers = nn.ModuleList(
            nn.TransformerEncoderLayer(
                hidden, heads, mlp, dropout=0.0, activation="gelu", batch_first=True, norm_first=True
            )
            for _ in range(layers)
        )
        self.norm = nn.LayerNorm(hidden)
        # Skip k has the resolution 1 / 2**k: the image itself, then deeper and deeper tokens.
        self.taps = tuple(layers * level // levels for level in range(1, levels))
        sizes = [features * 2**level for level in range(levels)]
        self.stem = conv_blocks((in_channels, features, features), norm, ndim)
        self.skips = nn.ModuleList(
            _climb(hidden, sizes[level], levels - level, norm, ndim) for level in range(1, levels)
        )
        self.upsamplers = nn.ModuleList(
            TRANSPOSED[ndim](before, after, 2, stride=2)
            for before, after in zip([hidden, *sizes[:0:-1]], sizes[::-1], strict=True)
        )
        self.decoders = nn.ModuleList(conv_blocks((2 * size, size, size), norm, ndim) for size in sizes[::-1])
        self.output = CONVOLUTIONS[ndim](features, out_channels, 1)

    def forward(self, x: Tensor) -> Tensor:
        """``(batch, in_channels, *image_size)`` to ``(batch, out_channels, *image_size)``."""
        if tuple(x.shape[2:]) != self.image_size:
            raise ValueError(
                f"this UNETR takes {by_axis(self.image_size)} voxels; got {by_axis(x.shape[2:])}"
            )
        grid = [size // self.patch for size in self.image_size]
        states = [self.stem(x)]
        tokens = self.project(x).flatten(2).transpose(1, 2) + self.positions
        for number, layer in enumerate(self.layers, start=1):
            tokens = layer(tokens)
            if number in self.taps:
                skip = self.skips[self.taps.index(number)]
                states.append(skip(tokens.transpose(1, 2).unflatten(2, grid)))
        x = self.norm(tokens).transpose(1, 2).unflatten(2, grid)
        for upsample, decoder in zip(self.upsamplers, self.decoders, strict=True):
            x = decoder(torch.cat((states.pop(), upsample(x)), dim=1))
        output: Tensor = self.output(x)
        return output


def _check(image_size: tuple[int, ...], patch: int, hidden: int, heads: int, layers: int) -> None:
    if len(image_size) not in CONVOLUTIONS:
        raise NetworkError(f"UNETR's image_size has 1, 2 or 3 axes; got {as_typed(image_size)}.")
    if patch < 2 or patch & (patch - 1):
        raise NetworkError(f"UNETR's patch is a power of 2 from 2 on; got {patch}.")
    if any(size < patch or size % patch for size in image_size):
        raise NetworkError(
            f"UNETR's image_size must be multiples of its patch {patch}; got {as_typed(image_size)}."
        )
    if hidden % heads:
        raise NetworkError(f"UNETR's hidden size must be a multiple of its heads; got {hidden} and {heads}.")
    if layers < patch.bit_length() - 1:
        raise NetworkError(f"UNETR with patch {patch} needs {patch.bit_length() - 1} layers; got {layers}.")


def _climb(hidden: int, features: int, steps: int, norm: str, ndim: int) -> nn.Sequential:
    """Turn tokens into `features` maps, doubled in size `steps` times."""
    first = TRANSPOSED[ndim](hidden, features, 2, stride=2)
    others = (
        nn.Sequential(
            TRANSPOSED[ndim](features, features, 2, stride=2), conv_blocks((features, features), norm, ndim)
        )
        for _ in range(steps - 1)
    )
    return nn.Sequential(first, conv_blocks((features, features), norm, ndim), *others)
