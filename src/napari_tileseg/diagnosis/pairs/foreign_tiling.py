"""How an image was cut into reads, by our grid or by anything else."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise

from napari_tileseg._types import Halo, Shape
from napari_tileseg._words import as_typed
from napari_tileseg.errors import SettingsError
from napari_tileseg.tiling import TileGrid


@dataclass(frozen=True, slots=True, kw_only=True)
class Tiling:
    """Where the reads of a tiled prediction start, how large they are, and how much of them is thrown away.

    Parameters
    ----------
    read : tuple of int
        Voxels that the network sees at once, along each grid axis.
    halo : tuple of (int, int)
        Voxels before and after that are cropped from each prediction.
    starts : tuple of tuple of int
        For each axis the first voxels of the reads, ascending, in the padded image. They need not lie on
        the network's stride.

    Raises
    ------
    SettingsError
        If the lengths disagree, or an axis has no start.

    Examples
    --------
    >>> Tiling(read=(16,), halo=((2, 2),), starts=((0, 10, 20),)).remainders(0, 4)
    (2,)
    """

    read: Shape
    halo: Halo
    starts: tuple[Shape, ...]

    def __post_init__(self) -> None:
        if not len(self.read) == len(self.halo) == len(self.starts):
            raise SettingsError(
                f"Read, halo and starts need one entry for each axis; got {len(self.read)}, {len(self.halo)} "
                f"and {len(self.starts)}."
            )
        for starts in self.starts:
            if not starts or min(starts) < 0 or list(starts) != sorted(set(starts)):
                raise SettingsError(
                    f"Reads start at 0 or more, ascending, at least once; got {as_typed(starts)}."
                )

    @classmethod
    def of(cls, grid: TileGrid) -> Tiling:
        """Return the tiling of a grid."""
        starts = []
        for axis in range(grid.ndim):
            line = ((0,) * axis + (i,) + (0,) * (grid.ndim - axis - 1) for i in range(grid.counts[axis]))
            starts.append(tuple(sorted({grid[index].read.start[axis] for index in line})))
        return cls(read=grid.read_shape, halo=grid.aligned_halo, starts=tuple(starts))

    def remainders(self, axis: int, stride: int) -> Shape:
        """Return what distances between neighbouring reads leave when divided by `stride`; largest first."""
        return tuple(sorted({(b - a) % stride for a, b in pairwise(self.starts[axis])}, reverse=True))

    def neighbours(self, axis: int, stride: int, remainder: int) -> Shape:
        """Return the starts of the reads whose next neighbour lies `remainder` off the stride from them."""
        return tuple(a for a, b in pairwise(self.starts[axis]) if (b - a) % stride == remainder)
