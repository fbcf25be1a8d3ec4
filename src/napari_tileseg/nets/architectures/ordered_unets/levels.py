"""Levels of encoder and decoder, and how they follow each other."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional


class Encoder(nn.Module):
    """Pooling, but in the first one, and a block."""

    def __init__(self, pooling: nn.Module | None, block: nn.Module) -> None:
        super().__init__()
        self.pooling = pooling
        self.basic_module = block

    def forward(self, x: Tensor) -> Tensor:
        """Pool, where that is done, and return the block's features."""
        output: Tensor = self.basic_module(x if self.pooling is None else self.pooling(x))
        return output


class Stretching(nn.Module):
    """A transposed convolution, which gives one voxel less than twice as many, stretched to the size."""

    def __init__(self, conv_transposed: nn.Module) -> None:
        super().__init__()
        self.conv_transposed = conv_transposed

    def forward(self, x: Tensor, size: Sequence[int]) -> Tensor:
        """Return twice as many voxels, or as many as `size` says."""
        return functional.interpolate(self.conv_transposed(x), size=size)


class Interpolation(nn.Module):
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


class Decoder(nn.Module):
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


class OrderedUNet(nn.Module):
    """Encoders, decoders that each take what lies beside them, and the end."""

    def __init__(
        self,
        encoders: Sequence[nn.Module],
        decoders: Sequence[nn.Module],
        end: nn.Module,
        activation: nn.Module,
    ) -> None:
        super().__init__()
        self.encoders = nn.ModuleList(encoders)
        self.decoders = nn.ModuleList(decoders)
        self.final_conv = end
        self.final_activation = activation

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
