"""Several networks, or mirrored copies of one, as a single network: the mean of what they give."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from itertools import combinations
from typing import Any

from torch import Tensor, nn

from napari_tileseg._words import as_typed
from napari_tileseg.errors import NetworkError
from napari_tileseg.nets.architectures.orientation import oriented

#: Networks that an ensemble has at most.
_MOST = 32


class MeanOfLogits(nn.Module):
    """Mean of what several networks give for the same input, before any activation.

    Parameters
    ----------
    members : sequence of torch.nn.Module
        Networks of the same channels in and out.
    """

    def __init__(self, members: Sequence[nn.Module]) -> None:
        super().__init__()
        self.members = nn.ModuleList(members)

    def forward(self, x: Tensor) -> Tensor:
        """``(batch, in_channels, *space)`` to ``(batch, out_channels, *space)``."""
        outputs = [member(x) for member in self.members]
        total: Tensor = sum(outputs[1:], outputs[0])
        return total / len(outputs)


class Mirrored(nn.Module):
    """Mean of what a network gives for its input and for all mirrored copies of it, each mirrored back.

    Parameters
    ----------
    network : torch.nn.Module
        Run ``2 ** len(axes)`` times.
    axes : sequence of int
        Axes of space, from 0 on, to mirror alone and together.
    """

    def __init__(self, network: nn.Module, axes: Sequence[int]) -> None:
        super().__init__()
        self.network, self.axes = network, tuple(axes)

    def forward(self, x: Tensor) -> Tensor:
        """``(batch, in_channels, *space)`` to ``(batch, out_channels, *space)``."""
        total: Tensor = self.network(x)
        for flips in self._copies():
            total = total + self.network(x.flip(flips)).flip(flips)
        return total / (1 << len(self.axes))

    def _copies(self) -> Iterator[list[int]]:
        for count in range(1, len(self.axes) + 1):
            for chosen in combinations(self.axes, count):
                yield [axis + 2 for axis in chosen]


def ensemble(
    *,
    architecture: str,
    arguments: Mapping[str, Any],
    members: int = 1,
    mirrored: Sequence[int] = (),
    order: Sequence[int] | None = None,
) -> nn.Module:
    """Build networks of one architecture as one: their mean, over mirrored copies, in an order of axes.

    Parameters
    ----------
    architecture : str
        Registered name of each network.
    arguments : mapping
        Its arguments.
    members : int
        Networks, 1 to 32.
    mirrored : sequence of int
        The networks' own axes along which copies are mirrored.
    order : sequence of int, optional
        Which axis of the input each of the networks' own axes is; a network of two axes gets planes along the
        first of three.

    Raises
    ------
    NetworkError
        If an argument is out of its range.
    """
    # Imported late: the registry builds ensembles, too.
    from napari_tileseg.nets.architectures import registry

    if architecture == "ensemble":
        raise NetworkError("An ensemble is one of networks, not of ensembles. Name their architecture.")
    if not isinstance(members, int) or not 1 <= members <= _MOST:
        raise NetworkError(f"An ensemble has 1 to {_MOST} networks; got {members}.")
    ndim = registry.signature(architecture, arguments).ndim
    axes = tuple(mirrored)
    if len(set(axes)) != len(axes) or not set(axes) <= set(range(ndim)):
        raise NetworkError(f"Axes to mirror are numbers of {ndim} axes, from 0 on; got {as_typed(axes)}.")
    networks = [registry.build(architecture, **arguments) for _ in range(members)]
    network: nn.Module = networks[0] if members == 1 else MeanOfLogits(networks)
    if axes:
        network = Mirrored(network, axes)
    return network if order is None else oriented(network, ndim, order)
