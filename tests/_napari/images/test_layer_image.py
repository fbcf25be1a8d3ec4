"""Layers of all kinds become images that read what the layer holds."""

import dask.array as da
import numpy as np
import pytest
import zarr
from napari.layers import Image as ImageLayer
from napari.utils import resize_dask_cache

from napari_tileseg._napari.images.layer_image import image_of
from napari_tileseg.errors import ImageError
from napari_tileseg.settings import ImageSettings
from napari_tileseg.tiling import Box

VALUES = np.arange(6 * 8 * 10, dtype=np.uint16).reshape(6, 8, 10)
BOX = Box((1, 2, 3), (4, 6, 9))


@pytest.mark.parametrize("kind", ["numpy", "dask", "zarr", "big-endian"])
def test_any_array_reads_the_same(kind, tmp_path):
    stored = zarr.create_array(tmp_path / "a.zarr", shape=VALUES.shape, chunks=(3, 4, 5), dtype="u2")
    stored[:] = VALUES
    data = {
        "numpy": VALUES,
        "dask": da.from_array(VALUES, chunks=4),
        "zarr": stored,
        "big-endian": VALUES.astype(">u2"),
    }[kind]
    image = image_of(ImageLayer(data), ImageSettings())
    np.testing.assert_array_equal(image.read(BOX)[0], VALUES[BOX.slices])


def test_dask_is_read_past_naparis_cache():
    cache = resize_dask_cache()
    layer = ImageLayer(da.from_array(VALUES, chunks=4), contrast_limits=(0, 1))
    before = dict(cache.cache.data)
    image_of(layer, ImageSettings()).read(BOX)
    assert dict(cache.cache.data) == before


def test_colours_are_channels():
    values = np.random.default_rng(0).integers(0, 255, (40, 50, 3), dtype=np.uint8)
    image = image_of(ImageLayer(values, rgb=True), ImageSettings(channel=(2, 0)))
    np.testing.assert_array_equal(image.read(Box.of_shape((40, 50)))[1], values[..., 0])


def test_time_is_a_grid_axis_of_its_own():
    layer = ImageLayer(np.zeros((3, 4, 5, 6)), axis_labels=("t", "z", "y", "x"))
    image = image_of(layer, ImageSettings())
    assert (image.grid_axes, image.spatial_axes) == ("tzyx", "zyx")


def test_a_level_that_is_not_there_is_named():
    with pytest.raises(ImageError, match="levels 0 to 0; got 2"):
        image_of(ImageLayer(VALUES), ImageSettings(level=2))


def test_axes_that_do_not_fit_are_named():
    with pytest.raises(ImageError, match="has 3 axes"):
        image_of(ImageLayer(VALUES), ImageSettings(axes="yx"))
