"""How far a network can see, and how far it does."""

from __future__ import annotations

from collections.abc import Generator, Sequence
from copy import deepcopy
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from napari_tileseg._progress import Progress, Steps
from napari_tileseg._types import Array, Halo, Shape
from napari_tileseg._words import by_axis
from napari_tileseg.engine.device import ran_out_of_memory
from napari_tileseg.errors import DeviceError, ImageError, NetworkError, SettingsError
from napari_tileseg.nets.outputs import only_tensor
from napari_tileseg.tiling import Box, Lattice
from napari_tileseg.tiling.rounding import round_up

if TYPE_CHECKING:
    from napari_tileseg.nets.spec import NetworkSpec
    from napari_tileseg.prediction.plan.plan import Plan

#: Part of the gradient that the effective receptive field holds along each axis.
SHARE = 0.95
#: Voxels along an axis of a tile for a network that sees its whole input.
_UNBOUNDED = 64


@dataclass(frozen=True, slots=True, kw_only=True)
class TheoreticalField:
    """How far a network can see.

    Parameters
    ----------
    axes : str
        The network's axes.
    extent : tuple of int or None
        Voxels along each axis on which one output voxel can depend; None where unbounded.
    sides : tuple of (int, int) or None
        Context before and after, along each axis, that outputs starting on the stride need.
    reason : str
        What the network's inspection reports.
    """

    axes: str
    extent: Shape | None
    sides: Halo | None
    reason: str

    def as_dict(self) -> dict[str, Any]:
        """Return plain values, ready for JSON."""
        return asdict(self)


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class EffectiveField:
    """How far a network does see, on an image.

    Parameters
    ----------
    axes : str
        The network's axes.
    share : float
        Part of the gradient within the sides, along each axis by itself.
    sides : tuple of (int, int)
        Voxels before and after the centre; what lies farther holds ``(1 - share) / 2`` or less of the
        gradient on each side.
    extent : tuple of int
        Voxels along each axis: both sides and the centre.
    tiles : int
        Tiles whose gradients were averaged.
    centre : tuple of int
        The centre voxel in `gradient`.
    gradient : ndarray of float64
        Mean absolute gradient of the centre voxel's outputs, before the activation, by each voxel of the
        input, over tiles, classes and channels; over the network's axes.
    """

    axes: str
    share: float
    sides: Halo
    extent: Shape
    tiles: int
    centre: Shape
    gradient: Array

    def as_dict(self) -> dict[str, Any]:
        """Return plain values, ready for JSON; without the image."""
        names = ("axes", "share", "sides", "extent", "tiles", "centre")
        return {name: getattr(self, name) for name in names}


def theoretical_field(spec: NetworkSpec) -> TheoreticalField:
    """Return the theoretical receptive field, from the measured geometry of a network."""
    geometry = spec.geometry
    return TheoreticalField(
        axes=spec.axes, extent=geometry.receptive_field, sides=geometry.halo, reason=spec.reason
    )


def field_tiles(plan: Plan, count: int, seed: int = 0) -> tuple[Box, ...]:
    """Choose tiles at random, each large enough for the whole receptive field of its centre.

    A network that sees its whole input gets 64 voxels and its default halo; axes that are shorter are taken
    whole.

    Raises
    ------
    SettingsError
        If `count` is below 1.
    """
    if count < 1:
        raise SettingsError(f"Tiles to look at should be 1 or more; got {count}.")
    grid, rng = plan.grid, np.random.default_rng(seed)
    spec, lattice = plan.network.spec, plan.tiles.lattice
    shape = tuple(
        1 if axis < lattice.lead else _length(spec, lattice, axis, size)
        for axis, size in enumerate(grid.padded_shape)
    )
    rooms = [
        (size - n) // step for size, n, step in zip(grid.padded_shape, shape, lattice.stride, strict=True)
    ]
    starts = (
        tuple(int(rng.integers(room + 1)) * step for room, step in zip(rooms, lattice.stride, strict=True))
        for _ in range(count)
    )
    return tuple(Box(start, tuple(a + n for a, n in zip(start, shape, strict=True))) for start in starts)


def _length(spec: NetworkSpec, lattice: Lattice, axis: int, size: int) -> int:
    step, least = lattice.stride[axis], lattice.minimum[axis]
    if lattice.fixed:
        return least
    side = max(spec.default_halo[axis - lattice.lead])
    wanted = 2 * side + step if lattice.halo else 2 * side + _UNBOUNDED
    # An even number of strides, so that the centre starts on the stride as a core does.
    return min(max(round_up(wanted, 2 * step), least), size)


def effective_field(
    plan: Plan, boxes: Sequence[Box], share: float = SHARE
) -> Generator[Progress, None, EffectiveField]:
    """Measure how much the centre of a tile depends on each voxel of it (Luo et al. 2016, arXiv 1701.04128).

    Parameters
    ----------
    plan : Plan
        How the image is prepared, and where it is computed.
    boxes : sequence of Box
        Tiles of one shape, as `field_tiles` gives them.
    share : float
        Part of the gradient to be held, between 0 and 1.

    Yields
    ------
    Progress
        One for each tile.

    Returns
    -------
    EffectiveField
        How far the network does see.

    Raises
    ------
    ImageError
        If the output does not depend on the image at the centre of any tile.
    NetworkError, DeviceError
        If the network has no gradient, or the device too little memory for it.
    SettingsError
        If the share is not between 0 and 1.
    """
    if not 0 < share < 1:
        raise SettingsError(f"The share of the gradient should lie between 0 and 1; got {share}.")
    module = deepcopy(plan.network.module).to(plan.device)
    lead, steps = plan.tiles.lead, Steps("Following gradients", len(boxes))
    total: Array = np.zeros(boxes[0].shape[lead:])
    for box in boxes:
        values = plan.prepared.read(box).reshape(-1, *box.shape[lead:])
        total += _gradient(plan.network.spec.name, module, values[None], plan.device)
        yield steps.count()
    total /= len(boxes)
    if not total.any():
        raise ImageError(
            "The prediction should depend on the image somewhere near the centre of a tile; its gradient is "
            f"0 in all {len(boxes)} tiles. Look at more tiles, or at a part of the image that is not empty."
        )
    centre = tuple(n // 2 for n in total.shape)
    sides = tuple(_sides(_along(total, axis), centre[axis], share) for axis in range(total.ndim))
    return EffectiveField(
        axes=plan.network.spec.axes,
        share=share,
        sides=sides,
        extent=tuple(a + b + 1 for a, b in sides),
        tiles=len(boxes),
        centre=centre,
        gradient=total,
    )


def _gradient(name: str, module: torch.nn.Module, values: Array, device: str) -> Array:
    """Return the mean absolute gradient, over classes and channels, of the centre voxel."""
    inputs = torch.from_numpy(np.ascontiguousarray(values)).to(device).requires_grad_(True)
    centre = tuple(n // 2 for n in inputs.shape[2:])
    total = torch.zeros(inputs.shape[2:], device=device)
    try:
        with torch.enable_grad():
            outputs: Any = only_tensor(module(inputs))[0]
            outputs = outputs[(slice(None), *centre)]
            for number, output in enumerate(outputs):
                more = number + 1 < len(outputs)
                (gradient,) = torch.autograd.grad(output, inputs, retain_graph=more)
                total += gradient[0].abs().mean(0)
    except (MemoryError, RuntimeError) as error:
        if ran_out_of_memory(error):
            raise DeviceError(
                f"{device} has too little memory to follow gradients through {name} on "
                f"{by_axis(centre)} "
                "voxels to each side. Choose another device, or close other programs."
            ) from error
        raise NetworkError(
            f"To measure how far {name} sees, it needs gradients, and has none: {error}. Its theoretical "
            "receptive field holds all the same."
        ) from error
    result: Array = (total / len(outputs)).double().cpu().numpy()
    return result


def _along(values: Array, axis: int) -> Array:
    others = tuple(n for n in range(values.ndim) if n != axis)
    line: Array = values.sum(axis=others)
    line /= line.sum()
    return line


def _sides(line: Array, centre: int, share: float) -> tuple[int, int]:
    """Return the voxels on each side beyond which lies no more than half of what may be left out."""
    spare = (1 - share) / 2
    below, above = np.cumsum(line), np.cumsum(line[::-1])
    first = int(np.searchsorted(below, spare, side="right"))
    last = len(line) - 1 - int(np.searchsorted(above, spare, side="right"))
    return max(0, centre - first), max(0, last - centre)
