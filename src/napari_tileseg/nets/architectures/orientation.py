"""A network whose axes lie in another order than those of images here, or run the other way, turned."""

from __future__ import annotations

from collections.abc import Sequence

from torch import Tensor, nn

from napari_tileseg._words import as_typed
from napari_tileseg.errors import NetworkError


class Reordered(nn.Module):
    """A network that is given the axes of space in another order, and its output brought back.

    Parameters
    ----------
    network : torch.nn.Module
        Any network.
    order : sequence of int
        Which axis of the input, from 0 on, each of the network's own axes is.
    """

    def __init__(self, network: nn.Module, order: Sequence[int]) -> None:
        super().__init__()
        self.network = network
        self.there = (0, 1, *(axis + 2 for axis in order))
        self.back = tuple(self.there.index(axis) for axis in range(len(self.there)))

    def forward(self, x: Tensor) -> Tensor:
        """``(batch, in_channels, *space)`` to ``(batch, out_channels, *space)``."""
        output: Tensor = self.network(x.permute(self.there)).permute(self.back)
        return output


class Flipped(nn.Module):
    """A network that is given some axes of space the other way round, and its output brought back.

    Parameters
    ----------
    network : torch.nn.Module
        Any network.
    axes : sequence of int
        Its axes of space, from 0 on, that run against those of the input.
    """

    def __init__(self, network: nn.Module, axes: Sequence[int]) -> None:
        super().__init__()
        self.network, self.axes = network, tuple(axes)

    def forward(self, x: Tensor) -> Tensor:
        """``(batch, in_channels, *space)`` to ``(batch, out_channels, *space)``."""
        turned = [axis + 2 for axis in self.axes]
        output: Tensor = self.network(x.flip(turned)).flip(turned)
        return output


class Planes(nn.Module):
    """A network of two axes on each plane of a volume.

    Parameters
    ----------
    network : torch.nn.Module
        Of two axes.
    """

    def __init__(self, network: nn.Module) -> None:
        super().__init__()
        self.network = network

    def forward(self, x: Tensor) -> Tensor:
        """``(batch, in_channels, planes, *plane)`` to ``(batch, out_channels, planes, *plane)``."""
        batch, count = x.shape[0], x.shape[2]
        output: Tensor = self.network(x.transpose(1, 2).flatten(0, 1))
        return output.reshape(batch, count, *output.shape[1:]).transpose(1, 2)


def axes_of_order(ndim: int, order: Sequence[int]) -> int:
    """Return the axes of the input of a network of `ndim` axes in an order.

    Raises
    ------
    NetworkError
        If the order is none of these axes, or of three for planes.
    """
    found = tuple(order)
    if len(found) not in ({ndim, 3} if ndim == 2 else {ndim}) or sorted(found) != list(range(len(found))):
        raise NetworkError(
            f"The order of a network's {ndim} axes names each axis of the input once, from 0 on; got "
            f"{as_typed(found)}."
        )
    return len(found)


def check_axes(axes: Sequence[int], ndim: int, what: str) -> None:
    """Raise `NetworkError` unless axes are different numbers of `ndim` axes; `what` is done along them."""
    if len(set(axes)) != len(axes) or not set(axes) <= set(range(ndim)):
        raise NetworkError(f"Axes to {what} are numbers of {ndim} axes, from 0 on; got {as_typed(axes)}.")


def oriented(network: nn.Module, ndim: int, order: Sequence[int], flipped: Sequence[int] = ()) -> nn.Module:
    """Return a network of `ndim` axes that takes its input with axes in another order, or reversed.

    Parameters
    ----------
    network : torch.nn.Module
        The network.
    ndim : int
        Its axes of space.
    order : sequence of int
        Which axis of the input each of its own axes is. A network of two axes may have an order of three:
        it is given the planes along the first of them.
    flipped : sequence of int
        Its own axes that run against those of the input.

    Raises
    ------
    NetworkError
        If the order does not fit, or there are no such axes.
    """
    axes = axes_of_order(ndim, order)
    check_axes(flipped, ndim, "flip")
    along = Flipped(network, flipped) if flipped else network
    whole = Planes(along) if axes > ndim else along
    return whole if tuple(order) == tuple(range(axes)) else Reordered(whole, order)
