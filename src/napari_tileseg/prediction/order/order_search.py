"""An order of tiles in which each chunk of an image is read close to once, and little is computed twice.

Tiles follow one another along the network's first axis, in sweeps, and column by column. Chunks that a later
tile needs are cached until it is done: about one layer of the chunks that two layers of columns share. Where
that is too much, the image is cut into blocks of columns; where already one column meets too many chunks,
it is cut along the first axis, too. What lies at the sides of blocks is read more than once, and what lies at
the ends of sweeps is computed more than once. For the same cache, the blocks of a space-filling curve
(Morton, 1966) have more surface: they are bounded in all directions, and a column is unbounded in one.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import count, pairwise, permutations, product, takewhile
from math import prod

from napari_tileseg._types import Indices, Shape
from napari_tileseg.engine.regions.cores.core_planner import length_of
from napari_tileseg.images.image import Image
from napari_tileseg.images.resample import origin_of
from napari_tileseg.prediction.input.chunk_cache import MOST, room
from napari_tileseg.prediction.order.tile_order import TileOrder
from napari_tileseg.tiling import Box, TileGrid
from napari_tileseg.tiling.rounding import ceil_div

#: What reading all of an image once costs, in parts of what computing it costs.
READING = 0.5
#: Factor of work above which the cache may be larger than usual.
WORSE = 1.2


def make_order(image: Image, grid: TileGrid, lead: int = 0, limit: int | None = None) -> TileOrder:
    """Order the tiles of a grid over an image so that little is read and computed twice.

    The order follows from image and grid alone, so that a resumed prediction is swept as it was begun.

    Parameters
    ----------
    image : Image
        What is read; where its chunks are not known, columns follow one another in C order.
    grid : TileGrid
        The tiles.
    lead : int, optional
        Axes at the front that the network does not know. Along the next one tiles are swept.
    limit : int, optional
        Bytes of chunks that may be cached; `room` of the image by default.
    """
    best = _best(image, grid, lead, limit)
    cache = best.cached * _chunk_bytes(image)
    return TileOrder(grid, sorted((tile.index for tile in grid), key=best.rank), best.sweep, cache)


def sweep_of(image: Image, grid: TileGrid, lead: int = 0) -> int:
    """Return how many tiles a sweep has in the order that `make_order` makes."""
    return _best(image, grid, lead, None).sweep


def _chunk_bytes(image: Image) -> int:
    """Return the bytes of one chunk with all its channels; 0 where the chunks are not known."""
    origin, _ = origin_of(image)
    if origin.chunk is None:
        return 0
    return origin.stored_box(Box.of_shape(origin.chunk)).size * origin.dtype.itemsize


def _best(image: Image, grid: TileGrid, lead: int, limit: int | None) -> _Ordering:
    others = [axis for axis in range(grid.ndim) if axis != lead]
    # Beyond the ends of a sweep the first layer needs all of the halo and the last none: on average half.
    context = sum(grid.aligned_halo[lead]) / 2 / grid.core[lead]
    longest = length_of(grid.core[lead])
    origin, _ = origin_of(image)
    if origin.chunk is None:
        alone = [_Axis.alone(n) for n in grid.counts]
        return _Ordering(alone, (*others, lead), grid.counts, context, longest)
    axes = [_Axis.of(image, grid, axis) for axis in range(grid.ndim)]
    orderings = [
        _Ordering(axes, (*nested, lead), blocks, context, longest)
        for nested in permutations(others)
        for blocks in _blocks(axes, (*nested, lead))
    ]
    # A cache of the usual size, unless a large one spares so much work that the memory is well spent.
    usual, much = (
        _least(orderings, bytes_cached // _chunk_bytes(image))
        for bytes_cached in ((room(origin), MOST) if limit is None else (limit, limit))
    )
    return usual[1] if usual[0] <= WORSE * much[0] else much[1]


def _least(orderings: Sequence[_Ordering], chunks: int) -> tuple[float, _Ordering]:
    """Return the ordering of least work for a cache of `chunks` chunks, after that work."""
    return min(((each.work(chunks), each) for each in orderings), key=lambda pair: (pair[0], pair[1].cached))


@dataclass(frozen=True, slots=True)
class _Axis:
    """The chunks that each tile along one axis reads: first, and one past the last."""

    reads: tuple[tuple[int, int], ...]

    @classmethod
    def of(cls, image: Image, grid: TileGrid, axis: int) -> _Axis:
        origin, box_of = origin_of(image)
        assert origin.chunk is not None
        chunk, whole = origin.chunk[axis], Box.of_shape(image.shape)
        tiles = (grid[(0,) * axis + (i,) + (0,) * (grid.ndim - axis - 1)] for i in range(grid.counts[axis]))
        reads = (box_of(tile.read.clip(whole)) for tile in tiles)
        return cls(tuple((box.start[axis] // chunk, ceil_div(box.stop[axis], chunk)) for box in reads))

    @classmethod
    def alone(cls, count: int) -> _Axis:
        """Return an axis on which each tile reads something that no other tile reads."""
        return cls(tuple((i, i + 1) for i in range(count)))

    @property
    def depth(self) -> int:
        """Chunks that a tile reads, at most."""
        return max(b - a for a, b in self.reads)

    @property
    def shared(self) -> int:
        """Chunks that two neighbours read, at most."""
        return max((max(0, b - a) for (_, b), (a, _) in pairwise(self.reads)), default=0)

    def spans(self, block: int) -> list[int]:
        """Return how many chunks each block of tiles reads."""
        blocks = [self.reads[i : i + block] for i in range(0, len(self.reads), block)]
        return [part[-1][1] - part[0][0] for part in blocks]


@dataclass(frozen=True, slots=True)
class _Ordering:
    """Blocks of tiles, each computed along the axes in the order `nesting`, the first one slowest.

    Parameters
    ----------
    axes : sequence of _Axis
        What tiles read.
    nesting : tuple of int
        Numbers of the axes; the last is the one along which tiles are swept.
    blocks : tuple of int
        Tiles of a block along each axis.
    context : float
        Context that is computed twice where one sweep ends and another begins, in tiles.
    longest : int
        Tiles of a sweep at most, a power of two.
    """

    axes: Sequence[_Axis]
    nesting: Indices
    blocks: Shape
    context: float
    longest: int

    @property
    def sweep(self) -> int:
        """Tiles of a sweep; no block cuts one."""
        return min(self.blocks[self.nesting[-1]], self.longest)

    @property
    def cached(self) -> int:
        """Chunks to cache so that each is read once in a block, at most.

        Along each axis, one tile reads `depth` chunks, two neighbours share `shared` of them, and the whole
        block reads `span`. Take the moment at which some tile is computed. A chunk that has been read and is
        needed again is needed by a later tile, and the slowest axis on which that one lies further than the
        present tile is its level:

        - on the slower axes it lies where the present tile does, and needs the same `depth` chunks;
        - on the axis itself it is the next neighbour, and shares `shared` chunks with what was read;
        - on the faster axes all of the block comes in between: `span` chunks.

        So level ``l`` caches ``prod(depth[:l]) * shared[l] * prod(span[l + 1:])`` chunks, and the levels add
        up. The chunks of the present tile come on top. The sum is never more than the block has.
        """
        axes = [self.axes[axis] for axis in self.nesting]
        blocks = [self.blocks[axis] for axis in self.nesting]
        spans = [max(axis.spans(block)) for axis, block in zip(axes, blocks, strict=True)]
        depths, shared = [axis.depth for axis in axes], [axis.shared for axis in axes]
        later = sum(
            prod(depths[:level]) * shared[level] * prod(spans[level + 1 :]) for level in range(len(axes))
        )
        # The next tile is read while this one is computed. It lies beside it on the fastest axis along which
        # the block has more than one tile, and reads what the two do not share.
        fastest = max((level for level, block in enumerate(blocks) if block > 1), default=0)
        ahead = prod(depths) // depths[fastest] * (depths[fastest] - shared[fastest])
        return min(later + prod(depths), prod(spans)) + ahead

    def work(self, chunks: int) -> float:
        """Predict the time that reading and computing take, over that of computing all once.

        Parameters
        ----------
        chunks : int
            Chunks that can be cached. Where they are too few, each tile is assumed to read all that it needs.
        """
        blocks = self.blocks if self.cached <= chunks else (1,) * len(self.axes)
        read = prod(sum(axis.spans(block)) for axis, block in zip(self.axes, blocks, strict=True))
        once = prod(sum(axis.spans(len(axis.reads))) for axis in self.axes)
        tiles = len(self.axes[self.nesting[-1]].reads)
        return READING * read / once + 1 + self.context * (ceil_div(tiles, self.sweep) - 1) / tiles

    def rank(self, index: Shape) -> tuple[Shape, Shape]:
        """Return the key by which tiles are sorted: block after block, and within one by nesting."""
        block = tuple(i // n for i, n in zip(index, self.blocks, strict=True))
        return block, tuple(index[axis] for axis in self.nesting)


def _blocks(axes: Sequence[_Axis], nesting: Indices) -> Iterator[Shape]:
    """Generate blocks of many sizes for orderings with that nesting."""
    widths = [_halved(len(axis.reads)) for axis in axes]
    first, last = nesting[0], nesting[-1]
    # Sweeps are 2^n tiles long, and no block may cut one. How far a block reaches along its slowest axis does
    # not count for what is cached: cutting it there would gain nothing.
    widths[last] = _doubled(len(axes[last].reads))
    if first != last:
        widths[first] = widths[first][:1]
    return product(*widths)


def _halved(length: int) -> list[int]:
    """Return `length`, its half, and so on down to 1, rounded up.

    Examples
    --------
    >>> _halved(5)
    [5, 3, 2, 1]
    """
    return [length] if length == 1 else [length, *_halved(ceil_div(length, 2))]


def _doubled(length: int) -> list[int]:
    """Return 1, 2, 4 and so on below `length`, and `length`.

    Examples
    --------
    >>> _doubled(5)
    [1, 2, 4, 5]
    """
    return [*takewhile(lambda n: n < length, (2**i for i in count())), length]
