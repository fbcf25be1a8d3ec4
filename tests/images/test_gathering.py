"""Boxes that are read together hold what each would by itself, and cost each chunk once."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from napari_tileseg.images.gathering import read_boxes
from napari_tileseg.images.image import Image
from napari_tileseg.tiling import Box
from napari_tileseg.tiling.chunks import chunks_of


def _draw_box(data, shape):
    starts = tuple(data.draw(st.integers(0, n - 1)) for n in shape)
    return Box(starts, tuple(data.draw(st.integers(a + 1, n)) for a, n in zip(starts, shape, strict=True)))


def _drawn(data, chunked):
    """An image of two channels, one of which is read, and boxes of it."""
    shape = data.draw(st.tuples(*(st.integers(1, 9),) * data.draw(st.integers(2, 3))))
    chunk = tuple(data.draw(st.integers(1, n)) for n in (2, *shape))
    voxels = np.random.default_rng(0).integers(0, 60000, (2, *shape)).astype(">u2")
    image = Image(chunked(voxels, chunk), "czyx" if len(shape) == 3 else "cyx", channels=(1,))
    return image, sorted({_draw_box(data, shape) for _ in range(6)})


@given(data=st.data())
def test_each_chunk_is_read_once(chunked, data):
    image, boxes = _drawn(data, chunked)
    for box, values in zip(boxes, read_boxes(image, boxes), strict=True):
        np.testing.assert_array_equal(values, image.data.voxels[1:][(slice(None), *box.slices)])
    needed = {
        i for box in boxes for i, _ in chunks_of(image.stored_box(box), image.data.chunks, image.data.shape)
    }
    assert image.data.decoded == dict.fromkeys(needed, 1)


@given(data=st.data(), most=st.integers(1, 400))
def test_little_room_changes_no_voxel(chunked, data, most):
    image, boxes = _drawn(data, chunked)
    for box, values in zip(boxes, read_boxes(image, boxes, most), strict=True):
        np.testing.assert_array_equal(values, image.data.voxels[1:][(slice(None), *box.slices)])


def _read_all(source, boxes, most):
    assert len(list(read_boxes(Image(source, "yx"), boxes, most))) == len(boxes)


@pytest.mark.parametrize(
    ("most", "largest", "times"), [(64, 64, 1), (32, 32, 1), (28, 8, 2)], ids=["both", "chunk", "box"]
)
def test_what_is_read_at_once_is_bounded(chunked, most, largest, times):
    source = chunked(np.zeros((4, 16), "u1"), (4, 8))
    _read_all(source, [Box((0, a), (4, b)) for a, b in ((7, 9), (0, 2), (14, 16))], most)
    assert source.most == largest
    assert source.decoded == {(0, 0): times, (0, 1): times}


@pytest.mark.parametrize(("most", "times"), [(12, 1), (4, 3), (1, 6)])
def test_boxes_that_wait_are_bounded(chunked, most, times):
    source = chunked(np.zeros((1, 12), "u1"), (1, 12))
    _read_all(source, [Box((0, a), (1, a + 2)) for a in range(0, 12, 2)], most)
    assert source.decoded == {(0, 0): times}
