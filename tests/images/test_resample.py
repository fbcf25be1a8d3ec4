"""Resampling against SciPy, and its laws."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import ndimage

from napari_tileseg.errors import ImageError
from napari_tileseg.images import resampled, resampled_onto
from napari_tileseg.images.image import Image
from napari_tileseg.tiling import Box

VOLUME = np.random.default_rng(0).normal(size=(5, 9, 7)).astype(np.float32)
sizes = st.lists(st.floats(0.3, 3.5), min_size=3, max_size=3)
interpolations = st.sampled_from(["linear", "nearest"])


class Counted:
    """An array that counts the voxels that are read of it."""

    def __init__(self, values: np.ndarray) -> None:
        self.values, self.shape, self.dtype, self.read = values, values.shape, values.dtype, 0

    def __getitem__(self, key: tuple[slice | int, ...]) -> np.ndarray:
        self.read += self.values[key].size
        return self.values[key]


def whole(image: Image) -> np.ndarray:
    return image.read(Box.of_shape(image.shape))


@given(sizes, interpolations, st.data())
def test_any_box_is_a_part_of_the_whole(size: list[float], interpolation: str, data: st.DataObject) -> None:
    view = resampled(Image(VOLUME, "zyx", voxel_size=(2, 1, 0.5)), size, interpolation)
    ends = [sorted(data.draw(st.tuples(st.integers(0, n), st.integers(0, n)))) for n in view.shape]
    box = Box(tuple(a for a, _ in ends), tuple(b for _, b in ends))

    np.testing.assert_array_equal(view.read(box), whole(view)[(slice(None), *box.slices)])


@given(sizes)
def test_linear_is_that_of_scipy_and_keeps_the_extent(size: list[float]) -> None:
    image = Image(VOLUME.astype(np.float64), "zyx", voxel_size=(2, 1, 0.5), translation=(5, -3, 1))

    view = resampled(image, size)

    world = [
        t + v * np.arange(n) for t, v, n in zip(view.translation, view.voxel_size, view.shape, strict=True)
    ]
    placed = zip(world, image.translation, image.voxel_size, strict=True)
    places = np.meshgrid(*[(w - t) / v for w, t, v in placed], indexing="ij")
    expected = ndimage.map_coordinates(image.data, places, order=1, mode="nearest")
    np.testing.assert_allclose(whole(view)[0], expected, atol=1e-12)
    for axis, new in enumerate(size):
        old, place = image.voxel_size[axis], image.translation[axis]
        assert view.translation[axis] - new / 2 == pytest.approx(place - old / 2)
        missed = abs(view.shape[axis] * new - VOLUME.shape[axis] * old)
        assert missed <= new / 2 + 1e-9 or view.shape[axis] == 1


@given(sizes)
def test_labels_stay_labels(size: list[float]) -> None:
    labels = (VOLUME > 0.5).astype(np.uint16) * 700

    view = resampled(Image(labels, "zyx"), size, "nearest")

    assert view.dtype == np.uint16
    assert set(np.unique(whole(view))) <= {0, 700}


@given(interpolations)
def test_own_voxel_size_changes_nothing_not_even_beside_nan(interpolation: str) -> None:
    values = np.where(VOLUME > 1, np.nan, VOLUME)
    values[0, 0, :2] = np.inf
    np.testing.assert_array_equal(whole(resampled(Image(values, "zyx"), (1, 1, 1), interpolation))[0], values)


def test_a_voxel_that_lies_on_another_takes_nothing_of_its_neighbours() -> None:
    values = np.array([[1.0, np.nan, 2.0, 4.0]])
    finer = Image(np.zeros((1, 7)), "yx", voxel_size=(1, 0.5))

    view = resampled_onto(Image(values, "yx"), finer)

    np.testing.assert_array_equal(whole(view)[0], [[1, np.nan, np.nan, np.nan, 2, 3, 4]])


def test_a_ramp_goes_there_and_back_exactly() -> None:
    ramp = Image(np.arange(16.0)[:, np.newaxis] + 10 * np.arange(12.0), "yx", voxel_size=(0.5, 0.25))

    finer = resampled(ramp, (0.25, 0.125))
    back = resampled_onto(finer, ramp)

    assert (back.shape, back.voxel_size, back.translation) == (ramp.shape, ramp.voxel_size, ramp.translation)
    inner = (slice(1, -1), slice(1, -1))
    np.testing.assert_allclose(whole(back)[0][inner], ramp.data[inner], atol=1e-12)


@pytest.mark.parametrize("interpolation", ["linear", "nearest"])
def test_only_what_is_needed_is_read(interpolation: str) -> None:
    source = Counted(np.zeros((64, 64, 64), np.uint8))
    view = resampled(Image(source, "zyx"), (2, 0.5, 1), interpolation)

    view.read(Box((4, 4, 4), (8, 12, 8)))

    assert source.read <= 9 * 7 * 6


def test_selected_channels_and_time_are_kept() -> None:
    movie = np.random.default_rng(0).integers(0, 99, (2, 3, 4, 6)).astype(np.uint8)
    image = Image(movie, "tcyx", voxel_size=(30, 1, 1), channel_names=("a", "b", "c"), channels=(2, 0))

    view = resampled(image, (2, 2))

    assert (view.axes, view.shape, view.voxel_size) == ("ctyx", (2, 2, 3), (30, 2, 2))
    assert (view.channel_names, view.dtype) == (("c", "a"), np.float32)
    means = movie.reshape(2, 3, 2, 2, 3, 2).mean(axis=(3, 5))[:, [2, 0]].swapaxes(0, 1)
    np.testing.assert_allclose(whole(view), means, rtol=1e-6)
    one = view.with_channels((1,)).read(Box((1, 0, 0), (2, 2, 3)))
    np.testing.assert_allclose(one, means[1:, 1:], rtol=1e-6)
    assert view.data[0, 1, :, 2].shape == (2,)


def test_sizes_and_targets_that_do_not_fit_are_refused() -> None:
    image = Image(VOLUME, "zyx")
    for size in [(1, 1), (1, 1, 0), (1, 1, float("nan"))]:
        with pytest.raises(ImageError, match="as many positive entries"):
            resampled(image, size)
    with pytest.raises(ImageError, match="axes and units"):
        resampled_onto(image, Image(VOLUME[0], "yx"))
