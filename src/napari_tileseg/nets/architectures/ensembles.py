"""Several networks, or mirrored copies of one, as a single network: the mean of what they give."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from itertools import combinations
from typing import Any

from torch import Tensor, nn

from napari_tileseg.errors import NetworkError
from napari_tileseg.nets.architectures.orientation import Flipped, Planes, Reordered, check_axes, oriented
from napari_tileseg.nets.spec import Geometry

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
    flipped: Sequence[int] = (),
) -> nn.Module:
    """Build networks of one architecture as one: their mean, over mirrored copies, with axes turned.

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
    flipped : sequence of int
        The networks' own axes that run against those of the input.

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
    check_axes(axes, ndim, "mirror")
    networks = [registry.build(architecture, **arguments) for _ in range(members)]
    network: nn.Module = networks[0] if members == 1 else MeanOfLogits(networks)
    if axes:
        network = Mirrored(network, axes)
    return oriented(network, ndim, range(ndim) if order is None else order, tuple(flipped))


def networks_in(module: nn.Module) -> dict[str, nn.Module]:
    """Return the networks of an ensemble, which differ in their weights alone, by their paths in it."""
    path = ""
    while isinstance(module, (Mirrored, Reordered, Flipped, Planes)):
        module, path = module.network, f"{path}network."
    if isinstance(module, MeanOfLogits):
        return {f"{path}members.{number}": member for number, member in enumerate(module.members)}
    return {path.rstrip("."): module}


def runs_in(module: nn.Module) -> int:
    """Return how often the networks of an ensemble are run, all together; 1 for any other network."""
    copies = (1 << len(each.axes) for each in module.modules() if isinstance(each, Mirrored))
    return len(networks_in(module)) * next(copies, 1)


def geometry_in(module: nn.Module, found: Geometry) -> Geometry:
    """Return the geometry of an ensemble, from that of each of its networks."""
    if isinstance(module, Mirrored):
        return _mirrored(geometry_in(module.network, found), module.axes)
    if isinstance(module, Flipped):
        return _turned(geometry_in(module.network, found), module.axes)
    if isinstance(module, Planes):
        return _stacked(geometry_in(module.network, found))
    if isinstance(module, Reordered):
        # Which of the network's own axes each axis of the input is.
        return _taken(geometry_in(module.network, found), [axis - 2 for axis in module.back[2:]])
    return found


def _mirrored(found: Geometry, axes: Sequence[int]) -> Geometry:
    """What a mirrored copy sees before a voxel, the network sees after it."""
    if found.halo is None or found.receptive_field is None:
        return found
    halo = tuple((max(each),) * 2 if axis in axes else each for axis, each in enumerate(found.halo))
    pairs = zip(found.receptive_field, found.halo, strict=True)
    field = tuple(
        size + abs(before - after) if axis in axes else size
        for axis, (size, (before, after)) in enumerate(pairs)
    )
    return replace(found, halo=halo, receptive_field=field)


def _turned(found: Geometry, axes: Sequence[int]) -> Geometry:
    """What the network sees before a voxel lies after it in the input."""
    if found.halo is None:
        return found
    halo = tuple(each[::-1] if axis in axes else each for axis, each in enumerate(found.halo))
    return replace(found, halo=halo)


def _stacked(found: Geometry) -> Geometry:
    """Each plane by itself."""
    read = replace(found.read, minimum=(1, *found.read.minimum), step=(1, *found.read.step))
    return replace(
        found,
        stride=(1, *found.stride),
        read=read,
        halo=None if found.halo is None else ((0, 0), *found.halo),
        receptive_field=None if found.receptive_field is None else (1, *found.receptive_field),
    )


def _taken(found: Geometry, axes: Sequence[int]) -> Geometry:
    """Return a geometry with its axes in another order."""
    read = replace(
        found.read,
        minimum=tuple(found.read.minimum[axis] for axis in axes),
        step=tuple(found.read.step[axis] for axis in axes),
    )
    field = found.receptive_field
    return replace(
        found,
        stride=tuple(found.stride[axis] for axis in axes),
        read=read,
        halo=None if found.halo is None else tuple(found.halo[axis] for axis in axes),
        receptive_field=None if field is None else tuple(field[axis] for axis in axes),
    )
