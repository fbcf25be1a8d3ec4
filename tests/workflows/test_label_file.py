"""A file of labels is opened at once, and read where it is looked at."""

import numpy as np
import pytest
import tifffile

from napari_tileseg.errors import ImageError
from napari_tileseg.images.image import Image
from napari_tileseg.labels.painted import find_painted
from napari_tileseg.workflows.label_file import read_labels


def test_it_is_read_by_slicing_and_not_before(tmp_path, monkeypatch):
    labels = np.random.default_rng(0).integers(0, 3, (6, 20, 30)).astype(np.uint8)
    path = tmp_path / "labels.tif"
    tifffile.imwrite(path, labels, metadata={"axes": "ZYX"})
    read, asked = Image.read, []
    monkeypatch.setattr(Image, "read", lambda image, box: asked.append(box.shape) or read(image, box))
    found = read_labels(str(path), labels.shape)
    assert (found.shape, found.dtype, asked) == (labels.shape, labels.dtype, [])
    np.testing.assert_array_equal(found[2:4, 5, ::2], labels[2:4, 5, ::2])
    assert asked == [(2, 1, 29)]
    np.testing.assert_array_equal(find_painted(found), labels)


def test_another_grid_or_more_channels_are_refused(tmp_path):
    path = tmp_path / "labels.tif"
    tifffile.imwrite(path, np.zeros((2, 20, 30), np.uint8), metadata={"axes": "CYX"})
    with pytest.raises(ImageError, match=r"shape of the image, 20 x 31"):
        read_labels(str(path), (20, 31))
    with pytest.raises(ImageError, match="one channel"):
        read_labels(str(path), (20, 30))
