"""A network's geometry, spread over all grid axes of an image."""

from __future__ import annotations

from dataclasses import dataclass
from math import lcm

from napari_tileseg._types import Halo, Shape
from napari_tileseg.nets.spec import NetworkSpec
from napari_tileseg.tiling import Box, Tile
from napari_tileseg.tiling.read_shape import ReadShape
from napari_tileseg.tiling.rounding import round_up


@dataclass(frozen=True, slots=True)
class Lattice:
    """Where reads of an image may start, and how large they may be.

    Grid axes before the network's own (time, or z for a 2D network) are independent: stride 1, no halo.

    Parameters
    ----------
    stride : tuple of int
        Reads start on its multiples and have multiples of it as shape: the least common multiple of the
        network's stride and of the step of the shapes that it accepts.
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
    """

    stride: Shape
    halo: Halo | None
    default_halo: Halo
    minimum: Shape
    fixed: bool
    lead: int

    @classmethod
    def of(cls, spec: NetworkSpec, ndim: int) -> Lattice:
        """Spread the geometry of a network over the `ndim` grid axes of an image.

        Examples
        --------
        >>> Lattice.spread((4, 4), 3, 1)
        (1, 4, 4)
        """
        geometry = spec.geometry
        lead = ndim - spec.ndim
        independent = ((0, 0),) * lead
        stride = tuple(lcm(a, b) for a, b in zip(geometry.stride, geometry.read.step, strict=True))
        return cls(
            stride=cls.spread(stride, ndim, 1),
            halo=None if geometry.halo is None else independent + geometry.halo,
            default_halo=independent + spec.default_halo,
            minimum=cls.spread(geometry.read.minimum, ndim, 1),
            fixed=geometry.read.fixed,
            lead=lead,
        )

    def sees(self, tile: Tile, shape: Shape) -> bool:
        """Whether a tile's read holds all the context that was measured, inside an image of `shape`."""
        if self.halo is None:
            return False
        return tile.read.contains(tile.core.grow(self.halo).clip(Box.of_shape(shape)))

    @staticmethod
    def spread(values: Shape, ndim: int, filler: int) -> Shape:
        """Return `values` with as many `filler` in front as it takes to have `ndim`."""
        return (filler,) * (ndim - len(values)) + tuple(values)


def padded_sizes(spec: NetworkSpec) -> ReadShape:
    """Return the shapes of padded images on a network's axes: on its stride, even where it accepts others.

    Parameters
    ----------
    spec : NetworkSpec
        What is known of the network.
    """
    lattice = Lattice.of(spec, spec.ndim)
    pairs = zip(lattice.minimum, lattice.stride, strict=True)
    least = tuple(round_up(n, step) for n, step in pairs)
    return ReadShape(minimum=least, step=lattice.stride, fixed=lattice.fixed)
