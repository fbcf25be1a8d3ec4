"""Laws of the synthetic samples."""

import numpy as np
import pytest
from scipy import ndimage

from napari_tileseg.errors import SettingsError
from napari_tileseg.labels import classes_from_instances
from napari_tileseg.samples import cells_image, nuclei_volume

MAKERS = pytest.mark.parametrize(
    ("make", "shape"), [(nuclei_volume, (32, 128, 128)), (cells_image, (300, 400))], ids=["nuclei", "cells"]
)


@MAKERS
def test_same_seed_gives_same_sample_and_another_seed_another(make, shape):
    one, two, other = make(shape, 3), make(shape, 3), make(shape, 4)
    np.testing.assert_array_equal(one.image, two.image)
    np.testing.assert_array_equal(one.labels, two.labels)
    assert not np.array_equal(one.image, other.image)
    assert not np.array_equal(one.labels, other.labels)


@MAKERS
@pytest.mark.parametrize("seed", range(4))
def test_labels_count_from_one_without_gaps_and_some_objects_touch(make, shape, seed):
    sample = make(shape, seed)
    assert sample.image.shape == sample.labels.shape == shape
    assert sample.image.dtype == sample.labels.dtype == np.uint16
    assert len(sample.voxel_size) == len(shape)
    found = np.unique(sample.labels)
    np.testing.assert_array_equal(found, np.arange(found.size))
    assert found.size > 4
    parts, count = ndimage.label(sample.labels > 0)
    assert count < found.size - 1, "at least two objects share a connected part"
    assert parts.max() == count


@MAKERS
@pytest.mark.parametrize("seed", range(4))
def test_objects_are_brighter_than_background(make, shape, seed):
    sample = make(shape, seed)
    objects = sample.labels > 0
    assert 0.01 < objects.mean() < 0.5
    assert np.median(sample.image[objects]) > np.percentile(sample.image[~objects], 80)


@pytest.mark.parametrize("seed", range(3))
def test_statistics_differ_between_tiles(seed):
    """There are empty tiles, full tiles, and a band whose background is bright."""
    sample = nuclei_volume((32, 256, 256), seed)
    tiles = (sample.labels > 0).reshape(32, 8, 32, 8, 32).mean(axis=(0, 2, 4))
    assert tiles.min() == 0
    assert np.mean(tiles < 0.01) > 0.15
    assert tiles.max() > 0.15
    background = np.where(sample.labels == 0, sample.image.astype(float), np.nan)
    columns = ndimage.uniform_filter1d(np.nanmean(background, axis=(0, 1)), 8) - 95
    assert columns.max() > 2 * np.median(columns)


@pytest.mark.parametrize("shape", [(1, 1, 1), (1, 40, 3), (70, 5, 9)])
def test_odd_shapes_work(shape):
    assert nuclei_volume(shape).image.shape == shape


@pytest.mark.parametrize(
    ("make", "shape", "seed"),
    [(nuclei_volume, (64, 64), 0), (cells_image, (8, 0), 0), (cells_image, (8, 8), -1)],
)
def test_impossible_requests_are_refused(make, shape, seed):
    with pytest.raises(SettingsError, match="positive lengths"):
        make(shape, seed)


@MAKERS
@pytest.mark.parametrize("width", [1, 2])
def test_classes_follow_their_definition(make, shape, width):
    """Oracle: erode each object by itself."""
    labels = make(tuple(n // 2 for n in shape), 1).labels
    foreground, boundary = classes_from_instances(labels, width)
    expected = np.zeros_like(foreground)
    cube = np.ones((2 * width + 1,) * labels.ndim, bool)
    for number in range(1, int(labels.max()) + 1):
        expected |= ndimage.binary_erosion(labels == number, cube, border_value=1)
    np.testing.assert_array_equal(foreground, expected)
    np.testing.assert_array_equal(foreground | boundary, labels > 0)
    assert not np.any(foreground & boundary)
