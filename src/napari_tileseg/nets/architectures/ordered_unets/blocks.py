"""Blocks of a level: two convolutions, or a residual block, with gates or without."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from napari_tileseg.nets.architectures.ordered_unets.stacks import NONLINEARITIES, Layers

#: Slope below 0 of what follows the sum of a residual block.
_SLOPE = 0.1


class DoubleConv(nn.Sequential):
    """Two convolutions; what an encoder's first one gives is half of the second's."""

    def __init__(self, layers: Layers, before: int, after: int, between: int) -> None:
        super().__init__()
        self.SingleConv1 = layers.stack(before, between)
        self.SingleConv2 = layers.stack(between, after)


class ResNetBlock(nn.Module):
    """One convolution of single voxels, then two whose result is added to what they were given."""

    def __init__(self, layers: Layers, before: int, after: int) -> None:
        super().__init__()
        self.conv1 = nn.Identity() if before == after else layers.convolution(before, after)
        self.conv2 = layers.stack(after, after)
        self.conv3 = layers.stack(after, after, left_out="".join(NONLINEARITIES))
        self.non_linearity: nn.Module
        if "l" in layers.order:
            self.non_linearity = nn.LeakyReLU(_SLOPE, inplace=True)
        else:
            self.non_linearity = NONLINEARITIES["e" if "e" in layers.order else "r"](True)

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

    def __init__(self, layers: Layers, channels: int) -> None:
        super().__init__()
        self.conv = layers.convolution(channels, 1)

    def forward(self, x: Tensor) -> Tensor:
        """Weigh the voxels of ``(batch, channels, *space)``."""
        return x * torch.sigmoid(self.conv(x))


class _Gates(nn.Module):
    """The larger of both."""

    def __init__(self, layers: Layers, channels: int) -> None:
        super().__init__()
        self.cSE = _ChannelGate(channels)
        self.sSE = _VoxelGate(layers, channels)

    def forward(self, x: Tensor) -> Tensor:
        """Weigh channels and voxels, and return the larger of both."""
        return torch.maximum(self.cSE(x), self.sSE(x))


class GatedResNetBlock(ResNetBlock):
    """A residual block, and weights between 0 and 1 for its channels and voxels."""

    def __init__(self, layers: Layers, before: int, after: int) -> None:
        super().__init__(layers, before, after)
        self.se_module = _Gates(layers, after)

    def forward(self, x: Tensor) -> Tensor:
        """Return the weighed block."""
        output: Tensor = self.se_module(super().forward(x))
        return output
