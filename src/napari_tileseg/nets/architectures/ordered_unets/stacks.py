"""A convolution and what lies around it, in an order that letters state."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from torch import nn

from napari_tileseg.errors import NetworkError
from napari_tileseg.nets.architectures.unet import CONVOLUTIONS, TRANSPOSED
from napari_tileseg.nets.norm_layers import make_norm

_CHANNEL_DROPOUT: dict[int, Callable[[float], nn.Module]] = {
    1: nn.Dropout1d,
    2: nn.Dropout2d,
    3: nn.Dropout3d,
}
#: What makes a nonlinearity, by its letter; told whether it may write into what it is given.
NONLINEARITIES: dict[str, Callable[[bool], nn.Module]] = {
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


@dataclass(frozen=True, slots=True)
class Layers:
    """What all convolutions of a network have in common.

    Parameters
    ----------
    ndim : int
        Spatial axes.
    order : str
        Letters of `LETTERS`, in the order of the layers.
    groups : int, optional
        Of GroupNorm.
    kernel : tuple of int
        Voxels of a convolution along each axis.
    dropout : float
        Part that is left out, from 0 to below 1.

    Raises
    ------
    NetworkError
        If one of them is out of its range.
    """

    ndim: int
    order: str
    groups: int | None
    kernel: tuple[int, ...]
    dropout: float

    def __post_init__(self) -> None:
        order = self.order
        letters = isinstance(order, str) and set(order) <= LETTERS.keys() and len(set(order)) == len(order)
        if not letters or "c" not in order or order[0] in NONLINEARITIES:
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
        if letter in NONLINEARITIES:
            # What came in is not to be written into, and dropout passes it on as it is.
            return NONLINEARITIES[letter](order[0] not in "dD")
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
