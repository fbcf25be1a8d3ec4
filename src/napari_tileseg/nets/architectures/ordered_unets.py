"""U-Nets whose layers follow an order that letters state, plain and residual.

These are the families that pytorch-3dunet trains, and PlantSeg and PanSeg with it (Wolny et al. 2020, eLife
9:e57613). Their weights go by the names that they have there, so that trained ones fit.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any, Literal, TypeAlias

import torch
from torch import Tensor, nn
from torch.nn import functional

from napari_tileseg._words import as_typed
from napari_tileseg.errors import NetworkError
from napari_tileseg.nets.architectures.unet import CONVOLUTIONS, TRANSPOSED
from napari_tileseg.nets.norm_layers import make_norm

_POOLS: dict[int, Callable[..., nn.Module]] = {1: nn.MaxPool1d, 2: nn.MaxPool2d, 3: nn.MaxPool3d}
_CHANNEL_DROPOUT: dict[int, Callable[[float], nn.Module]] = {
    1: nn.Dropout1d,
    2: nn.Dropout2d,
    3: nn.Dropout3d,
}
_NONLINEARITIES: dict[str, Callable[[bool], nn.Module]] = {
    "r": lambda inplace: nn.ReLU(inplace=inplace),
    "l": lambda inplace: nn.LeakyReLU(inplace=inplace),
    "e": lambda inplace: nn.ELU(inplace=inplace),
}
#: Letters of an order, and the names of their layers.
LETTERS = {
    "g": "groupnorm",
    "b": "batchnorm",
    "c": "conv",
    "r": "ReLU",
    "l": "LeakyReLU",
    "e": "ELU",
    "d": "dropout",
    "D": "dropout2d",
}
_LINEAR = {1: "linear", 2: "bilinear", 3: "trilinear"}
#: Slope below 0 of what follows the sum of a residual block.
_SLOPE = 0.1
#: Largest kernel, and largest window of a pooling.
_KERNEL, _POOL = 63, 16
_FINAL: dict[str, Callable[[], nn.Module]] = {
    "none": nn.Identity,
    "sigmoid": nn.Sigmoid,
    "softmax": lambda: nn.Softmax(dim=1),
}
#: One number for all axes, or one for each.
Sizes: TypeAlias = int | Sequence[int]


@dataclass(frozen=True, slots=True)
class _Layers:
    """What all convolutions of a network have in common."""

    ndim: int
    order: str
    groups: int | None
    kernel: tuple[int, ...]
    dropout: float

    def __post_init__(self) -> None:
        order = self.order
        letters = isinstance(order, str) and set(order) <= LETTERS.keys() and len(set(order)) == len(order)
        if not letters or "c" not in order or order[0] in _NONLINEARITIES:
            raise NetworkError(
                f"The order of layers is one of letters of {', '.join(LETTERS)}, each once, with a c and no "
                f"nonlinearity (r, l, e) in front; got {order!r}."
            )
        if "g" in order and not (type(self.groups) is int and self.groups > 0):
            raise NetworkError(
                f"An order of layers with a g, {order!r}, needs a number of groups; got {self.groups!r}."
            )
        if not 0 <= self.dropout < 1:
            raise NetworkError(f"Dropout is a part from 0 to below 1; got {self.dropout!r}.")

    def convolution(self, before: int, after: int, kernel: Any = 1, **more: Any) -> nn.Module:
        """Return a convolution, of single voxels by default."""
        make: Callable[..., nn.Module] = CONVOLUTIONS[self.ndim]
        return make(before, after, kernel, **more)

    def transposed(self, before: int, after: int) -> nn.Module:
        """Return a transposed convolution of stride 2, which gives 2n - 1 voxels."""
        make: Callable[..., nn.Module] = TRANSPOSED[self.ndim]
        padding = tuple(size // 2 for size in self.kernel)
        return make(before, after, self.kernel, stride=2, padding=padding, bias=False)

    def stack(self, before: int, after: int, left_out: str = "") -> nn.Sequential:
        """Return a convolution with what lies around it, by the names of the layers."""
        order = "".join(letter for letter in self.order if letter not in left_out)
        return nn.Sequential(
            OrderedDict((LETTERS[letter], self._layer(letter, order, before, after)) for letter in order)
        )

    def _layer(self, letter: str, order: str, before: int, after: int) -> nn.Module:
        if letter == "c":
            normalized = "g" in order or "b" in order
            padding = tuple(size // 2 for size in self.kernel)
            return self.convolution(before, after, self.kernel, padding=padding, bias=not normalized)
        if letter in _NONLINEARITIES:
            # What came in is not to be written into, and dropout passes it on as it is.
            return _NONLINEARITIES[letter](order[0] not in "dD")
        if letter in "dD":
            return (nn.Dropout if letter == "d" else _CHANNEL_DROPOUT[self.ndim])(self.dropout)
        channels = before if order.index(letter) < order.index("c") else after
        return make_norm("batch", channels, self.ndim) if letter == "b" else self._group_norm(channels)

    def _group_norm(self, channels: int) -> nn.Module:
        wanted = self.groups or 1
        groups = 1 if channels < wanted else wanted
        if channels % groups:
            raise NetworkError(
                f"Channels should make groups of the same size; got {channels} channels and {groups} groups."
            )
        return nn.GroupNorm(groups, channels)


class _DoubleConv(nn.Sequential):
    """Two convolutions; what an encoder's first one gives is half of the second's."""

    def __init__(self, layers: _Layers, before: int, after: int, between: int) -> None:
        super().__init__()
        self.SingleConv1 = layers.stack(before, between)
        self.SingleConv2 = layers.stack(between, after)


class _ResNetBlock(nn.Module):
    """One convolution of single voxels, then two whose result is added to what they were given."""

    def __init__(self, layers: _Layers, before: int, after: int) -> None:
        super().__init__()
        self.conv1 = nn.Identity() if before == after else layers.convolution(before, after)
        self.conv2 = layers.stack(after, after)
        self.conv3 = layers.stack(after, after, left_out="".join(_NONLINEARITIES))
        self.non_linearity: nn.Module
        if "l" in layers.order:
            self.non_linearity = nn.LeakyReLU(_SLOPE, inplace=True)
        else:
            self.non_linearity = _NONLINEARITIES["e" if "e" in layers.order else "r"](True)

    def forward(self, x: Tensor) -> Tensor:
        """Return the sum, bent."""
        beside = self.conv1(x)
        output: Tensor = self.non_linearity(self.conv3(self.conv2(beside)) + beside)
        return output


class _ChannelGate(nn.Module):
    """Each channel times a weight between 0 and 1 that the means of all channels decide."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.fc1 = nn.Linear(channels, channels)
        self.fc2 = nn.Linear(channels, channels)

    def forward(self, x: Tensor) -> Tensor:
        """Weigh the channels of ``(batch, channels, *space)``."""
        space = tuple(range(2, x.dim()))
        weights = torch.sigmoid(self.fc2(torch.relu(self.fc1(x.mean(space)))))
        return x * weights.reshape(*weights.shape, *(1,) * len(space))


class _VoxelGate(nn.Module):
    """Each voxel times a weight between 0 and 1 that its channels decide."""

    def __init__(self, layers: _Layers, channels: int) -> None:
        super().__init__()
        self.conv = layers.convolution(channels, 1)

    def forward(self, x: Tensor) -> Tensor:
        """Weigh the voxels of ``(batch, channels, *space)``."""
        return x * torch.sigmoid(self.conv(x))


class _Gates(nn.Module):
    """The larger of both."""

    def __init__(self, layers: _Layers, channels: int) -> None:
        super().__init__()
        self.cSE = _ChannelGate(channels)
        self.sSE = _VoxelGate(layers, channels)

    def forward(self, x: Tensor) -> Tensor:
        """Weigh channels and voxels, and return the larger of both."""
        return torch.maximum(self.cSE(x), self.sSE(x))


class _GatedResNetBlock(_ResNetBlock):
    """A residual block, and weights between 0 and 1 for its channels and voxels."""

    def __init__(self, layers: _Layers, before: int, after: int) -> None:
        super().__init__(layers, before, after)
        self.se_module = _Gates(layers, after)

    def forward(self, x: Tensor) -> Tensor:
        """Return the weighed block."""
        output: Tensor = self.se_module(super().forward(x))
        return output


class _Encoder(nn.Module):
    """Pooling, but in the first one, and a block."""

    def __init__(self, pooling: nn.Module | None, block: nn.Module) -> None:
        super().__init__()
        self.pooling = pooling
        self.basic_module = block

    def forward(self, x: Tensor) -> Tensor:
        """Pool, where that is done, and return the block's features."""
        output: Tensor = self.basic_module(x if self.pooling is None else self.pooling(x))
        return output


class _Stretching(nn.Module):
    """A transposed convolution, which gives one voxel less than twice as many, stretched to the size."""

    def __init__(self, conv_transposed: nn.Module) -> None:
        super().__init__()
        self.conv_transposed = conv_transposed

    def forward(self, x: Tensor, size: Sequence[int]) -> Tensor:
        """Return twice as many voxels, or as many as `size` says."""
        return functional.interpolate(self.conv_transposed(x), size=size)


class _Interpolation(nn.Module):
    """Interpolation to the size."""

    def __init__(self, mode: str) -> None:
        super().__init__()
        self.mode = mode

    def forward(self, x: Tensor, size: Sequence[int]) -> Tensor:
        """Return as many voxels as `size` says."""
        return functional.interpolate(x, size=size, mode=self.mode)


class _Upsampling(nn.Module):
    """Up-sampling to the size of what it is joined with."""

    def __init__(self, upsample: nn.Module) -> None:
        super().__init__()
        self.upsample = upsample

    def forward(self, beside: Tensor, x: Tensor) -> Tensor:
        """Return as many voxels as `beside` has."""
        output: Tensor = self.upsample(x, beside.shape[2:])
        return output


class _Decoder(nn.Module):
    """Up-sampling, joining with what lies beside it, and a block."""

    def __init__(self, upsample: nn.Module, block: nn.Module, *, added: bool = False) -> None:
        super().__init__()
        self.upsampling = _Upsampling(upsample)
        self.basic_module = block
        self.added = added

    def forward(self, beside: Tensor, x: Tensor) -> Tensor:
        """Join the coarser features with those beside them, and return the block's."""
        x = self.upsampling(beside, x)
        output: Tensor = self.basic_module(beside + x if self.added else torch.cat((beside, x), dim=1))
        return output


class _OrderedUNet(nn.Module):
    """What both families have in common: their parts, how they follow each other, and the end."""

    def __init__(self, encoders: Sequence[nn.Module], decoders: Sequence[nn.Module], end: nn.Module) -> None:
        super().__init__()
        self.encoders = nn.ModuleList(encoders)
        self.decoders = nn.ModuleList(decoders)
        self.final_conv = end
        self.final_activation: nn.Module = nn.Identity()

    def forward(self, x: Tensor) -> Tensor:
        """``(batch, in_channels, *space)`` to ``(batch, out_channels, *space)``; odd sizes too."""
        skips: list[Tensor] = []
        for encoder in self.encoders:
            x = encoder(x)
            skips.append(x)
        for decoder, skip in zip(self.decoders, skips[-2::-1], strict=True):
            x = decoder(skip, x)
        output: Tensor = self.final_activation(self.final_conv(x))
        return output


class DoubleConvUNet(_OrderedUNet):
    """U-Net of two convolutions a level, as ``UNet3D`` and ``UNet2D`` of pytorch-3dunet.

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
    upsampling : {"nearest", "linear", "area", "deconv"}
        Interpolation, or a transposed convolution stretched by "nearest".
    upscale : {1, 2}
        Whether the first convolution of a level of the encoder gives all features, or half of them.
    dropout : float
        Part that dropout leaves out in training.
    final_activation : {"none", "sigmoid", "softmax"}
        What follows the last convolution, inside the network.

    Raises
    ------
    NetworkError
        If an argument is out of its range, or two do not fit each other.
    """

    def __init__(
        self,
        *,
        ndim: int = 3,
        in_channels: int = 1,
        out_channels: int = 2,
        features: Sequence[int] = (64, 128, 256, 512),
        layer_order: str = "gcr",
        num_groups: int | None = 8,
        kernel: Sizes = 3,
        pool: Sizes = 2,
        upsampling: str = "nearest",
        upscale: int = 2,
        dropout: float = 0.1,
        final_activation: str = "none",
    ) -> None:
        layers, pooling = _checked(ndim, layer_order, num_groups, (kernel, pool), dropout)
        sizes = _levels(features)
        if upscale not in (1, 2):
            raise NetworkError(f"Upscale is 1 or 2 convolutions; got {upscale!r}.")
        deconv = upsampling == "deconv"

        def up(coarse: int, fine: int) -> nn.Module:
            """Return what makes a level as fine as the one beside it."""
            if deconv:
                return _Stretching(layers.transposed(coarse, fine))
            return _Interpolation(_mode(upsampling, ndim))

        def encoder(level: int, before: int, after: int) -> nn.Module:
            """Return a level of the encoder."""
            between = max(after // upscale, before)
            return _Encoder(_pool(pooling, level), _DoubleConv(layers, before, after, between))

        pairs = list(pairwise(sizes[::-1]))
        super().__init__(
            [encoder(level, *pair) for level, pair in enumerate(pairwise((in_channels, *sizes)))],
            [
                _Decoder(
                    up(coarse, fine),
                    _DoubleConv(layers, 2 * fine if deconv else coarse + fine, fine, fine),
                )
                for coarse, fine in pairs
            ],
            layers.convolution(sizes[0], out_channels),
        )
        self.final_activation = _final(final_activation)


class ResidualUNet(_OrderedUNet):
    """U-Net of residual blocks and transposed convolutions, as ``ResidualUNet3D`` of pytorch-3dunet.

    Parameters
    ----------
    ndim, in_channels, out_channels, features, layer_order, num_groups, kernel, pool
        As `DoubleConvUNet` takes them.
    joining : {"sum", "concatenation"}
        How a level of the decoder is joined with that of the encoder.
    squeeze_excitation : bool
        Whether weights for channels and voxels follow each block, as in ``ResidualUNetSE3D``.
    dropout, final_activation
        As `DoubleConvUNet` takes them.

    Raises
    ------
    NetworkError
        If an argument is out of its range, or two do not fit each other.
    """

    def __init__(
        self,
        *,
        ndim: int = 3,
        in_channels: int = 1,
        out_channels: int = 2,
        features: Sequence[int] = (64, 128, 256, 512, 1024),
        layer_order: str = "gcr",
        num_groups: int | None = 8,
        kernel: Sizes = 3,
        pool: Sizes = 2,
        joining: Literal["sum", "concatenation"] = "sum",
        squeeze_excitation: bool = False,
        dropout: float = 0.1,
        final_activation: str = "none",
    ) -> None:
        layers, pooling = _checked(ndim, layer_order, num_groups, (kernel, pool), dropout)
        sizes = _levels(features)
        if joining not in ("sum", "concatenation"):
            raise NetworkError(f"Levels are joined by sum or concatenation; got {joining!r}.")
        added = joining == "sum"
        block = _GatedResNetBlock if squeeze_excitation else _ResNetBlock
        super().__init__(
            [
                _Encoder(_pool(pooling, level), block(layers, *pair))
                for level, pair in enumerate(pairwise((in_channels, *sizes)))
            ],
            [
                _Decoder(
                    _Stretching(layers.transposed(coarse, fine)),
                    block(layers, fine if added else 2 * fine, fine),
                    added=added,
                )
                for coarse, fine in pairwise(sizes[::-1])
            ],
            layers.convolution(sizes[0], out_channels),
        )
        self.final_activation = _final(final_activation)


def _checked(
    ndim: int, order: str, groups: int | None, sizes: tuple[Sizes, Sizes], dropout: float
) -> tuple[_Layers, Callable[[], nn.Module]]:
    """Return what all convolutions have in common, and what makes a pooling."""
    if ndim not in CONVOLUTIONS:
        raise NetworkError(f"A U-Net has 1, 2 or 3 spatial axes; got ndim {ndim}.")
    kernel, pool = (_spread(each, ndim) for each in sizes)
    if any(size > _KERNEL or size % 2 == 0 for size in kernel):
        raise NetworkError(
            f"A kernel is an odd number of voxels up to {_KERNEL}; got {as_typed(tuple(kernel))}."
        )
    if max(pool) > _POOL:
        raise NetworkError(f"Pooling takes 1 to {_POOL} voxels; got {as_typed(tuple(pool))}.")
    return _Layers(ndim, order, groups, kernel, dropout), lambda: _POOLS[ndim](pool)


def _spread(value: Sizes, ndim: int) -> tuple[int, ...]:
    found = (value,) * ndim if isinstance(value, int) else tuple(value)
    if len(found) != ndim or not all(type(size) is int and size > 0 for size in found):
        raise NetworkError(f"A size is a number of voxels, or one for each of {ndim} axes; got {value!r}.")
    return found


def _levels(features: Sequence[int]) -> tuple[int, ...]:
    sizes = tuple(features)
    if len(sizes) < 2 or not all(type(size) is int and size > 0 for size in sizes):
        raise NetworkError(
            f"A U-Net needs two levels and one feature a level at least; got {as_typed(sizes)}."
        )
    return sizes


def _pool(make: Callable[[], nn.Module], level: int) -> nn.Module | None:
    return make() if level else None


def _mode(upsampling: str, ndim: int) -> str:
    modes = {"nearest": "nearest", "linear": _LINEAR[ndim], "area": "area"}
    if upsampling not in modes:
        raise NetworkError(f"Up-sampling is one of {', '.join(modes)}, deconv; got {upsampling!r}.")
    return modes[upsampling]


def _final(name: str) -> nn.Module:
    if name not in _FINAL:
        raise NetworkError(f"A final activation is one of {', '.join(_FINAL)}; got {name!r}.")
    return _FINAL[name]()
