"""Layer data shows what is written, and nothing that is not."""

from threading import Thread

import numpy as np
import pytest
import zarr
from hypothesis import given, settings
from hypothesis import strategies as st
from napari.layers._data_protocols import LayerDataProtocol

from napari_tileseg._napari.results.finished_tiles import ClassTiles, FinishedChunks, LabelledTiles
from napari_tileseg.tiling import Box

SHAPE = (2, 7, 9, 11)


def filled(limit=None):
    """Make an array with known values, and a cache of it."""
    array = zarr.create_array({}, shape=SHAPE, chunks=(1, 3, 4, 5), dtype="f4", fill_value=float("nan"))
    array[:] = np.arange(np.prod(SHAPE)).reshape(SHAPE)
    return array, FinishedChunks(array, limit)


def keys(size):
    ends = st.none() | st.integers(-size, size)
    return st.integers(-size, size - 1) | st.builds(slice, ends, ends, st.sampled_from([None, 1, 2, 3]))


@given(st.tuples(*(keys(n) for n in SHAPE[1:])), st.integers(1, 3), st.booleans())
@settings(max_examples=150)
def test_slicing_is_numpys(key, count, dots):
    array, cache = filled()
    key = key[:count]
    key = (..., *key) if dots else key
    np.testing.assert_array_equal(ClassTiles(cache, 1)[key], array[1][key])


@pytest.mark.parametrize("key", [7, -8, (0, 0, 0, 0), [1, 2], None])
def test_what_cannot_be_indexed_is_an_index_error(key):
    with pytest.raises(IndexError):
        ClassTiles(filled()[1], 0)[key]


def test_it_is_what_napari_asks_of_layer_data():
    _, cache = filled()
    assert isinstance(ClassTiles(cache, 0), LayerDataProtocol)
    assert isinstance(LabelledTiles(cache, lambda v: v.argmax(0).astype(np.uint8)), LayerDataProtocol)
    assert np.asarray(ClassTiles(cache, 1)).shape == SHAPE[1:]


def test_unfinished_voxels_are_nan_and_labels_0():
    array = zarr.create_array({}, shape=SHAPE, chunks=(1, 3, 4, 5), dtype="f4", fill_value=float("nan"))
    assert np.isnan(ClassTiles(FinishedChunks(array), 0)[0]).all()


def test_a_tile_shows_once_it_is_refreshed_and_no_file_is_read_then():
    array, cache = filled()
    data = ClassTiles(cache, 0)
    before = data[0, :4, :5].copy()
    array[0, :3, :4, :5] = -1
    np.testing.assert_array_equal(data[0, :4, :5], before)
    cache.refresh(Box((0, 0, 0, 0), (2, 3, 4, 5)))
    cache.array = None
    assert (cache._kept[0, 0, 0, 0] == -1).all()


def test_memory_stays_within_the_limit():
    array, cache = filled(limit=1000)
    np.testing.assert_array_equal(ClassTiles(cache, 0)[...], array[0])
    assert cache._bytes <= 1000
    assert cache._bytes == sum(chunk.nbytes for chunk in cache._kept.values())


class Slow:
    """Gives the old values although the array is rewritten while they are read."""

    def __init__(self, array):
        self.array, self.shape, self.dtype, self.chunks = array, array.shape, array.dtype, array.chunks
        self.during = None

    def __getitem__(self, key):
        values = self.array[key]
        during, self.during = self.during, None
        if during is not None:
            during()
        return values


def test_a_chunk_that_was_rewritten_while_it_was_read_is_not_kept():
    array, _ = filled()
    slow = Slow(array)
    cache = FinishedChunks(slow)

    def rewrite():
        array[0, :3, :4, :5] = -1
        thread = Thread(target=cache.refresh, args=(Box((0, 0, 0, 0), (1, 3, 4, 5)),))
        thread.start()
        thread.join()

    slow.during = rewrite
    assert (cache[Box((0, 0, 0, 0), (1, 3, 4, 5))] != -1).any()
    assert (cache[Box((0, 0, 0, 0), (1, 3, 4, 5))] == -1).all()


class Unread:
    """An array that must not be read."""

    shape, dtype, chunks = SHAPE, np.dtype("f4"), (1, 3, 4, 5)

    def __getitem__(self, key):
        raise AssertionError("read")


def test_where_nothing_is_written_nothing_is_read():
    assert np.isnan(ClassTiles(FinishedChunks(Unread(), written=()), 0)[...]).all()


def test_what_was_written_before_and_since_is_read():
    array, _ = filled()
    cache = FinishedChunks(array, written=[Box((0, 0, 0, 0), (1, 3, 4, 5))])
    cache.mark_written(Box((0, 3, 0, 0), (1, 6, 4, 5)))
    cache.refresh(Box((0, 6, 0, 0), (1, 7, 4, 5)))
    values = ClassTiles(cache, 0)[...]
    np.testing.assert_array_equal(values[:, :4, :5], array[0, :, :4, :5])
    assert np.isfinite(values).sum() == 7 * 4 * 5
