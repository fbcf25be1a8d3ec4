"""Convolution by the faster one of the libraries that torch computes it with."""

from __future__ import annotations

from math import prod
from typing import Any

import torch
from torch import Tensor

from napari_tileseg._types import Shape

#: Products of a value and a weight from which on oneDNN is worth beginning with, which takes about 0.1 ms.
_WORTH = 2**20
_VOLUME = 5


def convolve(
    value: Tensor,
    weight: Tensor,
    bias: Tensor | None,
    stride: Shape,
    padding: Shape,
    dilation: Shape,
    groups: int,
) -> Tensor:
    """Return what `torch.convolution` does, not transposed.

    On a processor torch convolves a volume by oneDNN only where channels times planes times rows are more
    than 20,480. Slabs of few planes and coarse feature maps are less, and its own code for them was seen to
    take up to fifteen times the time. So they are given to oneDNN here, but for the smallest.

    Parameters
    ----------
    value : Tensor
        ``(batch, channels, *space)``.
    weight : Tensor
        ``(out_channels, channels / groups, *kernel)``.
    bias : Tensor or None
        ``(out_channels,)``.
    stride, padding, dilation : tuple of int
        For each spatial axis.
    groups : int
        Groups of channels.
    """
    if _is_for_onednn(value, weight, stride):
        found: Tensor = torch.mkldnn_convolution(value, weight, bias, padding, stride, dilation, groups)
        return found
    nothing = (0,) * len(stride)
    return torch.convolution(value, weight, bias, stride, padding, dilation, False, nothing, groups)


def _is_for_onednn(value: Tensor, weight: Tensor, stride: Shape) -> bool:
    if value.ndim != _VOLUME or value.dtype != torch.float32 or value.device.type != "cpu":
        return False
    if value[:, 0].numel() * weight.numel() // prod(stride) < _WORTH:
        return False
    backend: Any = torch.backends.mkldnn
    return bool(backend.enabled and backend.is_available())
