"""An order of tiles in which each chunk of an image is read close to once.

Tiles go layer by layer, and chunks that a later tile needs are kept until it is done. What has to be kept is
about one layer of the chunks that two layers of tiles share. Where that is too much, the image is cut into
columns, done one after the other; only chunks at the sides of columns are read more than once. For the same
room, the blocks of a space-filling curve (Morton, 1966) have more side: they are bounded in all directions, a
column is not in one.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise, permutations, product
from math import prod

from napari_tileseg._types import Shape
from napari_tileseg.images.image import Image
from napari_tileseg.predict.chunk_cache import room
from napari_tileseg.predict.order import TileOrder
from napari_tileseg.tiling import Box, TileGrid


def make_order(image: Image, grid: TileGrid, lead: int = 0, limit: int | None = None) -> TileOrder:
    """Tiles of a grid over an image, in an order in which little is read and computed twice.

    Tiles follow one another along the network's first axis, along which an engine computes nothing twice.

    Parameters
    ----------
    image : Image
        What is read; where nothing is known of its chunks, the order is C order but for that axis.
    grid : TileGrid
        The tiles.
    lead : int, optional
        Axes at the front that the network does not know.
    limit : int, optional
        Bytes of chunks that will be kept; `room` of the image by default.
    """
    others = [axis for axis in range(grid.ndim) if axis != lead]
    if image.chunk is None:
        nesting = (*others, lead)
        indices = sorted((tile.index for tile in grid), key=lambda index: [index[axis] for axis in nesting])
        return TileOrder(grid, indices)
    stored = image.stored_box(Box.of_shape(image.chunk))
    channels = stored.size // prod(image.chunk)
    size = prod(image.chunk) * channels * image.dtype.itemsize
    chunks = (room(image) if limit is None else limit) // size
    axes = [_Axis.of(image, grid, axis) for axis in range(grid.ndim)]
    orderings = [each for nested in permutations(others) for each in _orderings(axes, (*nested, lead))]
    best = min(orderings, key=lambda each: (max(each.kept - chunks, 0), each.cost, each.kept))
    return TileOrder(grid, sorted((tile.index for tile in grid), key=best.place))


@dataclass(frozen=True, slots=True)
class _Axis:
    """Chunks along one axis, first and one past the last, that each tile along it reads."""

    reads: tuple[tuple[int, int], ...]

    @classmethod
    def of(cls, image: Image, grid: TileGrid, axis: int) -> _Axis:
        assert image.chunk is not None
        size, chunk = image.shape[axis], image.chunk[axis]
        tiles = (grid[(0,) * axis + (i,) + (0,) * (grid.ndim - axis - 1)] for i in range(grid.counts[axis]))
        ends = ((tile.read.start[axis], min(tile.read.stop[axis], size)) for tile in tiles)
        return cls(tuple((a // chunk, -(-b // chunk)) for a, b in ends))

    @property
    def depth(self) -> int:
        """Chunks that a tile reads, at most."""
        return max(b - a for a, b in self.reads)

    @property
    def shared(self) -> int:
        """Chunks that two neighbours read, at most."""
        return max((max(0, b - a) for (_, b), (a, _) in pairwise(self.reads)), default=0)

    def spans(self, block: int) -> list[int]:
        """Chunks that each block of so many tiles reads."""
        blocks = [self.reads[i : i + block] for i in range(0, len(self.reads), block)]
        return [part[-1][1] - part[0][0] for part in blocks]


@dataclass(frozen=True, slots=True)
class _Ordering:
    """Columns of `blocks` tiles, each done along the axes in the order `nesting`, the first one slowest."""

    axes: Sequence[_Axis]
    nesting: Shape
    blocks: Shape

    @property
    def kept(self) -> int:
        """Chunks to keep so that each is read once in a column: those for later tiles, and those at hand."""
        spans = [max(self.axes[axis].spans(self.blocks[axis])) for axis in self.nesting]
        depths = [self.axes[axis].depth for axis in self.nesting]
        shared = [self.axes[axis].shared for axis in self.nesting]
        later = (
            prod(depths[:level]) * shared[level] * prod(spans[level + 1 :]) for level in range(len(spans))
        )
        ahead = prod(depths[:-1]) * (depths[-1] - shared[-1])
        return sum(later) + prod(depths) + ahead

    @property
    def cost(self) -> int:
        """Chunks that all columns read."""
        return prod(sum(axis.spans(block)) for axis, block in zip(self.axes, self.blocks, strict=True))

    def place(self, index: Shape) -> tuple[Shape, Shape]:
        """Sorts the tiles."""
        column = tuple(i // block for i, block in zip(index, self.blocks, strict=True))
        return column, tuple(index[axis] for axis in self.nesting)


def _orderings(axes: Sequence[_Axis], nesting: Shape) -> Iterator[_Ordering]:
    """Orders with that nesting, in columns of all widths that halving gives."""
    lengths = [len(axis.reads) for axis in axes]
    widths = [[n] if axis == nesting[0] else _halved(n) for axis, n in enumerate(lengths)]
    return (_Ordering(axes, nesting, blocks) for blocks in product(*widths))


def _halved(length: int) -> list[int]:
    """`length`, its half, and so on down to 1, rounded up.

    Examples
    --------
    >>> _halved(5)
    [5, 3, 2, 1]
    """
    return [length] if length == 1 else [length, *_halved(-(-length // 2))]
