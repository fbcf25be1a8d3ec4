"""Tile mismatch: what is measured is what the predictions say, and good networks have none."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from monai.losses import DiceLoss
from monai.metrics import compute_dice

from napari_tileseg._progress import drain
from napari_tileseg.diagnosis import (
    Mismatch,
    PairDone,
    PairPlan,
    RegionPredictor,
    function_regions,
    measure_mismatch,
    network_pairs,
    network_regions,
    plan_pairs,
)
from napari_tileseg.diagnosis.measures.mismatch import mean_interval
from napari_tileseg.engine import WHOLE_TILES
from napari_tileseg.errors import NetworkError, SettingsError
from napari_tileseg.prediction import plan_prediction
from napari_tileseg.settings import PredictSettings
from napari_tileseg.tiling import Box, Lattice

CLASSES = ("foreground", "boundary")
LATTICE = Lattice(stride=(4,), halo=((4, 4),), default_halo=((4, 4),), minimum=(4,), fixed=False, lead=0)
LINE = plan_pairs((200,), LATTICE, shift=16)


def run(regions: RegionPredictor, plan: PairPlan, **about: object) -> tuple[list[PairDone], Mismatch]:
    """Give all events of a measurement, and what it ends with."""
    done = []
    return done, drain(measure_mismatch(regions, plan, CLASSES, **about), done.append)


def measured(network, image, how=None, **about) -> Mismatch:
    plan = drain(plan_prediction(image, network, how or PredictSettings(device="cpu"), route=WHOLE_TILES))
    return run(network_regions(plan), network_pairs(plan, shift=16, **about))[1]


@pytest.mark.parametrize("norm", ["batch", "batch_renorm", "identity", "instance_tracked"])
def test_fixed_statistics_are_seam_free(norm, make_network, picture) -> None:
    found = measured(make_network(norm), picture)
    assert found.seam_free
    assert found.max_abs_difference <= found.tolerance == 1e-4
    assert found.worst == ()
    assert found.pairs == found.total > 10


@pytest.mark.parametrize("norm", ["instance", "group"])
def test_statistics_of_the_tile_are_not(norm, make_network, picture) -> None:
    found = measured(make_network(norm), picture)
    assert not found.seam_free
    assert found.max_abs_difference > 0.02
    assert max(each.tile_mismatch for each in found.classes) > 1e-6
    assert found.max_dice_mismatch == max(each.worst for each in found.classes)
    assert sum(found.histogram.counts) > 0


def test_tile_wise_normalized_intensities_make_mismatch_with_any_network(make_network, picture) -> None:
    how = PredictSettings(device="cpu", normalize="tile")
    assert not measured(make_network("batch"), picture, how).seam_free


def test_less_halo_than_the_network_needs_makes_mismatch(make_network, picture) -> None:
    network = make_network("batch")
    less = tuple((2, 2) for _ in network.spec.default_halo)
    assert not measured(network, picture, PredictSettings(device="cpu", halo=less)).seam_free


def test_every_axis_and_leading_axes_are_measured_in_a_volume(make_network) -> None:
    from napari_tileseg.images.image import Image

    voxels = np.random.default_rng(0).normal(size=(2, 24, 80, 80)).astype(np.float32)
    image = Image(voxels, "tzyx")
    network = make_network("instance", 3)
    plan = drain(plan_prediction(image, network, PredictSettings(device="cpu"), route=WHOLE_TILES))
    pairs = network_pairs(plan, shift=8, sample=4)
    assert pairs.tile[0] == 1
    _, found = run(network_regions(plan), pairs)
    assert not found.seam_free
    assert len(found.worst[0].point) == 4


def test_reported_dice_is_monais_from_the_predictions(make_network, picture) -> None:
    network = make_network("instance")
    plan = drain(plan_prediction(picture, network, PredictSettings(device="cpu"), route=WHOLE_TILES))
    done, found = run(network_regions(plan), network_pairs(plan, shift=16, sample=12))
    loss = DiceLoss(squared_pred=True, smooth_nr=0, smooth_dr=0)
    for number, each in enumerate(found.classes):
        both = [
            [torch.from_numpy(part[number]).double()[None, None] for part in (event.first, event.second)]
            for event in done
        ]
        soft = [float(loss(*maps)) for maps in both]
        masks = [[(values >= 0.5).float() for values in maps] for maps in both]
        hard = [1 - float(compute_dice(*pair, ignore_empty=False)) for pair in masks if pair[1].any()]
        hard += [float(pair[0].any()) for pair in masks if not pair[1].any()]
        assert each.tile_mismatch == pytest.approx(np.mean(soft), abs=1e-6)
        assert each.tile_mismatch_thresholded == pytest.approx(np.mean(hard), abs=1e-6)
        assert each.worst == pytest.approx(max(soft), abs=1e-6)
        assert each.empty_pairs == sum(not (a.any() or b.any()) for a, b in masks)
    differences = np.concatenate([np.abs(event.first - event.second).ravel() for event in done])
    assert found.max_abs_difference == differences.max()
    assert found.mean_abs_difference == pytest.approx(differences.mean(dtype=float), rel=1e-6)
    assert sum(found.histogram.counts) == differences.size


def _planted(box: Box) -> np.ndarray:
    """Give the same everywhere, but for one voxel of the second class that knows where its tile starts."""
    values = np.full((2, *box.shape), 0.25, np.float32)
    if box.start[0] <= 90 < box.stop[0]:
        values[1, 90 - box.start[0]] = box.start[0] / 256
    return values


def test_the_worst_place_is_the_voxel_that_differs() -> None:
    _, found = run(_planted, LINE)
    assert {(place.point, place.class_name) for place in found.worst} == {((90,), "boundary")}
    worst = found.worst[0]
    assert worst.difference == found.max_abs_difference == 16 / 256
    assert worst.second.start[0] - worst.first.start[0] == 16
    assert found.classes[0].tile_mismatch == found.classes[0].worst == 0
    assert found.classes[0].empty_pairs == found.pairs
    assert found.classes[1].worst > 0


def test_each_tile_is_predicted_once_along_a_line() -> None:
    asked = []

    def regions(box: Box) -> np.ndarray:
        asked.append(box)
        return np.zeros((2, *box.shape), np.float32)

    run(regions, LINE)
    assert len(asked) == LINE.total + 1 == len(set(asked))


def test_events_count_and_estimate() -> None:
    done, _ = run(_planted, LINE)
    assert [event.progress.done for event in done] == list(range(1, LINE.total + 1))
    assert {event.progress.total for event in done} == {LINE.total}
    assert done[-1].progress.seconds_left == 0
    assert all(event.first.shape == (2, *event.pair.valid.shape) for event in done)


def test_rounding_is_told_relative_to_large_outputs() -> None:
    _, found = run(lambda box: _planted(box) * 1000, LINE, tolerance=0.1)
    assert found.tolerance == pytest.approx(0.1 * 1000 * 152 / 256, rel=0.6)
    assert found.seam_free == (found.max_abs_difference <= found.tolerance)


def test_an_interval_is_given_for_a_sample_and_holds_the_mean() -> None:
    sample = plan_pairs((200,), LATTICE, shift=16, sample=6)
    _, found = run(_planted, sample)
    low, high = found.classes[1].interval
    assert low <= found.classes[1].tile_mismatch <= high
    assert run(_planted, LINE)[1].classes[1].interval is None
    one = plan_pairs((200,), LATTICE, shift=16, sample=1)
    assert run(_planted, one)[1].classes[1].interval is None


def test_an_interval_covers_the_mean_about_as_often_as_it_says() -> None:
    rng = np.random.default_rng(1)
    intervals = [mean_interval(rng.random(60)) for _ in range(100)]
    assert 88 <= sum(low <= 0.5 <= high for low, high in intervals) <= 100


def test_nan_predictions_are_located() -> None:
    def regions(box: Box) -> np.ndarray:
        values = _planted(box)
        if box.start[0] <= 90 < box.stop[0]:
            values[1, 90 - box.start[0]] = np.nan
        return values

    with pytest.raises(NetworkError, match=r"boundary is nan at voxel 90, in the tile 64:104"):
        run(regions, LINE)


def test_a_network_of_nan_is_located(make_network, picture) -> None:
    network = make_network("batch")
    module = __import__("copy").deepcopy(network.module)
    with torch.no_grad():
        module.output.bias[0] = float("nan")
    plan = drain(plan_prediction(picture, network, PredictSettings(device="cpu"), route=WHOLE_TILES))
    with pytest.raises(NetworkError, match="class foreground is nan at voxel"):
        run(network_regions(plan, module=module), network_pairs(plan, shift=16))


def test_other_predictions_than_classes_are_refused() -> None:
    with pytest.raises(NetworkError, match="Name one class for each channel"):
        run(lambda box: np.zeros((3, *box.shape)), LINE)
    with pytest.raises(SettingsError, match="has none"):
        run(_planted, replace(LINE, pairs=()))


def test_any_function_can_be_measured(make_network, picture) -> None:
    network = make_network("instance")
    plan = drain(plan_prediction(picture, network, PredictSettings(device="cpu"), route=WHOLE_TILES))

    def function(voxels: np.ndarray) -> np.ndarray:
        with torch.inference_mode():
            return torch.sigmoid(network.module(torch.from_numpy(voxels)[None]))[0].numpy()

    pairs = network_pairs(plan, shift=16, sample=5)
    ours, theirs = (
        run(regions, pairs)[1]
        for regions in (network_regions(plan), function_regions(plan.prepared, function))
    )
    assert theirs.max_abs_difference == pytest.approx(ours.max_abs_difference, abs=1e-6)
    with pytest.raises(NetworkError, match="Let it keep the shape"):
        run(function_regions(plan.prepared, lambda voxels: voxels[:, :2]), pairs)


def test_results_are_plain_for_json() -> None:
    import json

    plain = run(_planted, LINE)[1].as_dict()
    assert {"max_dice_mismatch", "max_abs_difference", "seam_free", "tile", "halo", "stride"} <= set(plain)
    assert json.loads(json.dumps(plain))["classes"][0]["name"] == "foreground"
    assert json.loads(json.dumps(LINE.as_dict()))["total"] == LINE.total
