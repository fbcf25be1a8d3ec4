import numpy as np
import pytest

from napari_tileseg.errors import ImageError
from napari_tileseg.images.image import Image
from napari_tileseg.prediction.input.normalization import Normalization, resolve_normalization
from napari_tileseg.prediction.input.prepared import PreparedImage
from napari_tileseg.settings import PredictSettings
from napari_tileseg.tiling import Box

RAW = Normalization(kind="none")


@pytest.mark.parametrize(("padding", "last"), [("reflect", 4), ("edge", 5), ("zero", 0)])
def test_the_image_goes_on_past_its_far_end(padding, last):
    image = Image(np.arange(6, dtype="u1").reshape(1, 6), "yx")
    prepared = PreparedImage(image, RAW, (4, 8), padding)
    values = prepared.read(Box((0, 4), (1, 7)))
    assert values.tolist() == [[[4, 5, last]]]
    assert values.dtype == np.float32


def test_nan_is_found_where_no_statistics_were_needed():
    voxels = np.zeros((8, 8))
    voxels[5, 6] = np.inf
    image = Image(voxels, "yx")
    with pytest.raises(ImageError, match=r"first at 5,6"):
        PreparedImage(image, RAW, (8, 8)).read(Box((4, 4), (8, 8)))
    assert not PreparedImage(image, RAW, (8, 8), nonfinite="zero").read(Box((4, 4), (8, 8))).any()


def test_a_file_that_vanishes_is_told(make_network):
    class Gone:
        shape, dtype = (8, 8), np.dtype("u1")

        def __getitem__(self, key):
            raise OSError("Stale file handle")

    image = Image(Gone(), "yx", name="embryo")
    with pytest.raises(ImageError, match=r"embryo should have voxels in .* Stale"):
        PreparedImage(image, RAW, (8, 8)).read(Box((0, 0), (8, 8)))
    with pytest.raises(ImageError, match="embryo should have voxels"):
        resolve_normalization(image, make_network(2).spec, PredictSettings())
