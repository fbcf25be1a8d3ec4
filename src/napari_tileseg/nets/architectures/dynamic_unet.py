"""U-Nets of strided convolutions whose stages have sizes of their own, plain and with residual encoders.

These are the families that nnU-Net trains (Isensee et al. 2021, arXiv 1904.08128; 2024, arXiv 2404.09556).
Their weights go by the names that they have there, so that trained ones fit.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise
from math import prod
from typing import Any, TypeAlias

import torch
from torch import Tensor, nn

from napari_tileseg._words import as_typed
from napari_tileseg.errors import NetworkError
from napari_tileseg.nets.architectures.unet import CONVOLUTIONS, TRANSPOSED
from napari_tileseg.nets.norm_layers import make_norm

_POOLS: dict[int, type[nn.AvgPool1d | nn.AvgPool2d | nn.AvgPool3d]] = {
    1: nn.AvgPool1d,
    2: nn.AvgPool2d,
    3: nn.AvgPool3d,
}
_NONLINEARITIES: dict[str, Callable[[float], nn.Module]] = {
    "leaky_relu": lambda slope: nn.LeakyReLU(slope, inplace=True),
    "relu": lambda _: nn.ReLU(inplace=True),
    "elu": lambda _: nn.ELU(inplace=True),
    "gelu": lambda _: nn.GELU(),
    "silu": lambda _: nn.SiLU(inplace=True),
}
#: Nonlinearities by name.
NONLINEARITIES: tuple[str, ...] = tuple(_NONLINEARITIES)
#: Largest kernel and stride of a stage, and of all strides along an axis.
_KERNEL, _STRIDE, _TOTAL = 63, 16, 1024
#: One number for all stages or axes, or one for each.
Sizes: TypeAlias = int | Sequence[int | Sequence[int]]


@dataclass(frozen=True, slots=True)
class _Layers:
    """What all convolutions of a network have in common."""

    ndim: int
    bias: bool
    norm: str
    eps: float
    nonlinearity: str
    slope: float

    def __post_init__(self) -> None:
        if self.ndim not in CONVOLUTIONS:
            raise NetworkError(f"A U-Net has 1, 2 or 3 spatial axes; got ndim {self.ndim}.")
        if self.nonlinearity not in _NONLINEARITIES:
            raise NetworkError(
                f"A nonlinearity is one of {', '.join(NONLINEARITIES)}; got {self.nonlinearity!r}."
            )

    def convolution(self, *sizes: Any, transposed: bool = False, **more: Any) -> nn.Module:
        """Return a convolution over the axes of space."""
        # PyTorch's own types tell tuples apart by their length.
        make: Callable[..., nn.Module] = (TRANSPOSED if transposed else CONVOLUTIONS)[self.ndim]
        return make(*sizes, **more)

    def pool(self, stride: Sequence[int]) -> nn.Module:
        """Return the mean over windows as large as the stride."""
        make: Callable[..., nn.Module] = _POOLS[self.ndim]
        return make(tuple(stride), tuple(stride))

    def activate(self) -> nn.Module:
        """Return the nonlinearity."""
        return _NONLINEARITIES[self.nonlinearity](self.slope)

    def norm_of(self, channels: int) -> nn.Module:
        """Return a normalization layer."""
        layer = make_norm(self.norm, channels, self.ndim)
        if hasattr(layer, "eps"):
            setattr(layer, "eps", self.eps)  # noqa: B010 - a module's attributes are tensors to the types
        return layer


class _Block(nn.Module):
    """Convolution, normalization and, where it is not left to what follows, nonlinearity."""

    def __init__(
        self,
        layers: _Layers,
        before: int,
        after: int,
        kernel: Sequence[int],
        stride: Sequence[int] = (1,),
        *,
        bias: bool | None = None,
        activated: bool = True,
    ) -> None:
        super().__init__()
        self.conv = layers.convolution(
            before,
            after,
            tuple(kernel),
            tuple(stride) if len(stride) == layers.ndim else (*stride,) * layers.ndim,
            padding=tuple(size // 2 for size in kernel),
            bias=layers.bias if bias is None else bias,
        )
        self.norm = layers.norm_of(after)
        self.nonlin = layers.activate() if activated else nn.Identity()

    def forward(self, x: Tensor) -> Tensor:
        """Run all three."""
        output: Tensor = self.nonlin(self.norm(self.conv(x)))
        return output


class _Stack(nn.Module):
    """Blocks one after the other; the first of them strides."""

    def __init__(
        self, layers: _Layers, channels: Sequence[int], kernel: Sequence[int], stride: Sequence[int]
    ) -> None:
        super().__init__()
        self.convs = nn.Sequential(
            *(
                _Block(layers, before, after, kernel, (1,) if number else stride)
                for number, (before, after) in enumerate(pairwise(channels))
            )
        )

    def forward(self, x: Tensor) -> Tensor:
        """Run all blocks."""
        output: Tensor = self.convs(x)
        return output


class _Residual(nn.Module):
    """Two convolutions, and beside them what came in: pooled where they stride, widened where they do."""

    def __init__(
        self, layers: _Layers, before: int, after: int, kernel: Sequence[int], stride: Sequence[int]
    ) -> None:
        super().__init__()
        self.conv1 = _Block(layers, before, after, kernel, stride)
        self.conv2 = _Block(layers, after, after, kernel, activated=False)
        beside: list[nn.Module] = []
        if prod(stride) > 1:
            beside.append(layers.pool(stride))
        if before != after:
            beside.append(_Block(layers, before, after, (1,) * layers.ndim, bias=False, activated=False))
        self.skip = nn.Sequential(*beside)
        self.nonlin2 = layers.activate()

    def forward(self, x: Tensor) -> Tensor:
        """Add what two convolutions make of the input to the input."""
        output: Tensor = self.nonlin2(self.conv2(self.conv1(x)) + self.skip(x))
        return output


class _Residuals(nn.Module):
    """Residual blocks one after the other; the first of them strides."""

    def __init__(
        self, layers: _Layers, channels: Sequence[int], kernel: Sequence[int], stride: Sequence[int]
    ) -> None:
        super().__init__()
        still = (1,) * layers.ndim
        self.blocks = nn.Sequential(
            *(
                _Residual(layers, before, after, kernel, still if number else stride)
                for number, (before, after) in enumerate(pairwise(channels))
            )
        )

    def forward(self, x: Tensor) -> Tensor:
        """Run all blocks."""
        output: Tensor = self.blocks(x)
        return output


class _Encoder(nn.Module):
    """Stages, each with its features for the decoder."""

    def __init__(self, stages: Sequence[nn.Module], stem: nn.Module | None = None) -> None:
        super().__init__()
        self.stem = stem
        self.stages = nn.Sequential(*stages)

    def forward(self, x: Tensor) -> list[Tensor]:
        """Return the features of all stages, from the finest."""
        x = x if self.stem is None else self.stem(x)
        found = []
        for stage in self.stages:
            x = stage(x)
            found.append(x)
        return found


class _Decoder(nn.Module):
    """Transposed convolution, skip and blocks, stage by stage, and an output for each.

    Outputs of the coarser stages are there for deep supervision, and for their weights; the last is given.
    """

    def __init__(self, layers: _Layers, plan: _Plan, blocks: Sequence[int], out_channels: int) -> None:
        super().__init__()
        pairs = list(pairwise(plan.features[::-1]))
        self.stages = nn.ModuleList(
            _Stack(layers, (2 * fine, *(fine,) * count), kernel, (1,))
            for (_, fine), kernel, count in zip(pairs, plan.kernels[-2::-1], blocks, strict=True)
        )
        self.transpconvs = nn.ModuleList(
            layers.convolution(coarse, fine, stride, stride, bias=layers.bias, transposed=True)
            for (coarse, fine), stride in zip(pairs, plan.strides[:0:-1], strict=True)
        )
        self.seg_layers = nn.ModuleList(layers.convolution(fine, out_channels, 1) for _, fine in pairs)

    def forward(self, skips: list[Tensor]) -> Tensor:
        """Return the finest output, given the features of all stages of the encoder."""
        x = skips[-1]
        for upsample, stage, skip in zip(self.transpconvs, self.stages, skips[-2::-1], strict=True):
            x = stage(torch.cat((upsample(x), skip), dim=1))
        output: Tensor = self.seg_layers[-1](x)
        return output


@dataclass(frozen=True, slots=True)
class _Plan:
    """Features, kernel and stride of each stage, checked against each other."""

    features: tuple[int, ...]
    kernels: tuple[tuple[int, ...], ...]
    strides: tuple[tuple[int, ...], ...]

    def __post_init__(self) -> None:
        if len(self.features) < 2 or min(self.features) < 1:
            raise NetworkError(
                f"A U-Net needs two stages and one feature a stage at least; got {as_typed(self.features)}."
            )
        if any(size < 1 or size > _KERNEL or size % 2 == 0 for kernel in self.kernels for size in kernel):
            raise NetworkError(f"A kernel is an odd number of voxels up to {_KERNEL}; got {self.kernels}.")
        along = [prod(stride[axis] for stride in self.strides) for axis in range(len(self.strides[0]))]
        if any(not 1 <= step <= _STRIDE for stride in self.strides for step in stride) or max(along) > _TOTAL:
            raise NetworkError(
                f"A stride is 1 to {_STRIDE} voxels in a stage and {_TOTAL} in all; got {self.strides}."
            )
        if prod(self.strides[0]) != 1:
            raise NetworkError(
                f"The first stage keeps the size of the image; got a stride of {self.strides[0]} there."
            )

    def stages(self, blocks: Sequence[int], first: int) -> Iterator[tuple[tuple[int, ...], ...]]:
        """Yield channels from block to block, kernel and stride of each stage."""
        before = (first, *self.features)
        for number, kernel in enumerate(self.kernels):
            channels = (before[number], *(self.features[number],) * blocks[number])
            yield channels, kernel, self.strides[number]


def _plan(ndim: int, features: Sequence[int], kernels: Sizes, strides: Sizes) -> _Plan:
    stages = len(features)
    each = [_spread(value, stages, "stage") for value in (kernels, strides)]
    found = [tuple(tuple(_spread(size, ndim, "axis")) for size in sizes) for sizes in each]
    return _Plan(tuple(features), found[0], found[1])


def _spread(value: object, count: int, what: str) -> Sequence[int]:
    """Return a number as often as it is needed, or one for each."""
    if isinstance(value, int):
        return (value,) * count
    if not isinstance(value, (list, tuple)) or len(value) != count:
        raise NetworkError(f"A U-Net needs {count} sizes, one for each {what}; got {as_typed(value)}.")
    return value


def _counts(value: int | Sequence[int], stages: int) -> Sequence[int]:
    found = _spread(value, stages, "stage")
    if not all(isinstance(count, int) and count >= 1 for count in found):
        raise NetworkError(f"A stage of a U-Net has one block at least; got {as_typed(tuple(found))}.")
    return found


class DynamicUNet(nn.Module):
    """U-Net of an encoder that gives the features of all stages, and a decoder that takes them."""

    def __init__(self, encoder: _Encoder, decoder: _Decoder) -> None:
        super().__init__()
        self.encoder, self.decoder = encoder, decoder

    def forward(self, x: Tensor) -> Tensor:
        """``(batch, in_channels, *space)``, multiples of the stride, to ``(batch, out_channels, *space)``."""
        output: Tensor = self.decoder(self.encoder(x))
        return output


@dataclass(frozen=True, kw_only=True)
class _Design:
    """What both families are told.

    Parameters
    ----------
    ndim : int
        Spatial axes: 1, 2 or 3.
    in_channels, out_channels : int
        Channels in and out. The output is not activated.
    features : sequence of int
        Features of each stage, from the finest.
    kernels, strides : int, or sequence of int or of sequences of int
        Voxels for all stages, for each of them, or for each of them along each axis; kernels are odd, and the
        first stride is 1.
    blocks : int or sequence of int
        Blocks of each stage of the encoder: convolutions, or residual blocks of two.
    decoder_blocks : int or sequence of int
        Convolutions of each stage of the decoder, from the coarsest.
    bias : bool
        Whether convolutions have a bias.
    norm : str
        Normalization, a name of `napari_tileseg.nets.norm_layers.NORMS`.
    eps : float
        Added to its variance.
    nonlinearity : {"leaky_relu", "relu", "elu", "gelu", "silu"}
        What follows each normalization.
    slope : float
        Of "leaky_relu", for what is below 0.

    Raises
    ------
    NetworkError
        When it is built, if an argument is out of its range, or two do not fit each other.
    """

    ndim: int = 3
    in_channels: int = 1
    out_channels: int = 2
    features: Sequence[int] = (32, 64, 128, 256, 320)
    kernels: Sizes = 3
    strides: Sizes = (1, 2, 2, 2, 2)
    blocks: int | Sequence[int] = 2
    decoder_blocks: int | Sequence[int] = 2
    bias: bool = True
    norm: str = "instance"
    eps: float = 1e-5
    nonlinearity: str = "leaky_relu"
    slope: float = 0.01

    def build(self) -> nn.Module:
        """Return it with fresh weights."""
        layers = _Layers(self.ndim, self.bias, self.norm, self.eps, self.nonlinearity, self.slope)
        plan = _plan(self.ndim, self.features, self.kernels, self.strides)
        encoder = self._encoder(layers, plan, _counts(self.blocks, len(self.features)))
        counts = _counts(self.decoder_blocks, len(self.features) - 1)
        return DynamicUNet(encoder, _Decoder(layers, plan, counts, self.out_channels))

    def _encoder(self, layers: _Layers, plan: _Plan, blocks: Sequence[int]) -> _Encoder:
        raise NotImplementedError


@dataclass(frozen=True, kw_only=True)
class PlainConvUNet(_Design):
    """U-Net whose encoder strides by convolutions."""

    def _encoder(self, layers: _Layers, plan: _Plan, blocks: Sequence[int]) -> _Encoder:
        stages = plan.stages(blocks, self.in_channels)
        # Named as if other layers lay beside each stack.
        return _Encoder([nn.Sequential(_Stack(layers, *stage)) for stage in stages])


@dataclass(frozen=True, kw_only=True)
class ResidualEncoderUNet(_Design):
    """U-Net whose encoder is a residual network: a stem, then stages of residual blocks.

    Parameters
    ----------
    stem : int, optional
        Features of the stem; as many as the first stage has by default.
    """

    blocks: int | Sequence[int] = (1, 3, 4, 6, 6)
    decoder_blocks: int | Sequence[int] = 1
    stem: int | None = None

    def _encoder(self, layers: _Layers, plan: _Plan, blocks: Sequence[int]) -> _Encoder:
        first = self.stem or plan.features[0]
        return _Encoder(
            [_Residuals(layers, *stage) for stage in plan.stages(blocks, first)],
            _Stack(layers, (self.in_channels, first), plan.kernels[0], (1,)),
        )
