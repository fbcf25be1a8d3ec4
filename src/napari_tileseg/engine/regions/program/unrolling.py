"""Convolving an image of one channel as one of several, which processors do faster."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any, final

import torch
from torch import Tensor

from napari_tileseg._types import Shape
from napari_tileseg.engine.regions.program.bound import Bound
from napari_tileseg.graphs.operations.convolve import convolve
from napari_tileseg.graphs.operations.operation import Need, Operation, fit
from napari_tileseg.graphs.operations.windows import Convolution
from napari_tileseg.tiling import Box


@final
@dataclass(frozen=True, slots=True)
class Unrolled(Operation):
    """Convolution of one channel, with the taps of the last axis as channels.

    A kernel that finds one number in each voxel has little to do at once; with three or more side by side the
    same sums took half the time, and the result comes with its channels last.

    Parameters
    ----------
    convolution : Convolution
        What it computes. Its weight has been unrolled, too.
    """

    convolution: Convolution

    def need(self, box: Box, sources: Sequence[Shape], whole: Shape) -> Need:
        """See `Operation.need`."""
        return self.convolution.need(box, sources, whole)

    def run(self, values: Sequence[Tensor], weights: Sequence[Tensor], place: Any, *, reuse: bool) -> Tensor:
        """See `Operation.run`."""
        del reuse
        window = self.convolution.window
        value = fit(values[0], place)
        taps, stride, apart = window.size[-1], window.stride[-1], window.dilation[-1]
        length = (value.shape[-1] - (taps - 1) * apart - 1) // stride + 1
        last = [value[..., i * apart : i * apart + (length - 1) * stride + 1 : stride] for i in range(taps)]
        beside = torch.cat(last, dim=1)
        nothing = (0,) * len(window.size)
        bias = self.convolution.bias(weights)
        steps, distances = (*window.stride[:-1], 1), (*window.dilation[:-1], 1)
        return convolve(beside, weights[0], bias, steps, nothing, distances, 1)

    def flops(self, produced: int, taken: int) -> int:
        """See `Operation.flops`."""
        return self.convolution.flops(produced, taken)


def unrolled(nodes: Sequence[Bound], channels: int) -> tuple[Bound, ...]:
    """Return nodes in which convolutions of an image of one channel are unrolled."""
    return tuple(_unrolled(node) if channels == 1 and node.inputs == (0,) else node for node in nodes)


def _unrolled(node: Bound) -> Bound:
    if not isinstance(node.operation, Convolution) or node.operation.window.size[-1] == 1:
        return node
    weight = node.weights[0].movedim(-1, 1).squeeze(2).unsqueeze(-1)
    return replace(node, operation=Unrolled(node.operation), weights=(weight, *node.weights[1:]))
