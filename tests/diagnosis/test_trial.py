"""Trying fixed statistics: the same tiles in two ways, and what is different, counted independently."""

from dataclasses import replace

import numpy as np
import pytest

from napari_tileseg._progress import Progress, drain
from napari_tileseg.diagnosis import diagnose_plan
from napari_tileseg.diagnosis.trial import MOST, part_to_try, try_statistics
from napari_tileseg.engine import route_of
from napari_tileseg.errors import ImageError
from napari_tileseg.images.image import Image
from napari_tileseg.prediction import labels, lay_plan, measure_plan, predict
from napari_tileseg.settings import DiagnoseSettings, PredictSettings
from napari_tileseg.tiling import Box, TileGrid

HOW = {"device": "cpu", "core": (16, 16)}
REGION = ((20, 76), (24, 72))
RANDOM = np.random.default_rng(0)
VOXELS = (0.05 * RANDOM.normal(size=(96, 100))).astype(np.float32)
VOXELS[20:76, 24:72] += RANDOM.normal(size=(56, 48)) + 2
IMAGE = Image(VOXELS, "yx", name="small content")


@pytest.fixture(scope="module")
def network(make_network):
    return make_network("instance")


@pytest.fixture(scope="module")
def plan(network):
    settings = PredictSettings(**HOW, statistics="tile", region=REGION)
    return drain(measure_plan(lay_plan(IMAGE, network, settings, route_of(network, "cpu"))))


@pytest.fixture(scope="module")
def found(plan):
    return drain(diagnose_plan(plan, DiagnoseSettings(everything=True)))


def probabilities(network, **how):
    return np.asarray(predict(IMAGE, network, PredictSettings(**HOW, **how)))


def test_both_predictions_are_those_that_predict_makes(plan, found, network) -> None:
    assert found.of_statistics
    part, events = Box((10, 6), (90, 70)), []
    trial = drain(try_statistics(plan, part, found.mismatch.worst), events.append)
    inside = (slice(None), *part.slices)
    with pytest.warns(UserWarning, match="Tiles will show"):
        by_tile = probabilities(network, statistics="tile")
    fixed = probabilities(network, statistics="region", region=REGION)
    np.testing.assert_allclose(trial.before, by_tile[inside], rtol=0, atol=1e-6)
    np.testing.assert_allclose(trial.after, fixed[inside], rtol=0, atol=1e-6)
    assert trial.difference_before == found.max_abs_difference > 0.01
    assert trial.difference_after <= 1e-5
    outside = np.ones(VOXELS.shape, bool)
    outside[20:76, 24:72] = False
    assert trial.region == Box((20, 24), (76, 72))
    assert trial.empty == outside[part.slices].sum()
    for values, count in ((by_tile, trial.invented_before), (fixed, trial.invented_after)):
        assert count == ((labels(values, "sigmoid") > 0) & outside)[part.slices].sum()
    assert trial.dice == ()
    fractions = [event.fraction for event in events if isinstance(event, Progress)]
    assert len(fractions) > 20


def test_with_labels_dice_is_measured_in_the_part(plan, found) -> None:
    part = Box((16, 16), (80, 80))
    masks = np.stack([VOXELS > 1, VOXELS > 2])
    trial = drain(try_statistics(plan, part, found.mismatch.worst, masks))
    for number, both in enumerate(trial.dice):
        mask = masks[number][part.slices]
        for values, dice in zip((trial.before, trial.after), both, strict=True):
            marked = values[number] >= 0.5
            assert dice == pytest.approx(2 * (mask & marked).sum() / (mask.sum() + marked.sum()))
    with pytest.raises(ImageError):
        drain(try_statistics(plan, part, found.mismatch.worst, masks[:, :5]))


def test_voxels_of_background_are_not_invented(plan, found) -> None:
    named = replace(plan.network, spec=replace(plan.network.spec, classes=("foreground", "background")))
    part = plan.grid.box
    trial = drain(try_statistics(replace(plan, network=named), part, found.mismatch.worst))
    outside = np.ones(VOXELS.shape, bool)
    outside[20:76, 24:72] = False
    assert trial.invented_before == ((labels(trial.before, "sigmoid") == 1) & outside).sum()


def test_a_view_is_predicted_with_whole_tiles_along_what_it_cuts(make_network) -> None:
    network = make_network("instance", 3)
    image = Image(np.zeros((70, 60, 60), np.float32), "zyx")
    laid = lay_plan(
        image, network, PredictSettings(core=(16, 32, 32), device="cpu"), route_of(network, "cpu")
    )
    place = diagnosis_place((20, 30, 30), Box((8, 0, 0), (40, 40, 40)), Box((16, 8, 8), (48, 60, 48)))
    assert part_to_try(laid, Box((20, 5, 6), (21, 50, 55)), place) == Box((16, 5, 6), (32, 50, 55))
    assert part_to_try(laid, Box((66, 5, 6), (67, 50, 55)), place) == Box((64, 5, 6), (70, 50, 55))
    for nothing in (None, Box((0, 0, 0), (0, 0, 0)), Box((90, 0, 0), (99, 9, 9))):
        assert part_to_try(laid, nothing, place) == Box((8, 0, 0), (48, 60, 48))


def test_a_large_view_is_cut_around_the_place(plan, found) -> None:
    grid = TileGrid((2**13, 2**13), (16, 16), ((2, 2), (2, 2)), (2, 2))
    large = replace(plan, tiles=replace(plan.tiles, grid=grid))
    place = replace(found.mismatch.worst[0], point=(2**13 - 5, 3000))
    part = part_to_try(large, grid.box, place)
    assert MOST // 4 <= part.size <= MOST
    assert part.contains(Box(place.point, tuple(n + 1 for n in place.point)))
    assert grid.box.contains(part)


def diagnosis_place(point, first, second):
    from napari_tileseg.diagnosis import WorstPlace

    return WorstPlace(
        point=point, class_name="foreground", difference=0.1, first=first, second=second, valid=None, axis=0
    )
