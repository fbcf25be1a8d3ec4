"""Going through an image block by block, as it is stored, without ever holding all of it."""

from __future__ import annotations

from dataclasses import dataclass, field
from itertools import product
from math import prod

import numpy as np

from napari_tileseg._types import Array, Shape
from napari_tileseg._words import as_typed
from napari_tileseg.errors import NonFiniteError
from napari_tileseg.images.image import Image
from napari_tileseg.images.resample import origin_of
from napari_tileseg.tiling import Box, TileGrid

#: Voxels of one block, about; a stored chunk of up to four times as many is still read as a whole.
BLOCK_VOXELS = 2**22
#: Images with more voxels (on the grid axes) are sampled.
WHOLE_LIMIT = 2**30
#: Voxels that are looked at in such images, about.
SAMPLE_VOXELS = 2**28
_SEED = 0


@dataclass(frozen=True, slots=True)
class Scan:
    """The blocks of an image to look at.

    Parameters
    ----------
    boxes : tuple of Box
        Blocks, in C order.
    sampled : bool
        Whether they are a sample (the same one for every image of that shape) and not everything.
    """

    boxes: tuple[Box, ...]
    sampled: bool

    @property
    def voxels(self) -> int:
        """Voxels in all blocks, of one channel."""
        return sum(box.size for box in self.boxes)


def plan_scan(
    image: Image,
    limit: int = WHOLE_LIMIT,
    sample: int = SAMPLE_VOXELS,
    voxels: int = BLOCK_VOXELS,
    within: Box | None = None,
) -> Scan:
    """Return blocks that cover an image, or a seeded random choice of them where it is large.

    Parameters
    ----------
    image : Image
        The image.
    limit : int, optional
        Voxels on the grid axes above which an image is sampled.
    sample : int, optional
        Voxels that are read then, about.
    voxels : int, optional
        Voxels of a block, about.
    within : Box, optional
        What to cover; the whole image by default.
    """
    shape, whole = image.shape, within or Box.of_shape(image.shape)
    block = _block_shape(shape, _chunk_shape(image), voxels)
    grid = _on_chunks(shape, block, whole)
    if whole.size <= limit:
        return Scan(tuple(tile.core for tile in grid), sampled=False)
    count = min(len(grid), max(1, sample // prod(block)))
    chosen = np.random.default_rng(_SEED).choice(len(grid), count, replace=False)
    indices = (np.unravel_index(int(i), grid.counts) for i in sorted(chosen))
    return Scan(tuple(grid[tuple(map(int, index))].core for index in indices), sampled=True)


def _on_chunks(shape: Shape, block: Shape, whole: Box) -> TileGrid:
    """Return blocks over a box that lie as those over the whole image, so that no chunk is read twice."""
    ends = zip(whole.start, block, whole.shape, strict=True)
    offset = tuple(a % n if size > n else 0 for a, n, size in ends)
    return TileGrid(shape, block, ((0, 0),) * len(shape), (1,) * len(shape), box=whole, offset=offset)


def _chunk_shape(image: Image) -> Shape:
    """Return about how many voxels one stored chunk covers, where the image is resampled."""
    origin, _ = origin_of(image)
    sizes = zip(origin.chunk or (1,) * len(image.shape), origin.shape, image.shape, strict=True)
    return tuple(max(1, round(size * new / old)) for size, old, new in sizes)


def _block_shape(shape: Shape, chunk: Shape, voxels: int) -> Shape:
    """Return a multiple of the chunk along the last axes, of about `voxels` voxels."""
    block = [min(n, c) for n, c in zip(shape, chunk, strict=True)]
    for axis in range(len(block)):
        over = prod(block) / (4 * voxels)
        block[axis] = max(1, int(block[axis] / over)) if over > 1 else block[axis]
    for axis in reversed(range(len(block))):
        times = max(1, voxels // prod(block))
        block[axis] = min(shape[axis], block[axis] * times)
    return tuple(block)


@dataclass(slots=True)
class NonFinite:
    """Counts and locates voxels that are NaN or infinite."""

    name: str
    count: int = 0
    first: Shape = field(default=())

    def clean(self, values: Array, start: Shape) -> Array:
        """Return `values` ``(channels, *shape)`` with zeros for NaN and infinity, which are counted.

        Parameters
        ----------
        values : ndarray
            What was read.
        start : tuple of int
            Position of its first voxel in the image.
        """
        if values.dtype.kind != "f":
            return values
        finite = np.isfinite(values)
        if finite.all():
            return values
        points = np.argwhere(~finite)
        self.count += len(points)
        self.first = self.first or tuple(int(a + b) for a, b in zip(points[0][1:], start, strict=True))
        return np.where(finite, values, values.dtype.type(0))

    def refuse(self) -> None:
        """Raise `NonFiniteError` if any was found."""
        if self.count:
            raise NonFiniteError(
                f"Intensities should be finite numbers; {self.name} has {self.count} that are NaN or "
                f"infinite, the first at {as_typed(self.first)}. Set nonfinite to zero to take them as zero, "
                "or repair the image."
            )


def blocks(shape: Shape, block: Shape) -> list[Box]:
    """Return boxes of shape `block` (smaller at the far ends) that partition `shape`, in C order."""
    starts = product(*(range(0, n, b) for n, b in zip(shape, block, strict=True)))
    return [
        Box(start, tuple(min(a + b, n) for a, b, n in zip(start, block, shape, strict=True)))
        for start in starts
    ]
