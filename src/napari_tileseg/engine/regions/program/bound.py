"""An operation of a network with its weights."""

from __future__ import annotations

from dataclasses import dataclass

from torch import Tensor

from napari_tileseg.graphs.operations.operation import Operation


@dataclass(frozen=True, slots=True, eq=False)
class Bound:
    """An operation with its weights, and the feature maps it takes.

    Parameters
    ----------
    operation : Operation
        What it computes.
    inputs : tuple of int
        As in `Node`.
    weights : tuple of Tensor
        As the network holds them, or where and as they are computed with; none once they are on a device.
    channels : int
        Channels of the result.
    number : int
        The node's number in the graph, for the shape of its whole.
    """

    operation: Operation
    inputs: tuple[int, ...]
    weights: tuple[Tensor, ...]
    channels: int
    number: int
