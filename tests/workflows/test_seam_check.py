"""Tiles before and after training are compared on every image that has room for two, else that is said."""

import numpy as np
import pytest

from napari_tileseg._progress import drain
from napari_tileseg.engine import WHOLE_TILES
from napari_tileseg.images.image import Image
from napari_tileseg.prediction import plan_prediction
from napari_tileseg.settings import PredictSettings
from napari_tileseg.workflows.seam_check import PAIRS, check_seams


def plan_of(network, shape, core=None):
    voxels = np.random.default_rng(0).random(shape).astype(np.float32)
    image = Image(voxels, "tyx"[-len(shape) :], name="picture")
    return drain(plan_prediction(image, network, PredictSettings(device="cpu", core=core), route=WHOLE_TILES))


def measured(check, network):
    return drain(check.measure(network))


@pytest.mark.parametrize(
    ("shape", "core"),
    [
        ((300, 300), None),
        ((90, 90), None),
        ((70, 20), None),
        ((20, 70), None),
        ((64, 64), (16, 16)),
        ((40, 44), (8, 8)),
        ((3, 70, 30), None),
        ((51, 114), (32, 32)),
    ],
)
def test_an_image_with_room_for_two_tiles_is_compared(networks, shape, core):
    network = networks["instance"]
    check = check_seams(plan_of(network, shape, core))
    assert check.obstacle == ""
    assert 1 <= len(check.pairs.pairs) <= PAIRS
    mismatch, disparity = measured(check, network)
    assert mismatch.pairs == len(check.pairs.pairs)
    assert not mismatch.seam_free
    assert disparity.switchable


@pytest.mark.parametrize("shape", [(4, 4), (9, 12), (2, 8, 8)])
def test_an_image_without_that_room_is_told_so(networks, shape):
    network = networks["batch"]
    check = check_seams(plan_of(network, shape))
    assert check.pairs is None
    assert measured(check, network) is None
    assert check.obstacle.startswith(f"The image ({' x '.join(map(str, shape))} voxels) has no room")
