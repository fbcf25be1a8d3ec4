import json

import numpy as np
import pytest

from napari_tileseg._progress import drain
from napari_tileseg.diagnosis.size_sweep import least_size, sweep
from napari_tileseg.engine import WHOLE_TILES
from napari_tileseg.errors import ImageError, SettingsError
from napari_tileseg.prediction import plan_prediction, predict
from napari_tileseg.settings import PredictSettings

CPU = PredictSettings(device="cpu")


def _sweep(network, image, **about):
    plan = drain(plan_prediction(image, network, CPU, route=WHOLE_TILES))
    steps = []
    found = drain(sweep(plan, **about), steps.append)
    assert steps[-1].done == steps[-1].total == len(steps)
    return found


def test_of_a_seam_free_network_the_size_of_the_tile_does_not_matter(make_network, picture):
    network = make_network("batch")
    found = _sweep(network, picture)
    assert len(found.points) >= 3
    assert all(point.mismatch.seam_free for point in found.points)
    whole = np.asarray(predict(picture, network, CPU))[(slice(None), *found.view.slices)]
    for point in found.points:
        np.testing.assert_allclose(point.view, whole, atol=1e-5)
        assert point.dice is None
    assert [point.size for point in found.points] == sorted(point.size for point in found.points)
    json.dumps(found.as_dict())


def test_of_an_instance_network_larger_tiles_disagree_less(make_network, picture):
    found = _sweep(make_network("instance"), picture, sizes=(44, 64, 120), pairs=6)
    differences = [point.mismatch.mean_abs_difference for point in found.points]
    assert differences[0] > differences[-1] > 1e-4
    assert not np.allclose(found.points[0].view, found.points[-1].view, atol=1e-3)


def test_dice_is_that_of_the_compared_voxels(make_network, picture):
    network = make_network("batch")
    right = np.asarray(predict(picture, network, CPU)) >= 0.5
    found = _sweep(network, picture, masks=right, sizes=(44,))
    assert found.points[0].dice == pytest.approx((1, 1))
    assert _sweep(network, picture, masks=~right, sizes=(44,)).points[0].dice == pytest.approx((0, 0))


def test_what_cannot_be_is_refused(make_network, picture):
    network = make_network("batch")
    plan = drain(plan_prediction(picture, network, CPU, route=WHOLE_TILES))
    least = least_size(plan)
    with pytest.raises(SettingsError, match=f"{least} voxels long or longer"):
        list(sweep(plan, (least - 2,)))
    with pytest.raises(ImageError, match="should be masks of"):
        list(sweep(plan, masks=np.zeros((2, 3, 3), bool)))
