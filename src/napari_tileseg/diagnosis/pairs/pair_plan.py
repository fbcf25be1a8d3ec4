"""Which overlapping tiles are compared, and where: planned before anything is predicted."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from itertools import accumulate
from typing import TYPE_CHECKING, Any

import numpy as np

from napari_tileseg._types import Halo, Shape
from napari_tileseg._words import by_axis
from napari_tileseg.diagnosis.pairs.grid_pairs import GridPairs
from napari_tileseg.diagnosis.pairs.pair_axes import (
    LEAST_OVERLAP,
    AxisPairs,
    PairAxis,
    TilePair,
    leading_axis,
    pair_axis,
)
from napari_tileseg.errors import ImageError, SettingsError
from napari_tileseg.tiling import Box, Lattice, TileGrid
from napari_tileseg.tiling.rounding import round_up

if TYPE_CHECKING:
    from napari_tileseg.prediction.plan.plan import Plan

__all__ = [
    "LEAST_OVERLAP",
    "SHIFT",
    "PairPlan",
    "TilePair",
    "by_axis",
    "fitting_pairs",
    "network_pairs",
    "pairs_between",
    "plan_pairs",
]

#: Voxels by which the second tile of a pair is moved, where the stride allows it.
SHIFT = 64
_AXES = "tzyx"


@dataclass(frozen=True, slots=True, kw_only=True)
class PairPlan:
    """The pairs to compare, and how they were chosen.

    Parameters
    ----------
    pairs : tuple of TilePair
        The pairs, those that share a tile after each other.
    shift : tuple of int
        Voxels by which tiles are moved along each axis; 0 where they are not.
    tile : tuple of int
        Shape of every tile.
    halo : tuple of (int, int)
        Context that a valid voxel has before and after along each axis.
    stride : tuple of int
        Tiles start on its multiples.
    axes : str
        Name of each axis.
    skipped : tuple of (str, str)
        Axes along which no tile is moved, and why.
    total : int
        Pairs on the grid over the whole image or box.
    sampled : bool
        Whether `pairs` are a random sample of those.
    compared : str
        What is compared with what, as part of a sentence.
    """

    pairs: Sequence[TilePair]
    shift: Shape
    tile: Shape
    halo: Halo
    stride: Shape
    axes: str
    skipped: tuple[tuple[str, str], ...]
    total: int
    sampled: bool
    compared: str = ""

    @property
    def tiles(self) -> tuple[Box, ...]:
        """The first tiles of all pairs, each once."""
        return tuple(dict.fromkeys(pair.first for pair in self.pairs))

    def as_dict(self) -> dict[str, Any]:
        """Return plain values, ready for JSON."""
        return asdict(self)


def plan_pairs(
    padded_shape: Shape,
    lattice: Lattice,
    *,
    shift: int | None = None,
    sample: int | None = None,
    seed: int = 0,
    box: Box | None = None,
    tile: Shape | None = None,
    axes: str = "",
) -> PairPlan:
    """Lay pairs of overlapping tiles on a grid over an image, one axis at a time.

    A tile is shift, both halos and 16 voxels long or longer, clipped to the axis. Pairs lie one shift apart,
    as the paper samples its tiles (arXiv 2503.19545), the last ones at the far end. What is valid of an
    overlap is farther than the halo from each end of either tile, except where that end is the padded image's
    own border: there nothing is missing.

    Parameters
    ----------
    padded_shape : tuple of int
        Voxels of the padded image along each axis: multiples of the lattice's stride.
    lattice : Lattice
        Where reads may start, how large they may be, and how much context is read around a core, which is
        rounded up to the stride here. Each position along independent axes is a separate tile.
    shift : int, optional
        Voxels by which the second tile is moved, lowered to the stride but not below it; 64 by default.
    sample : int, optional
        Pairs to draw at random without replacement; all by default.
    seed : int
        Same seed, same sample.
    box : Box, optional
        Voxels to compare, such as the image without its padding; the padded image by default.
    tile : tuple of int, optional
        Shape of the tiles, rounded up to the stride and to the smallest that a pair needs.
    axes : str
        Names of the axes, for messages; the last of ``tzyx`` by default.

    Raises
    ------
    ImageError
        If no axis has room for two tiles, with the length that one needs.
    SettingsError
        If `shift` or `sample` is below 1, or the box holds no voxel of the image.
    """
    shift = SHIFT if shift is None else shift
    if shift < 1 or (sample is not None and sample < 1):
        raise SettingsError(f"Shift and sample should be 1 or more; got {shift} and {sample}.")
    part = _part(padded_shape, box)
    stride, lead = lattice.stride, lattice.lead
    sides = zip(lattice.default_halo, stride, strict=True)
    halo = tuple((round_up(before, step), round_up(after, step)) for (before, after), step in sides)
    wanted = tile or (1,) * len(padded_shape)
    about = enumerate(zip(padded_shape, stride, halo, lattice.minimum, wanted, strict=True))
    lines = [
        pair_axis(*of_axis, shift, lattice.fixed) if axis >= lead else leading_axis(of_axis[0])
        for axis, of_axis in about
    ]
    names = axes or _AXES[-len(padded_shape) :]
    known = range(lead, len(lines))
    grids = [AxisPairs(axis, lines, part) for axis in known if lines[axis].has_room]
    total = sum(len(grid) for grid in grids)
    if not total:
        raise _too_small(names[lead:], lines[lead:], part)
    return PairPlan(
        pairs=tuple(_drawn(grids, total, sample, seed)),
        shift=tuple(n.shift if axis in known and n.has_room else 0 for axis, n in enumerate(lines)),
        tile=tuple(line.tile for line in lines),
        halo=halo,
        stride=stride,
        axes=names,
        skipped=tuple((names[axis], lines[axis].why_not) for axis in known if not lines[axis].has_room),
        total=total,
        sampled=sample is not None and sample < total,
        compared=_overlapping([lines[axis] for axis in known], names[lead:]),
    )


def _overlapping(lines: Sequence[PairAxis], names: str) -> str:
    moved = " or ".join(f"{line.shift} in {n}" for n, line in zip(names, lines, strict=True) if line.has_room)
    return f"overlapping tiles of {by_axis([line.tile for line in lines])} voxels, moved by {moved}"


def _part(padded_shape: Shape, box: Box | None) -> Box:
    whole = Box.of_shape(padded_shape)
    part = whole if box is None else box.clip(whole)
    if part.size == 0:
        raise SettingsError(
            f"{box} should hold voxels of the image, which has {by_axis(padded_shape)}. Move it."
        )
    return part


def network_pairs(
    plan: Plan,
    *,
    shift: int | None = None,
    sample: int | None = None,
    seed: int = 0,
    tile: Shape | None = None,
    fixed: bool = False,
) -> PairPlan:
    """Plan pairs for an image and a network as `plan` would predict them, inside its box.

    Parameters
    ----------
    plan : Plan
        Resolved against image and network; its halo is the margin.
    shift, sample, seed, tile
        As `plan_pairs` takes them.
    fixed : bool
        Whether the network accepts reads of one shape only.

    Raises
    ------
    ImageError, SettingsError
        As `plan_pairs`.
    """
    grid = plan.grid
    lattice = Lattice(
        stride=grid.stride,
        halo=grid.halo,
        default_halo=grid.halo,
        minimum=grid.minimum,
        fixed=fixed,
        lead=plan.tiles.lead,
    )
    return plan_pairs(
        grid.padded_shape,
        lattice,
        shift=shift,
        sample=sample,
        seed=seed,
        box=grid.box,
        tile=tile,
        axes=plan.tiles.image.grid_axes,
    )


def fitting_pairs(
    plan: Plan, shift: int = SHIFT, *, sample: int | None = None, seed: int = 0, fixed: bool = False
) -> PairPlan | None:
    """Plan pairs of overlapping tiles, moved by `shift` or, where there is no room, by half of it, and so on.

    Parameters
    ----------
    plan, sample, seed, fixed
        As `network_pairs` takes them.
    shift : int
        Voxels by which the second tile is moved, at most.

    Returns
    -------
    PairPlan or None
        None where two tiles with all their context do not fit, however little they are moved.
    """
    while shift:
        try:
            return network_pairs(plan, shift=shift, sample=sample, seed=seed, fixed=fixed)
        except ImageError:
            shift //= 2
    return None


def pairs_between(
    grid: TileGrid,
    other: TileGrid,
    *,
    axes: str = "",
    sample: int | None = None,
    seed: int = 0,
    part: Box | None = None,
) -> PairPlan:
    """Pair the tiles of two grids over one image: what a heatmap of both compares, voxel for voxel.

    Parameters
    ----------
    grid, other : TileGrid
        Grids that differ in where their cores begin, or in their size.
    axes : str
        Names of the axes; the last of ``tzyx`` by default.
    sample : int, optional
        Pairs to draw at random without replacement, as `GridPairs.sample` draws them; all by default.
    seed : int
        Same seed, same sample.
    part : Box, optional
        Voxels to compare; the box of the grids by default.

    Returns
    -------
    PairPlan
        Valid are the voxels that both tiles own inside the part, so that every voxel of it is in one pair.

    Raises
    ------
    SettingsError
        If the part holds no voxel of the box.
    """
    pairs = GridPairs(grid, other, part)
    if not pairs:
        raise SettingsError(f"{part} should hold voxels of {grid.box}, which is predicted. Move it.")
    names = axes or _AXES[-grid.ndim :]
    few = sample is not None and sample < len(pairs)
    moved = tuple(abs(a - b) for a, b in zip(grid.offset, other.offset, strict=True))
    along = " and ".join(f"{n} in {name}" for n, name in zip(moved, names, strict=True) if n)
    return PairPlan(
        pairs=pairs.sample(sample, seed) if sample is not None and few else pairs,
        shift=moved,
        tile=grid.read_shape,
        halo=grid.aligned_halo,
        stride=grid.stride,
        axes=names,
        skipped=(),
        total=len(pairs),
        sampled=few,
        compared=f"the prediction's own tiles ({by_axis(grid.core)} voxels) with tiles moved by {along}",
    )


def _drawn(grids: Sequence[AxisPairs], total: int, sample: int | None, seed: int) -> Iterator[TilePair]:
    """Yield all pairs, or a sample of them, in the order of their numbers."""
    ends = list(accumulate(len(grid) for grid in grids))
    for number in _numbers(total, sample, seed):
        which = next(n for n, end in enumerate(ends) if number < end)
        yield grids[which][number - ends[which] + len(grids[which])]


def _numbers(total: int, sample: int | None, seed: int) -> Sequence[int]:
    """Return all numbers below `total`, or a sample of them without replacement, in order."""
    if sample is None or sample >= total:
        return range(total)
    numbers: list[int] = np.random.default_rng(seed).choice(total, sample, replace=False).tolist()
    return sorted(numbers)


def _too_small(names: str, lines: Sequence[PairAxis], part: Box) -> ImageError:
    sizes = ", ".join(f"{name} {line.size}" for name, line in zip(names, lines, strict=True))
    least = ", ".join(f"{name} {line.least}" for name, line in zip(names, lines, strict=True))
    if any(line.has_room for line in lines):
        return ImageError(
            f"The box {part} should hold voxels with their whole context in two "
            "tiles; it lies too near to the image's border. Move or enlarge it."
        )
    return ImageError(
        f"To compare two tiles, the image should be at least this long along one axis: {least} voxels; it "
        f"has {sizes}. Take a larger image, or a smaller shift."
    )
