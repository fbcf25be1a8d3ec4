from math import prod

import numpy as np
import zarr
from hypothesis import given
from hypothesis import strategies as st
from zarr.storage import MemoryStore, WrapperStore

from napari_tileseg.images.image import Image
from napari_tileseg.images.resample import origin_of, resampled
from napari_tileseg.images.source import Transposed
from napari_tileseg.prediction import plan_tiles, predict_to_store
from napari_tileseg.prediction.input.chunk_cache import FLOOR, SHARE, ChunkCache, cache_chunks, room
from napari_tileseg.prediction.input.slots import Slots
from napari_tileseg.prediction.order.order_search import make_order
from napari_tileseg.prediction.order.tile_order import TileOrder
from napari_tileseg.settings import PredictSettings
from napari_tileseg.tiling import Box, TileGrid


class Counting(WrapperStore):
    """A store that counts the bytes that are fetched from it."""

    fetched = 0

    async def get(self, key, *args, **kwargs):
        value = await super().get(key, *args, **kwargs)
        if value is not None and not key.endswith("zarr.json"):
            self.fetched += len(value)
        return value


def _stored(voxels, chunks):
    """An uncompressed zarr array, and the store that counts what is read of it."""
    store = Counting(MemoryStore())
    array = zarr.create_array(store, data=voxels, chunks=chunks, compressors=None)
    store.fetched = 0
    return array, store


class _Chunked:
    """A source of zeros that counts the bytes of the chunks it would have to decode."""

    dtype = np.dtype("u1")

    def __init__(self, shape, chunks):
        self.shape, self.chunks, self.nbytes = shape, chunks, prod(shape)
        self.fetched = 0

    def __getitem__(self, key):
        bounds = [part.indices(n)[:2] for part, n in zip(key, self.shape, strict=True)]
        self.fetched += prod(
            min(-(-b // c) * c, n) - a // c * c
            for (a, b), c, n in zip(bounds, self.chunks, self.shape, strict=True)
        )
        return np.zeros([b - a for a, b in bounds], self.dtype)


def _voxels(shape):
    return np.random.default_rng(0).integers(1, 60000, shape).astype("u2")


@given(st.data())
def test_what_is_read_is_what_the_source_holds(data):
    shape = data.draw(st.tuples(*(st.integers(1, 9),) * data.draw(st.integers(1, 3))))
    chunk = tuple(data.draw(st.integers(1, n)) for n in shape)
    source = _voxels(shape)
    cache = ChunkCache(source, chunk, data.draw(st.integers(0, 2 * source.nbytes)))
    boxes = [_draw_box(data, shape) for _ in range(8)]
    if data.draw(st.booleans()):
        cache.expect(boxes)
    for box in boxes:
        assert np.array_equal(cache[box.slices], source[box.slices])
        if data.draw(st.booleans()):
            cache.release(box)


def _draw_box(data, shape):
    ends = [sorted(data.draw(st.tuples(st.integers(0, n), st.integers(0, n)))) for n in shape]
    return Box(tuple(a for a, _ in ends), tuple(b for _, b in ends))


def test_it_is_sliced_like_an_array():
    source = _voxels((6, 7))
    cache = ChunkCache(source, (4, 4), 10**6)
    steps = (
        (slice(None, None, 2),),
        (slice(1, 6, 3), slice(None, None, -1)),
        (slice(5, 0, -2), slice(6, 0, -4)),
    )
    for key in ((2,), (-1, slice(2, None)), (slice(None), 3), (slice(3, 3),), (slice(4, 2, 2), 3), *steps):
        assert np.array_equal(cache[key], source[key])
    assert (cache.shape, cache.ndim, cache.dtype) == ((6, 7), 2, source.dtype)


def _read_tiles(image, order, limit):
    """Read every tile once, as a prediction does; gives what was read."""
    kept = cache_chunks(image, limit) if limit else image
    boxes = [tile.read.clip(Box.of_shape(image.shape)) for tile in order.peek()]
    if limit:
        kept.data.expect(boxes)
    for box in boxes:
        yield box, kept.read(box)[0]
        if limit:
            kept.data.release(box)


def test_each_byte_is_fetched_from_a_store_once():
    voxels, limit = _voxels((32, 32, 96)), 110 * 1024
    array, store = _stored(voxels, (8, 8, 8))
    image = Image(array, "zyx")
    grid = TileGrid(voxels.shape, (16,) * 3, ((6, 6),) * 3, (4,) * 3)
    # Of 192 chunks there is room for 110, enough for the layers that are swept along the longest axis.
    for box, values in _read_tiles(image, make_order(image, grid, limit=limit), limit):
        assert np.array_equal(values, voxels[box.slices])
    assert store.fetched == voxels.nbytes


class _Recording(_Chunked):
    """A source that remembers the last box it was asked for."""

    def __getitem__(self, key):
        self.asked = Box(tuple(part.start for part in key), tuple(part.stop for part in key))
        return super().__getitem__(key)


@given(st.data())
def test_it_is_known_which_voxels_a_resampled_image_takes(data):
    source = _Recording((30, 40), (8, 8))
    stored = Image(source, "yx", voxel_size=(1.0, 0.5))
    view = resampled(stored, data.draw(st.tuples(*(st.floats(0.2, 3),) * 2)))
    start = tuple(data.draw(st.integers(0, n - 1)) for n in view.shape)
    box = Box(start, tuple(data.draw(st.integers(a + 1, n)) for a, n in zip(start, view.shape, strict=True)))
    origin, box_of = origin_of(view)
    view.read(box)
    assert origin is stored
    assert box_of(box) == source.asked


def test_the_order_and_the_cache_know_the_chunks_of_a_resampled_image(tmp_path, make_network, monkeypatch):
    array, _ = _stored(_voxels((16, 48, 64)), (8, 8, 8))
    image = Image(array, "zyx", voxel_size=(1.0, 0.5, 0.5), units=("micrometer",) * 3)
    network = make_network(3, voxel_size=(1.0, 1.0, 1.0))
    settings = PredictSettings(resample=True, core=(8, 8, 8), device="cpu")
    tiles = plan_tiles(image, network.spec, settings)
    assert make_order(tiles.image, tiles.grid).cache_bytes >= 4 * 8**3 * 2, (
        "bytes of the chunks that are stored"
    )
    expected, expect = [], ChunkCache.expect

    def watched(self, boxes, limit=0):
        expected.extend(boxes := list(boxes))
        expect(self, boxes, limit)

    monkeypatch.setattr(ChunkCache, "expect", watched)
    list(predict_to_store(image, network, settings, tmp_path / "out"))
    assert len(expected) == len(tiles.grid)
    assert {box.stop for box in expected} >= {(16, 48, 64)}


def _fetched(source, grid, order, limit):
    """Bytes fetched over the bytes of the image."""
    source.fetched = 0
    for _ in _read_tiles(Image(source, "zyx"[-grid.ndim :]), order, limit):
        pass
    return source.fetched / source.nbytes


def test_half_a_percent_of_a_large_image_is_room_enough():
    source = _Chunked((4096, 4096), (16, 16))
    grid = TileGrid(source.shape, (128, 128), ((6, 6), (6, 6)), (4, 4))
    limit = source.nbytes // 200
    assert 1 <= _fetched(source, grid, make_order(Image(source, "yx"), grid, limit=limit), limit) <= 1.15


def test_where_a_layer_has_no_room_columns_read_less_than_c_order():
    source = _Chunked((96, 96, 96), (8, 8, 8))
    grid = TileGrid(source.shape, (16,) * 3, ((6, 6),) * 3, (4,) * 3)
    limit = source.nbytes // 5
    swept = _fetched(source, grid, make_order(Image(source, "zyx"), grid, limit=limit), limit)
    in_c_order = _fetched(source, grid, TileOrder(grid), limit)
    assert 1 < swept <= 1.2 < in_c_order < _fetched(source, grid, TileOrder(grid), 0)


@given(st.data())
def test_an_order_has_every_tile_once(data):
    ndim = data.draw(st.integers(2, 4))
    shape = tuple(data.draw(st.integers(1, 20)) for _ in range(ndim))
    stride = tuple(data.draw(st.integers(1, 2)) for _ in range(ndim))
    core = tuple(step * data.draw(st.integers(1, 6)) for step in stride)
    grid = TileGrid(shape, core, ((data.draw(st.integers(0, 3)), 1),) * ndim, stride)
    chunk = tuple(data.draw(st.integers(1, 9)) for _ in shape)
    image = Image(_Chunked(shape, chunk), "tzyx"[-ndim:])
    order = make_order(image, grid, data.draw(st.integers(0, ndim - 1)), data.draw(st.integers(0, 5000)))
    assert sorted(tile.index for tile in order.peek()) == [tile.index for tile in grid]


def test_channels_are_kept_as_they_are_stored():
    voxels = _voxels((12, 3, 12))
    array, store = _stored(voxels, (4, 1, 4))
    image = Image(array, "ycx", channels=(2, 1))
    kept = cache_chunks(image, voxels.nbytes)
    for start in (0, 2, 4):
        box = Box((start, start), (start + 8, start + 8))
        assert np.array_equal(kept.read(box), voxels.transpose(1, 0, 2)[[2, 1]][(slice(None), *box.slices)])
    assert store.fetched == voxels.nbytes * 2 // 3


def test_no_more_is_kept_than_may_be():
    source = _voxels((40, 40))
    cache = ChunkCache(source, (8, 8), 700)
    for start in range(0, 32, 4):
        cache[start : start + 8, :]
        assert cache.cached_bytes == 640, "five chunks"
    cache.expect([Box((0, 0), (40, 40))], 256)
    assert cache.cached_bytes == 256
    assert np.array_equal(cache[:, :], source)
    assert cache.cached_bytes == 256


def test_chunks_take_the_room_of_those_that_are_let_go(monkeypatch):
    """So a process does not grow while chunks come and go."""
    taken, take = [], Slots.take

    def watched(self):
        taken.append(slot := take(self))
        return slot

    monkeypatch.setattr(Slots, "take", watched)
    source = _voxels((40, 43))
    cache = ChunkCache(source, (8, 8), 700)
    boxes = [Box((start, 0), (start + 8, 43)) for start in range(0, 40, 8)]
    cache.expect(boxes)
    for box in boxes:
        assert np.array_equal(cache[box.slices], source[box.slices])
        cache.release(box)
        assert cache.cached_bytes == 0
    assert len(taken) == 30, "chunks"
    assert len({slot.ctypes.data for slot in taken}) == 5


def test_a_chunk_that_is_larger_than_the_image_takes_the_room_of_the_image():
    source = _voxels((10, 12))
    cache = ChunkCache(source, (64, 64), source.nbytes)
    assert np.array_equal(cache[2:, :5], source[2:, :5])
    assert cache.cached_bytes == source.nbytes


def test_sources_that_are_not_stored_in_chunks_are_left_alone():
    plain = Image(_voxels((8, 8)), "yx")
    assert cache_chunks(plain) is plain
    array, _ = _stored(plain.data, (8, 8))
    coarse = Image(_Chunked((2**17, 2**17), (2**17, 2**17)), "yx")
    assert cache_chunks(coarse) is coarse, "one chunk is more than may be kept"
    assert cache_chunks(Image(array, "yx")).data.chunks == (8, 8)
    turned = Image(Transposed(_Chunked((6, 8), (3, 4)), (1, 0)), "yx")
    assert turned.chunk == (4, 3)


def test_the_room_is_a_share_of_large_images():
    assert room(Image(_Chunked((100, 100), (10, 10)), "yx")) == FLOOR
    large = 10**6
    assert room(Image(_Chunked((large, large), (512, 512)), "yx")) == int(SHARE * large**2)
