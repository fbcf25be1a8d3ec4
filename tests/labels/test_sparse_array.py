"""A sparse array is an array: NumPy is the oracle."""

import copy
import threading

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from napari_tileseg.labels.sparse_array import SparseArray

SHAPE, CHUNKS = (5, 7, 9), (2, 3, 4)


def keys(size):
    ends = st.none() | st.integers(-size, size)
    return st.integers(-size, size - 1) | st.builds(slice, ends, ends, st.sampled_from([None, 1, 2, -1]))


boxes = st.tuples(*(keys(n) for n in SHAPE))
points = st.lists(st.tuples(*(st.integers(0, n - 1) for n in SHAPE)), min_size=1, max_size=6).map(
    lambda listed: tuple(np.array(column) for column in zip(*listed, strict=True))
)
writes = st.lists(st.tuples(boxes | points, st.integers(0, 3)), max_size=5)


@given(writes, boxes | points)
@settings(max_examples=200)
def test_what_is_written_is_read_as_from_numpy(written, key):
    sparse, plain = SparseArray(SHAPE, CHUNKS, np.uint8), np.zeros(SHAPE, np.uint8)
    for where, value in written:
        sparse[where] = value
        plain[where] = value
    np.testing.assert_array_equal(sparse[key], plain[key])
    np.testing.assert_array_equal(np.asarray(sparse), plain)


@given(writes)
@settings(max_examples=100)
def test_every_change_is_told(written):
    sparse, told = SparseArray(SHAPE, CHUNKS, np.uint8), np.zeros(SHAPE, bool)

    def tell(box):
        told[box.slices] = True

    sparse.changed = tell
    for where, value in written:
        sparse[where] = value
    assert told[np.asarray(sparse) > 0].all()


def test_chunks_exist_only_where_something_is():
    huge = SparseArray((10**6, 10**6, 10**6), (16, 128, 128), np.uint8)
    huge[10, 5:9, 500_000:500_003] = 2
    huge[77, :10, :10] = 0
    assert huge.written == {(0, 0, 3906)}
    assert huge[10, 0:10, 499_999:500_004].sum() == 2 * 4 * 3


def test_what_is_read_is_a_copy():
    sparse = SparseArray(SHAPE, CHUNKS, np.uint8)
    sparse[0] = 1
    sparse[0][:] = 9
    assert sparse[0].max() == 1


def test_another_fill_value_takes_no_room_either():
    sparse = SparseArray(SHAPE, CHUNKS, np.float32, fill=np.nan)
    sparse[0] = np.nan
    assert not sparse.written
    sparse[1, 0, 0] = 3
    assert np.nansum(np.asarray(sparse)) == 3
    assert np.isnan(sparse[0]).all()


@pytest.mark.parametrize("key", [5, (0, 0, 0, 0), None, (np.array([0]), np.array([9]), np.array([0]))])
def test_what_cannot_be_indexed_is_an_index_error(key):
    sparse = SparseArray(SHAPE, CHUNKS, np.uint8)
    with pytest.raises(IndexError):
        sparse[key]
    with pytest.raises(IndexError):
        sparse[key] = 1


def test_a_copy_is_an_array_of_its_own_and_tells_nobody():
    class Listener(list):
        lock = None

        def tell(self, box):
            self.append(box)

    listener = Listener()
    listener.lock = threading.Lock()
    sparse = SparseArray(SHAPE, CHUNKS, np.uint8)
    sparse.changed = listener.tell
    sparse[1, 2, 3] = 7
    copied = copy.deepcopy(sparse)
    np.testing.assert_array_equal(np.asarray(copied), np.asarray(sparse))
    assert (copied.chunks, copied.dtype, copied.written) == (sparse.chunks, sparse.dtype, sparse.written)
    told = len(listener)
    copied[1, 2, 3] = 9
    assert sparse[1, 2, 3] == 7
    assert len(listener) == told
