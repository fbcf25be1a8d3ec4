"""Orders of tiles: what is read, and what is swept, over images that are stored in chunks of any shape."""

from math import prod

import numpy as np
import pytest

from napari_tileseg.images.image import Image
from napari_tileseg.prediction.input.chunk_cache import ChunkCache
from napari_tileseg.prediction.order.column_sweep import Columns
from napari_tileseg.prediction.order.order_search import make_order
from napari_tileseg.prediction.order.tile_order import TileOrder
from napari_tileseg.tiling import Box, TileGrid

SHAPE = (252, 128, 128)
CHUNKS = {
    "cubes": (16, 16, 16),
    "planes": (1, 128, 128),
    "parts of planes": (1, 32, 32),
    "strips": (1, 2, 128),
}


class _Chunked:
    """A source in chunks that counts how many bytes of them are fetched."""

    shape, ndim, dtype, nbytes = SHAPE, 3, np.dtype("u1"), prod(SHAPE)

    def __init__(self, chunks):
        self.chunks, self.fetched = chunks, 0

    def __getitem__(self, key):
        bounds = [part.indices(n)[:2] for part, n in zip(key, self.shape, strict=True)]
        self.fetched += prod(
            min(-(-b // c) * c, n) - a // c * c
            for (a, b), c, n in zip(bounds, self.chunks, self.shape, strict=True)
        )
        return np.zeros([b - a for a, b in bounds], self.dtype)


class _Sweeper:
    """An engine that computes nothing, and counts what it was asked for."""

    def __init__(self):
        self.swept, self.alone = 0, 0

    def sweeps(self, _shape):
        return True

    def sweep(self, _image, box, planes):
        for start in range(box.start[0], box.stop[0], planes):
            part = Box((start, *box.start[1:]), (min(start + planes, box.stop[0]), *box.stop[1:]))
            self.swept += part.size
            yield part, np.zeros((1, *part.shape))

    def compute(self, _image, tiles):
        self.alone += sum(tile.core.size for tile in tiles)
        return [np.zeros((1, *tile.core.shape)) for tile in tiles]


class _Padded:
    padded_shape = SHAPE


def _run(source, order):
    """Go through an order as a prediction does; gives the parts of the image that were swept and computed."""
    engine, cache = _Sweeper(), ChunkCache(source, source.chunks, order.cache_bytes or 1)
    columns = Columns(engine, _Padded(), order.grid, 0, order.sweep)
    cache.expect(tile.read for tile in order.peek())
    while tiles := order.pop():
        assert cache[tiles[0].read.slices].shape == tiles[0].read.shape
        core = columns.sweep(tiles[0])
        (core,) = engine.compute(_Padded(), tiles) if core is None else (core,)
        assert core.shape[1:] == tiles[0].core.shape
        cache.release(tiles[0].read)
    return engine.swept / source.nbytes, engine.alone / source.nbytes


@pytest.mark.parametrize("chunks", CHUNKS.values(), ids=CHUNKS)
@pytest.mark.parametrize("share", [0.1, 0.25, 1.0])
@pytest.mark.parametrize("planes", [24, 16, 4])
def test_no_part_is_swept_twice_and_few_chunks_are_read_twice(chunks, share, planes):
    source = _Chunked(chunks)
    grid = TileGrid(SHAPE, (planes, 28, 28), ((4, 4),) * 3, (4,) * 3)
    order = make_order(Image(source, "zyx"), grid, limit=int(share * source.nbytes))
    swept, alone = _run(source, order)
    assert swept + alone == 1
    # A tenth of so small an image is less than its tiles read beside one another.
    assert source.fetched <= (1.1 if share >= 0.25 else 3) * source.nbytes
    assert share < 1 or (order.sweep >= 8 and source.fetched == source.nbytes)


def test_more_is_kept_than_is_usual_where_that_spares_much_reading():
    """A volume stored plane by plane, of which one column of tiles meets all chunks."""
    source = _Chunked((1, 2048, 2048))
    source.shape, source.dtype = (1000, 2048, 2048), np.dtype("u2")
    grid = TileGrid(source.shape, (112, 108, 112), ((22, 22),) * 3, (4,) * 3)
    order = make_order(Image(source, "zyx"), grid)
    assert 2**28 < order.cache_bytes <= 2**31
    # Slab after slab: all columns of one before the next is begun.
    assert {tile.index[0] for tile in order.peek(19 * 19)} == {0}


def test_where_reading_is_no_use_to_anybody_sweeps_are_long():
    grid = TileGrid(SHAPE, (24, 28, 28), ((4, 4),) * 3, (4,) * 3)
    assert make_order(Image(np.zeros(SHAPE, "u1"), "zyx"), grid).sweep == 8
    assert make_order(Image(_Chunked(SHAPE), "zyx"), grid, limit=0).sweep == 8


@pytest.mark.parametrize(("planes", "sweep"), [(4, 64), (8, 32), (12, 16), (24, 8), (120, 8)])
def test_sweeps_of_thin_cores_reach_as_far(planes, sweep):
    shape = (1200, 64, 64)
    grid = TileGrid(shape, (planes, 32, 32), ((4, 4),) * 3, (4,) * 3)
    assert make_order(Image(np.broadcast_to(np.zeros((), "u1"), shape), "zyx"), grid).sweep == sweep


def test_tiles_of_an_order_of_ones_own_are_computed_each_by_itself():
    grid = TileGrid(SHAPE, (16, 28, 28), ((4, 4),) * 3, (4,) * 3)
    assert _run(_Chunked(SHAPE), TileOrder(grid)) == (0, 1)


def test_a_sweep_comes_closer_to_a_tile_one_tile_at_a_time():
    engine, grid = _Sweeper(), TileGrid(SHAPE, (16, 128, 128), ((4, 4),) * 3, (4,) * 3)
    columns = Columns(engine, _Padded(), grid, 0, 8)
    sixth = grid[(5, 0, 0)]
    assert [columns.approach(sixth) for _ in range(6)] == [False] * 4 + [True] * 2
    assert columns.sweep(sixth).shape == (1, 16, 128, 128)
    assert engine.swept == 6 * 16 * 128 * 128
    assert columns.approach(grid[(6, 0, 0)])
