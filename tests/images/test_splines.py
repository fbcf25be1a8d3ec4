"""Splines through an image against SciPy, and their laws."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import ndimage

from napari_tileseg.images.image import Image
from napari_tileseg.images.resample import origin_of
from napari_tileseg.images.splines import Limits, SplinedSource, Splines, splined, splined_onto
from napari_tileseg.tiling import Box

SMALL = np.random.default_rng(0).normal(size=(5, 9, 7)).astype(np.float32)
LARGE = np.random.default_rng(1).normal(100, 40, size=(7, 160, 170)).astype(np.float32)
CUBIC = Splines((3, 3, 3))
shapes = st.tuples(*(st.integers(1, 20),) * 3)


def whole(image: Image) -> np.ndarray:
    return image.read(Box.of_shape(image.shape))


def zoomed(values: np.ndarray, shape: tuple[int, ...], order: int) -> np.ndarray:
    factors = [new / old for new, old in zip(shape, values.shape, strict=True)]
    return ndimage.zoom(values, factors, order=order, mode="nearest", grid_mode=True)


@given(shapes, st.sampled_from([0, 1, 3]))
def test_they_are_those_of_scipy_over_the_same_extent(shape: tuple[int, ...], order: int) -> None:
    image = Image(SMALL.astype(np.float64), "zyx", voxel_size=(2, 1, 0.5), translation=(5, -3, 1))

    view = splined(image, shape, Splines((order,) * 3))

    np.testing.assert_allclose(whole(view)[0], zoomed(image.data, shape, order), atol=1e-10)
    for axis, size in enumerate(view.voxel_size):
        faces = [(each.translation[axis], each.voxel_size[axis], each.shape[axis]) for each in (image, view)]
        near = [place - size / 2 for place, size, _ in faces]
        assert near[0] == pytest.approx(near[1])
        assert faces[0][1] * faces[0][2] == pytest.approx(size * shape[axis])


@given(st.data())
def test_any_box_is_a_part_of_the_whole(data: st.DataObject) -> None:
    shape = (7, data.draw(st.integers(100, 240)), data.draw(st.integers(100, 240)))
    view = splined(Image(LARGE, "zyx"), shape, CUBIC)
    ends = [sorted(data.draw(st.tuples(st.integers(0, n), st.integers(0, n)))) for n in view.shape]
    box = Box(tuple(a for a, _ in ends), tuple(b for _, b in ends))

    np.testing.assert_allclose(view.read(box), whole(view)[(slice(None), *box.slices)], rtol=1e-6, atol=1e-4)


def test_only_the_surroundings_of_a_box_are_read() -> None:
    stored = Image(np.zeros((400, 400), np.uint8), "yx")
    origin, box_of = origin_of(splined(stored, (800, 400), Splines((3, 3))))

    assert origin is stored
    read = box_of(Box((300, 100), (310, 110)))
    # An axis that keeps its voxels needs none around them.
    assert (read.start[1], read.stop[1]) == (100, 111)
    assert read.start[0] > 100
    assert read.shape[0] < 60


@pytest.mark.parametrize("old", range(1, 41))
def test_a_middle_between_two_voxels_is_taken_as_by_scipy(old: int) -> None:
    for new in range(1, 41):
        _check_middles(old, new)


def _check_middles(old: int, new: int) -> None:
    values = np.arange(old, dtype=float)
    places = old / new * (np.arange(new) + 0.5) - 0.5
    expected = ndimage.map_coordinates(values, [places], order=0, mode="nearest")
    image = Image(values[np.newaxis], "yx", voxel_size=(1, 0.3), translation=(0, 7.1))
    view = splined(image, (1, new), Splines((0, 0)))
    np.testing.assert_array_equal(whole(view)[0, 0], expected)
    # And on the way back, where places are known by the voxel sizes alone.
    back = splined_onto(view, image, Splines((0, 0)))
    places = new / old * (np.arange(old) + 0.5) - 0.5
    expected = ndimage.map_coordinates(whole(view)[0, 0], [places], order=0, mode="nearest")
    np.testing.assert_array_equal(whole(back)[0, 0], expected)


def test_planes_are_clipped_each_to_its_limits_and_then_joined() -> None:
    values = np.where(SMALL > 0, 100.0, 0.0) * np.arange(1, 6)[:, None, None]
    splines = Splines((1, 3, 3), apart=frozenset({0}))
    image = Image(values, "zyx")
    view = splined(image, (9, 20, 15), splines)
    low, high = (each(values, axis=(1, 2), keepdims=True)[np.newaxis] for each in (np.min, np.max))
    source = view.data
    assert isinstance(source, SplinedSource)
    found = source.over(image, Limits(low, high))[:, :]

    planes = np.stack([np.clip(zoomed(each, (20, 15), 3), each.min(), each.max()) for each in values])
    np.testing.assert_allclose(found, zoomed(planes, (9, 20, 15), 1), atol=1e-9)
    part = source.over(image, Limits(low, high))[3:5, 2:9, ::-2]
    np.testing.assert_allclose(part, found[3:5, 2:9, ::-2], atol=1e-9)
    # Without limits they overshoot.
    assert whole(view).max() > 500


def test_time_points_and_channels_are_taken_each_by_itself() -> None:
    movie = np.random.default_rng(2).random((2, 3, 8, 9))
    image = Image(movie, "tcyx", channel_names=("a", "b", "c"), channels=(2, 0))
    view = splined(image, (2, 11, 5), Splines((0, 3, 3), apart=frozenset({0})))
    assert (view.axes, view.channel_names) == ("ctyx", ("c", "a"))
    for number, channel in enumerate((2, 0)):
        for time in range(2):
            expected = zoomed(movie[time, channel], (11, 5), 3)
            np.testing.assert_allclose(whole(view)[number, time], expected, atol=1e-10)


def test_what_is_not_finite_spreads_no_further_than_linearly() -> None:
    values = LARGE[0].copy()
    values[80, 90] = np.nan
    values[20, 30] = np.inf
    view = splined(Image(values, "yx"), (320, 340), Splines((3, 3)))
    lost = ~np.isfinite(whole(view)[0])
    expected = ~np.isfinite(whole(splined(Image(values, "yx"), (320, 340), Splines((1, 1))))[0])
    np.testing.assert_array_equal(lost, expected)
    assert 0 < lost.sum() < 50
