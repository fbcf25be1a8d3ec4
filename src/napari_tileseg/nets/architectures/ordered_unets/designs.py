"""What a network of either family is told, and how it is built from that."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Literal, TypeAlias

from torch import nn

from napari_tileseg._words import as_typed
from napari_tileseg.errors import NetworkError
from napari_tileseg.nets.architectures.ordered_unets.blocks import DoubleConv, GatedResNetBlock, ResNetBlock
from napari_tileseg.nets.architectures.ordered_unets.levels import (
    Decoder,
    Encoder,
    Interpolation,
    OrderedUNet,
    Stretching,
)
from napari_tileseg.nets.architectures.ordered_unets.stacks import Layers
from napari_tileseg.nets.architectures.unet import CONVOLUTIONS

_POOLS: dict[int, Callable[..., nn.Module]] = {1: nn.MaxPool1d, 2: nn.MaxPool2d, 3: nn.MaxPool3d}
_LINEAR = {1: "linear", 2: "bilinear", 3: "trilinear"}
_FINAL: dict[str, Callable[[], nn.Module]] = {
    "none": nn.Identity,
    "sigmoid": nn.Sigmoid,
    "softmax": lambda: nn.Softmax(dim=1),
}
#: Largest kernel, and largest window of a pooling.
_KERNEL, _POOL = 63, 16
#: One number for all axes, or one for each.
Sizes: TypeAlias = int | Sequence[int]


@dataclass(frozen=True, kw_only=True)
class _Design:
    """What both families are told.

    Parameters
    ----------
    ndim : int
        Spatial axes: 1, 2 or 3.
    in_channels, out_channels : int
        Channels in and out.
    features : sequence of int
        Features of each level, from the finest.
    layer_order : str
        Layers of a convolution, one letter each: g GroupNorm, b BatchNorm, c the convolution, r ReLU, l
        LeakyReLU, e ELU, d dropout, D dropout of whole channels.
    num_groups : int, optional
        Of GroupNorm; one group where there are fewer channels than that.
    kernel, pool : int or sequence of int
        Voxels of each convolution (odd) and of max-pooling between levels.
    dropout : float
        Part that dropout leaves out in training.
    final_activation : {"none", "sigmoid", "softmax"}
        What follows the last convolution, inside the network.

    Raises
    ------
    NetworkError
        When it is built, if an argument is out of its range, or two do not fit each other.
    """

    ndim: int = 3
    in_channels: int = 1
    out_channels: int = 2
    features: Sequence[int] = (64, 128, 256, 512)
    layer_order: str = "gcr"
    num_groups: int | None = 8
    kernel: Sizes = 3
    pool: Sizes = 2
    dropout: float = 0.1
    final_activation: str = "none"

    def layers(self) -> Layers:
        """Return what all its convolutions have in common."""
        kernel = self._spread(self.kernel)
        if any(size > _KERNEL or size % 2 == 0 for size in kernel):
            raise NetworkError(
                f"A kernel is an odd number of voxels up to {_KERNEL}; got {as_typed(kernel)}."
            )
        return Layers(self.ndim, self.layer_order, self.num_groups, kernel, self.dropout)

    def assembled(
        self, layers: Layers, block: Callable[[int, int], nn.Module], decoder: Callable[[int, int], nn.Module]
    ) -> OrderedUNet:
        """Return the network.

        Parameters
        ----------
        layers : Layers
            What all its convolutions have in common.
        block : callable
            Makes the block of a level of the encoder, from so many features to so many.
        decoder : callable
            Makes a level of the decoder, likewise.
        """
        pool, sizes = self._spread(self.pool), tuple(self.features)
        if max(pool) > _POOL:
            raise NetworkError(f"Pooling takes 1 to {_POOL} voxels; got {as_typed(pool)}.")
        if len(sizes) < 2 or not all(type(size) is int and size > 0 for size in sizes):
            raise NetworkError(
                f"A U-Net needs two levels and one feature a level at least; got {as_typed(sizes)}."
            )
        if self.final_activation not in _FINAL:
            raise NetworkError(
                f"A final activation is one of {', '.join(_FINAL)}; got {self.final_activation!r}."
            )
        return OrderedUNet(
            [
                Encoder(_POOLS[self.ndim](pool) if level else None, block(*pair))
                for level, pair in enumerate(pairwise((self.in_channels, *sizes)))
            ],
            [decoder(*pair) for pair in pairwise(sizes[::-1])],
            layers.convolution(sizes[0], self.out_channels),
            _FINAL[self.final_activation](),
        )

    def _spread(self, value: Sizes) -> tuple[int, ...]:
        if self.ndim not in CONVOLUTIONS:
            raise NetworkError(f"A U-Net has 1, 2 or 3 spatial axes; got ndim {self.ndim}.")
        found = (value,) * self.ndim if isinstance(value, int) else tuple(value)
        if len(found) != self.ndim or not all(type(size) is int and size > 0 for size in found):
            raise NetworkError(
                f"A size is a number of voxels, or one for each of {self.ndim} axes; got {value!r}."
            )
        return found


@dataclass(frozen=True, kw_only=True)
class DoubleConvUNet(_Design):
    """U-Net of two convolutions a level, as ``UNet3D`` and ``UNet2D`` of pytorch-3dunet.

    Parameters
    ----------
    upsampling : {"nearest", "linear", "area", "deconv"}
        Interpolation, or a transposed convolution stretched by "nearest".
    upscale : {1, 2}
        Whether the first convolution of a level of the encoder gives all features, or half of them.
    """

    upsampling: str = "nearest"
    upscale: int = 2

    def build(self) -> nn.Module:
        """Return it with fresh weights."""
        layers = self.layers()
        if self.upscale not in (1, 2):
            raise NetworkError(f"Upscale is 1 or 2 convolutions; got {self.upscale!r}.")
        modes = {"nearest": "nearest", "linear": _LINEAR[self.ndim], "area": "area"}
        deconv = self.upsampling == "deconv"
        if not deconv and self.upsampling not in modes:
            raise NetworkError(f"Up-sampling is one of {', '.join(modes)}, deconv; got {self.upsampling!r}.")

        def block(before: int, after: int) -> nn.Module:
            """Return the block of an encoder, which widens in steps."""
            return DoubleConv(layers, before, after, max(after // self.upscale, before))

        def decoder(coarse: int, fine: int) -> nn.Module:
            """Return a level of the decoder, which narrows at once."""
            up = (
                Stretching(layers.transposed(coarse, fine))
                if deconv
                else Interpolation(modes[self.upsampling])
            )
            return Decoder(up, DoubleConv(layers, (fine if deconv else coarse) + fine, fine, fine))

        return self.assembled(layers, block, decoder)


@dataclass(frozen=True, kw_only=True)
class ResidualUNet(_Design):
    """U-Net of residual blocks and transposed convolutions, as ``ResidualUNet3D`` of pytorch-3dunet.

    Parameters
    ----------
    joining : {"sum", "concatenation"}
        How a level of the decoder is joined with that of the encoder.
    squeeze_excitation : bool
        Whether weights for channels and voxels follow each block, as in ``ResidualUNetSE3D``.
    """

    features: Sequence[int] = (64, 128, 256, 512, 1024)
    joining: Literal["sum", "concatenation"] = "sum"
    squeeze_excitation: bool = False

    def build(self) -> nn.Module:
        """Return it with fresh weights."""
        layers, added = self.layers(), self.joining == "sum"
        if self.joining not in ("sum", "concatenation"):
            raise NetworkError(f"Levels are joined by sum or concatenation; got {self.joining!r}.")
        kind = GatedResNetBlock if self.squeeze_excitation else ResNetBlock

        def block(before: int, after: int) -> nn.Module:
            """Return the block of a level."""
            return kind(layers, before, after)

        def decoder(coarse: int, fine: int) -> nn.Module:
            """Return a level of the decoder."""
            up = Stretching(layers.transposed(coarse, fine))
            return Decoder(up, block(fine if added else 2 * fine, fine), added=added)

        return self.assembled(layers, block, decoder)
