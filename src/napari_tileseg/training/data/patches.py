"""How large a patch is, and which of its voxels count."""

from __future__ import annotations

from collections.abc import Sequence
from math import prod

import numpy as np

from napari_tileseg._types import Halo, Shape
from napari_tileseg._words import as_typed
from napari_tileseg.errors import SettingsError
from napari_tileseg.tiling import Box, Lattice
from napari_tileseg.tiling.rounding import ceil_div

#: Voxels of a patch by default, for networks of one, two and three axes.
VOXELS = {1: 2**12, 2: 2**16, 3: 2**17}
#: Part of a patch that is context on each side at most, where few voxels are labelled, and where all are.
_CONTEXT, _DENSE_CONTEXT = 1 / 4, 1 / 8


def choose_patch(
    lattice: Lattice, room: Shape, voxel_size: Sequence[float], asked: Shape | None = None
) -> Shape:
    """Return the voxels of a patch along each grid axis.

    Parameters
    ----------
    lattice : Lattice
        Where reads may start, and how large they may be.
    room : tuple of int
        Voxels that every padded image has along each grid axis.
    voxel_size : sequence of float
        Along each grid axis; a patch is about as long as wide in space.
    asked : tuple of int, optional
        What the user wants along the network's axes; cut to what the images have.

    Raises
    ------
    SettingsError
        If what is asked is not a shape that the network accepts.
    """
    if asked is None:
        return lattice.minimum if lattice.fixed else _derive(lattice, room, voxel_size)
    shape, steps = lattice.minimum[lattice.lead :], lattice.stride[lattice.lead :]
    fits = len(asked) == len(shape) and all(
        n >= least and n % step == 0 for n, step, least in zip(asked, steps, shape, strict=True)
    )
    if not fits or (lattice.fixed and asked != shape):
        what = f"exactly {as_typed(shape)} voxels"
        if not lattice.fixed:
            what = f"multiples of {as_typed(steps)} voxels, from {as_typed(shape)} on"
        raise SettingsError(f"A patch for this network has {what}; got {as_typed(asked)}.")
    chosen = (1,) * lattice.lead + tuple(asked)
    return tuple(min(n, most) for n, most in zip(chosen, room, strict=True))


def _derive(lattice: Lattice, room: Shape, voxel_size: Sequence[float]) -> Shape:
    """Return a shape as long as wide in space, as far as the image has room, of about `VOXELS`."""
    lead, steps = lattice.lead, lattice.stride
    sides = dict.fromkeys(range(lead), 1)
    free = set(range(lead, len(room)))
    left = float(VOXELS[min(len(free), 3)])
    while free:
        scale = (left * prod(voxel_size[axis] for axis in free)) ** (1 / len(free))
        full = {axis for axis in free if scale / voxel_size[axis] >= room[axis]}
        for axis in full or set(free):
            wanted = min(scale / voxel_size[axis], room[axis])
            sides[axis] = max(lattice.minimum[axis], round(wanted / steps[axis]) * steps[axis], steps[axis])
            sides[axis] = min(sides[axis], room[axis])
            left /= sides[axis]
        free -= full or set(free)
    return tuple(sides[axis] for axis in range(len(room)))


def smaller_patch(patch: Shape, lattice: Lattice) -> Shape | None:
    """Return the patch with its axis of most strides halved; None where no smaller one can be.

    Examples
    --------
    >>> smaller_patch((16, 64), Lattice((4, 4), None, ((8, 8), (8, 8)), (4, 4), False, 0))
    (16, 32)
    """
    if lattice.fixed:
        return None
    halves = [ceil_div(n, 2 * step) * step for n, step in zip(patch, lattice.stride, strict=True)]
    steps = [
        n // step if half >= least and half < n else 0
        for n, step, half, least in zip(patch, lattice.stride, halves, lattice.minimum, strict=True)
    ]
    axis = int(np.argmax(steps))
    return (*patch[:axis], halves[axis], *patch[axis + 1 :]) if steps[axis] else None


def context_of(patch: Shape, halo: Halo, *, dense: bool) -> Halo:
    """Return how many voxels at each border of a patch are context only, as far as the patch allows.

    Parameters
    ----------
    patch : tuple of int
        Voxels of the patch.
    halo : tuple of (int, int)
        Context that the network needs.
    dense : bool
        Whether every voxel is labelled, so that each one of context is one that is not learned from.
    """
    most = _DENSE_CONTEXT if dense else _CONTEXT
    return tuple(
        (min(before, int(most * n)), min(after, int(most * n)))
        for n, (before, after) in zip(patch, halo, strict=True)
    )


def counting(box: Box, context: Halo, padded_shape: Shape) -> Box:
    """Return the part of a patch whose voxels count: away from its borders, but for the image's own."""
    start = [a + before if a > 0 else a for a, (before, _) in zip(box.start, context, strict=True)]
    stop = [
        b - after if b < n else b for b, (_, after), n in zip(box.stop, context, padded_shape, strict=True)
    ]
    return Box(tuple(start), tuple(stop))
