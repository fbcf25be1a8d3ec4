"""Tiles whose cores partition an image and whose reads give a network one shape, and where they may lie."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from itertools import product
from math import prod

from napari_tileseg._types import Halo, Shape
from napari_tileseg._words import as_typed, by_axis
from napari_tileseg.errors import SettingsError
from napari_tileseg.tiling.box import Box
from napari_tileseg.tiling.rounding import ceil_div, round_up


@dataclass(frozen=True, slots=True)
class Tile:
    """One tile of a grid, in the coordinates of the padded image.

    Parameters
    ----------
    index : tuple of int
        Place in the grid along each axis.
    core : Box
        Voxels that the tile owns.
    read : Box
        Core and halo: the voxels that the network sees.
    """

    index: Shape
    core: Box
    read: Box


@dataclass(frozen=True, slots=True)
class TileGrid:
    """Tiles whose cores partition a box of the padded image.

    Each axis of the image is padded at its far end to a multiple of `stride`, and at least to
    `minimum`. Reads are core and halo, start on multiples of the stride, stop at the border of the
    padded image, and have one shape: near the border they are shifted inward.

    Parameters
    ----------
    shape : tuple of int
        Voxels of the image along each axis, at least 1.
    core : tuple of int
        Voxels that a tile owns along each axis: multiples of `stride`. Cores larger than the box are
        cut to it, and the last core of an axis may be smaller.
    halo : tuple of (int, int)
        Voxels of context needed before and after the core along each axis, at least 0. They are rounded
        up to the stride, so that reads start on it.
    stride : tuple of int
        Total stride of the network along each axis, at least 1.
    minimum : tuple of int, optional
        Least read along each axis that the network accepts; rounded up to the stride.
    box : Box, optional
        Part of the image to cover; the whole image by default. It must start on the stride.
    offset : tuple of int, optional
        Voxels by which the cores are moved toward the start of each axis: multiples of `stride`, less than
        the core. The first core is that much shorter. 0 by default.

    Raises
    ------
    SettingsError
        If the lengths disagree, or a value is out of range or off the stride.

    Examples
    --------
    >>> grid = TileGrid((10,), (4,), ((2, 2),), (2,))
    >>> [tile.core for tile in grid]
    [Box(start=(0,), stop=(4,)), Box(start=(4,), stop=(8,)), Box(start=(8,), stop=(10,))]
    >>> [tile.read.start for tile in grid], grid.read_shape
    ([(0,), (2,), (2,)], (8,))
    """

    shape: Shape
    core: Shape
    halo: Halo
    stride: Shape
    minimum: Shape = ()
    box: Box = field(default=Box((), ()))
    offset: Shape = ()

    def __post_init__(self) -> None:
        ndim = len(self.shape)
        if not self.minimum:
            object.__setattr__(self, "minimum", (1,) * ndim)
        if not self.box.ndim:
            object.__setattr__(self, "box", Box.of_shape(self.shape))
        if not self.offset:
            object.__setattr__(self, "offset", (0,) * ndim)
        self._check_lengths(ndim)
        if min(self.shape, default=1) < 1:
            raise SettingsError(f"Every axis needs at least one voxel; the image has {by_axis(self.shape)}.")
        if min(self.stride, default=1) < 1 or any(min(h) < 0 for h in self.halo):
            raise SettingsError(
                f"Strides start at 1 and halos at 0; got stride {as_typed(self.stride)}, halo "
                f"{as_typed(self.halo)}."
            )
        self._check_multiples("The core", self.core, least=1)
        self._check_multiples("The start of the box", self.box.start, least=0)
        self._check_multiples("The offset", self.offset, least=0)
        if any(offset >= core for offset, core in zip(self.offset, self.core, strict=True)):
            raise SettingsError(
                f"The offset should be less than the core {as_typed(self.core)}; got {as_typed(self.offset)}."
            )
        if not Box.of_shape(self.shape).contains(self.box) or self.box.size == 0:
            raise SettingsError(f"The box {self.box} is empty or leaves the image of {by_axis(self.shape)}.")

    def _check_lengths(self, ndim: int) -> None:
        entries = (self.core, self.halo, self.stride, self.minimum, self.box.start, self.offset)
        if {len(entry) for entry in entries} != {ndim}:
            raise SettingsError(
                f"Core, halo, stride, minimum, box and offset need one entry for each of the image's {ndim} "
                f"axes; got core {as_typed(self.core)}, halo {as_typed(self.halo)}, stride "
                f"{as_typed(self.stride)}, offset {as_typed(self.offset)}."
            )

    def _check_multiples(self, what: str, values: Shape, least: int) -> None:
        for axis, (value, step) in enumerate(zip(values, self.stride, strict=True)):
            if value < least or value % step:
                raise SettingsError(
                    f"{what} must be a multiple of the network's stride, {as_typed(self.stride)}; got "
                    f"{as_typed(values)}. "
                    f"On axis {axis} use {max(step, value // step * step)} or {round_up(value + 1, step)}: "
                    "off the stride, poolings fall on other voxels and seams appear."
                )

    @property
    def ndim(self) -> int:
        """Number of axes."""
        return len(self.shape)

    @property
    def padded_shape(self) -> Shape:
        """Shape of "the whole image" that a tiled prediction is compared with."""
        return tuple(
            round_up(max(n, least), step)
            for n, least, step in zip(self.shape, self.minimum, self.stride, strict=True)
        )

    @property
    def covered(self) -> Box:
        """What the cores partition: the box, grown to the stride at its far end."""
        stop = tuple(
            a + round_up(b - a, step)
            for a, b, step in zip(self.box.start, self.box.stop, self.stride, strict=True)
        )
        return Box(self.box.start, stop)

    @property
    def aligned_halo(self) -> Halo:
        """The halo, rounded up to the stride."""
        return tuple(
            (round_up(before, step), round_up(after, step))
            for (before, after), step in zip(self.halo, self.stride, strict=True)
        )

    @property
    def read_shape(self) -> Shape:
        """Shape of every read."""
        extents = zip(
            self.core, self.covered.shape, self.aligned_halo, self.minimum, self.stride, strict=True
        )
        wanted = (
            max(min(core, cover) + sum(halo), round_up(least, step))
            for core, cover, halo, least, step in extents
        )
        return tuple(min(n, padded) for n, padded in zip(wanted, self.padded_shape, strict=True))

    @property
    def counts(self) -> Shape:
        """Tiles along each axis."""
        extents = zip(self.covered.shape, self.offset, self.core, strict=True)
        return tuple(ceil_div(n + offset, core) for n, offset, core in extents)

    @property
    def kept_lengths(self) -> tuple[Shape, ...]:
        """Voxels that the tiles along each axis keep inside the box."""
        rows = zip(self.counts, self.core, self.offset, self.box.shape, strict=True)
        return tuple(
            tuple(min((i + 1) * core - offset, size) - max(i * core - offset, 0) for i in range(count))
            for count, core, offset, size in rows
        )

    @property
    def _origin(self) -> Shape:
        """Where the first cores would start if nothing were cut."""
        return tuple(a - offset for a, offset in zip(self.box.start, self.offset, strict=True))

    @property
    def cost(self) -> float:
        """Voxels read by all tiles over voxels of the box."""
        return len(self) * prod(self.read_shape) / self.box.size

    def __len__(self) -> int:
        return prod(self.counts)

    def __iter__(self) -> Iterator[Tile]:
        """Return the tiles in C order of their index."""
        return (self[index] for index in product(*(range(n) for n in self.counts)))

    def __getitem__(self, index: Sequence[int]) -> Tile:
        """Return the tile at `index`.

        Raises
        ------
        IndexError
            If the grid has no such tile.
        """
        place = tuple(int(i) for i in index)
        if len(place) != self.ndim or any(not 0 <= i < n for i, n in zip(place, self.counts, strict=True)):
            raise IndexError(
                f"The grid has {by_axis(self.counts)} tiles; there is none at {as_typed(place)}."
            )
        start = tuple(a + i * core for a, i, core in zip(self._origin, place, self.core, strict=True))
        core = Box(start, tuple(a + n for a, n in zip(start, self.core, strict=True)))
        core = core.clip(self.covered)
        return Tile(place, core, self._read(core))

    def _read(self, core: Box) -> Box:
        extents = zip(core.start, self.aligned_halo, self.read_shape, self.padded_shape, strict=True)
        start = tuple(max(0, min(a - halo[0], padded - read)) for a, halo, read, padded in extents)
        return Box(start, tuple(a + n for a, n in zip(start, self.read_shape, strict=True)))

    def kept(self, tile: Tile) -> Box:
        """Return the voxels of the tile's core inside the box, in the coordinates of the image."""
        return tile.core.clip(self.box)

    def placed(self, tile: Tile) -> Box:
        """Return the voxels of the tile's core inside the box, counted from the start of the box."""
        return self.kept(tile).shift(tuple(-a for a in self.box.start))

    def tiles_in(self, box: Box) -> Iterator[Tile]:
        """Return the tiles whose cores meet `box` (coordinates of the image), in C order."""
        part = box.clip(self.covered)
        if part.size == 0:
            return iter(())
        extents = zip(part.start, part.stop, self._origin, self.core, strict=True)
        ranges = [range((a - o) // n, ceil_div(b - o, n)) for a, b, o, n in extents]
        return (self[index] for index in product(*ranges))


@dataclass(frozen=True, slots=True)
class Lattice:
    """Where reads of an image may start, and how large they may be: a network's geometry on all grid axes.

    Axes before the network's own (time, or z for a 2D network) are independent: stride 1, no halo.

    Parameters
    ----------
    stride : tuple of int
        Reads start on its multiples and have multiples of it as shape.
    halo : tuple of (int, int), optional
        Measured context before and after; None where it is unbounded.
    default_halo : tuple of (int, int)
        Context that is read around a core unless the user sets another: `halo`, or a stated choice where that
        is None.
    minimum : tuple of int
        Least read along each axis.
    fixed : bool
        Whether `minimum` is the only read that the network accepts.
    lead : int
        Number of independent axes at the front.
    maximum : tuple of int, optional
        Largest read on the network's own axes; None where nothing bounds it.
    """

    stride: Shape
    halo: Halo | None
    default_halo: Halo
    minimum: Shape
    fixed: bool
    lead: int
    maximum: Shape | None = None

    def takes(self, grid: TileGrid) -> bool:
        """Whether the network accepts the reads of a grid, as far as their size is bounded."""
        if self.fixed:
            return grid.read_shape == self.minimum
        reads = grid.read_shape[self.lead :]
        return self.maximum is None or all(n <= most for n, most in zip(reads, self.maximum, strict=True))

    def tiles(self, shape: Shape, core: Shape, box: Box, halo: Halo | None = None) -> TileGrid:
        """Cut a box of an image into tiles.

        Parameters
        ----------
        shape : tuple of int
            Voxels of the image along each axis.
        core : tuple of int
            Voxels that a tile owns along each axis: multiples of `stride`.
        box : Box
            Part of the image to cover.
        halo : tuple of (int, int), optional
            Context to read around a core; `default_halo` by default.

        Raises
        ------
        SettingsError
            As `TileGrid`.
        """
        halo = self.default_halo if halo is None else halo
        return TileGrid(shape, core, halo, self.stride, self.minimum, box)

    def sees(self, tile: Tile, shape: Shape) -> bool:
        """Whether a tile's read holds all the context that was measured, inside an image of `shape`."""
        if self.halo is None:
            return False
        return tile.read.contains(tile.core.grow(self.halo).clip(Box.of_shape(shape)))
