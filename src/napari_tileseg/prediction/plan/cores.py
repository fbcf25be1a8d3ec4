"""The core of a tile: the one that was begun with, or one derived without knowing what layers cost."""

from __future__ import annotations

from napari_tileseg._types import Halo, Shape
from napari_tileseg._words import by_axis
from napari_tileseg.errors import SettingsError
from napari_tileseg.tiling import Box, Lattice, TileGrid
from napari_tileseg.tiling.rounding import ceil_div, round_up

#: Voxels of a read that a few gigabytes of memory, and some patience, allow: 128^3 and 1024^2.
READ_VOXELS = {2: 2**20, 3: 2**21}
#: Factor by which a read may be larger where most of it would be halo.
STRETCH = 4


def resumed_core(begun: Shape | None, chosen: Shape | None, lattice: Lattice) -> Shape | None:
    """Return the core that a prediction was begun with, where a resumed one uses it.

    Parameters
    ----------
    begun : tuple of int, optional
        Core of the store at the path of the result.
    chosen : tuple of int, optional
        Core that the user has set, which goes before it.
    lattice : Lattice
        The network's geometry; a core that does not suit it was begun with by something else.
    """
    if begun is None or chosen is not None or lattice.fixed or len(begun) != len(lattice.stride):
        return None
    return None if any(n % step for n, step in zip(begun, lattice.stride, strict=True)) else begun


def derive_core(shape: Shape, box: Box, halo: Halo, lattice: Lattice) -> tuple[Shape, str]:
    """Choose a core for an image, with the reason.

    It depends on the image and the network only, not on the machine, so that a result can be resumed on
    another one; where memory is short, the engine computes a core in pieces.

    Parameters
    ----------
    shape : tuple of int
        Voxels of the image along each grid axis.
    box : Box
        What is predicted.
    halo : tuple of (int, int)
        Context before and after along each axis.
    lattice : Lattice
        The network's geometry on those axes.

    Returns
    -------
    core : tuple of int
        Multiples of the stride; cores of an axis are nearly equal.
    reason : str
        One sentence.

    Raises
    ------
    SettingsError
        If a network with a fixed read leaves no voxel for the core.

    Examples
    --------
    >>> lattice = Lattice((4, 4), ((22, 22),) * 2, ((22, 22),) * 2, (4, 4), fixed=False, lead=0)
    >>> derive_core((2000, 300), Box.of_shape((2000, 300)), lattice.halo, lattice)[0]
    (2000, 300)
    """
    context = tuple(
        round_up(before, step) + round_up(after, step)
        for (before, after), step in zip(halo, lattice.stride, strict=True)
    )
    if lattice.fixed:
        return _fixed_core(context, lattice), "what the network's fixed input leaves beside the halo"
    extents = tuple(round_up(n, step) for n, step in zip(box.shape, lattice.stride, strict=True))
    budget = READ_VOXELS[min(max(len(shape) - lattice.lead, 2), 3)]
    core = _core(extents, context, lattice, budget)
    cut = [n < extent for n, extent in zip(core, extents, strict=True)]
    if any(is_cut and n < pad for is_cut, n, pad in zip(cut, core, context, strict=True)):
        core = _core(extents, context, lattice, budget * STRETCH)
        return core, "larger than usual, because the halo is large; equal parts of the image"
    if any(cut[lattice.lead :]):
        return core, f"equal parts of the image, for reads of at most {budget:,} voxels"
    return core, "the whole image fits into one tile"


def _fixed_core(context: Shape, lattice: Lattice) -> Shape:
    core = tuple(n - pad for n, pad in zip(lattice.minimum, context, strict=True))
    if min(core) < 1:
        raise SettingsError(
            f"The network takes reads of {by_axis(lattice.minimum)} voxels only, and a halo of {context} in "
            "all "
            "leaves nothing of them. Set a smaller halo; seams may then show."
        )
    return core


def largest_core(grid: TileGrid, lattice: Lattice) -> Shape:
    """Cut a grid's cores so that its reads are no larger than the network takes them.

    Parameters
    ----------
    grid : TileGrid
        The tiles as they would be laid otherwise.
    lattice : Lattice
        The network's geometry on its axes, with a largest read.

    Raises
    ------
    SettingsError
        If the halo leaves no voxel for the core.
    """
    core, lead = list(grid.core), lattice.lead
    for axis, most in enumerate(lattice.maximum or (), start=lead):
        context, step = sum(grid.aligned_halo[axis]), lattice.stride[axis]
        if grid.read_shape[axis] <= most:
            continue
        if most < context + step:
            raise SettingsError(
                f"The network takes reads of up to {by_axis(lattice.maximum or ())} voxels, and a halo of "
                f"{context} in all on one axis leaves no core of {step}. Set a smaller halo; seams may then "
                "show."
            )
        core[axis] = _equal_part(grid.covered.shape[axis], most - context, step)
    return tuple(core)


def _core(extents: Shape, context: Shape, lattice: Lattice, budget: int) -> Shape:
    """Take axes whole that fit; let the others share evenly what is left of the budget."""
    core = [1] * lattice.lead + list(extents[lattice.lead :])
    left = float(budget)
    order = sorted(range(lattice.lead, len(core)), key=lambda axis: extents[axis])
    for number, axis in enumerate(order):
        side = left ** (1 / (len(order) - number))
        if extents[axis] > side:
            core[axis] = _equal_part(extents[axis], int(side) - context[axis], lattice.stride[axis])
            left = side ** (len(order) - number - 1)
        else:
            left /= extents[axis]
    return tuple(core)


def _equal_part(extent: int, most: int, step: int) -> int:
    """Return the largest multiple of `step`, about `most`, that cuts `extent` into nearly equal parts."""
    parts = ceil_div(extent, max(step, most // step * step))
    return round_up(ceil_div(extent, parts), step)
