import json
from copy import deepcopy
from dataclasses import replace

import numpy as np
import pytest
import torch

from napari_tileseg._progress import drain
from napari_tileseg.diagnosis.diagnosis import diagnose
from napari_tileseg.diagnosis.pairs.foreign_tiling import Tiling
from napari_tileseg.diagnosis.region_predictor import network_regions
from napari_tileseg.engine import WHOLE_TILES
from napari_tileseg.errors import ImageError
from napari_tileseg.images.image import Image
from napari_tileseg.prediction import plan_prediction
from napari_tileseg.settings import DiagnoseSettings, PredictSettings
from napari_tileseg.tiling import Box

CPU = PredictSettings(device="cpu", statistics="tile")
SMALL = PredictSettings(device="cpu", core=(32, 32), statistics="tile")
KEYS = {
    "classes",
    "max_dice_mismatch",
    "max_abs_difference",
    "seam_free",
    "pairs",
    "tile",
    "halo",
    "stride",
    "causes",
    "cause",
    "cure",
}
CLASS_KEYS = {
    "name",
    "tile_mismatch",
    "tile_mismatch_thresholded",
    "train_eval_disparity",
    "train_eval_disparity_thresholded",
}
LABEL_KEYS = {"dice_eval", "dice_train"}


def _diagnose(network, image, predict_settings=SMALL, settings=None, **about):
    settings = settings or DiagnoseSettings(shift=16, sample=4)
    steps = []
    found = drain(diagnose(image, network, predict_settings, settings, **about), steps.append)
    assert steps
    return found


def _misled(network, by):
    """The network with running statistics that it never met."""
    module = deepcopy(network.module)
    layers = [layer for layer in module.modules() if isinstance(layer, torch.nn.BatchNorm2d)]
    for layer in module.modules():
        if isinstance(layer, torch.nn.Conv2d | torch.nn.ConvTranspose2d):
            layer.bias.zero_()
    for layer in layers:
        layer.weight.fill_(1)
        layer.bias.zero_()
        layer.running_mean += by * layer.running_var.sqrt()
        layer.running_var *= 4
    return replace(network, module=module)


def _predicted(network, image):
    """Masks that the network predicts, from the whole image at once."""
    plan = drain(plan_prediction(image, network, CPU, route=WHOLE_TILES))
    whole = network_regions(plan)(Box.of_shape(plan.grid.padded_shape))
    return whole[(slice(None), *Box.of_shape(image.shape).slices)] >= 0.5


def test_a_seam_free_network_is_found_so_and_its_json_has_the_stated_keys(make_network, picture):
    found = _diagnose(make_network("batch"), picture)
    values = json.loads(json.dumps(found.as_dict(), allow_nan=False))
    assert set(values) >= KEYS
    assert values["seam_free"] is True
    assert values["causes"] == []
    assert values["pairs"] == 4
    assert [each["name"] for each in values["classes"]] == ["foreground", "boundary"]
    for each in values["classes"]:
        assert set(each) >= CLASS_KEYS
        assert not set(each) & LABEL_KEYS
        assert each["tile_mismatch"] < 1e-6
    assert found.statistics.layers


def test_an_instance_network_is_explained_by_its_layers(make_network, picture):
    network = make_network("instance")
    found = _diagnose(network, picture)
    values = json.loads(json.dumps(found.as_dict(), allow_nan=False))
    assert values["seam_free"] is False
    first = values["causes"][0]
    assert first["name"] == "feature normalization"
    assert first["share"] >= 0.8
    assert set(first["layers"]) == set(network.spec.seam_layers)
    assert all(each["train_eval_disparity"] == 0 for each in values["classes"])
    assert values["cause"] == first["sentence"]


def test_without_explaining_the_network_is_inspected_only(make_network, picture):
    settings = DiagnoseSettings(shift=16, sample=2, explain=False)
    found = _diagnose(make_network("instance"), picture, settings=settings)
    assert found.audit.causes[0].share is None
    assert found.audit.causes[0].layers


def test_what_is_asked_of_the_prediction_is_what_is_diagnosed(make_network, picture):
    network = make_network("batch")
    tilewise = PredictSettings(device="cpu", core=(32, 32), normalize="tile")
    assert _diagnose(network, picture, tilewise).audit.causes[0].name == "input normalization"
    short = PredictSettings(device="cpu", core=(32, 32), halo=((2, 2), (2, 2)))
    found = _diagnose(network, picture, short)
    assert found.audit.causes[0].name == "halo"
    assert found.mismatch.halo == ((2, 2), (2, 2))


def test_the_tiling_of_another_tool_is_audited(make_network, picture):
    network = make_network("batch")
    grid = drain(plan_prediction(picture, network, SMALL, route=WHOLE_TILES)).grid
    starts = tuple(tuple(range(0, max(n - 40, 1), 17)) for n in grid.padded_shape)
    tiling = Tiling(read=(40, 40), halo=grid.aligned_halo, starts=starts)
    found = _diagnose(network, picture, tiling=tiling)
    assert found.mismatch.seam_free
    assert not found.seam_free
    assert found.audit.causes[0].name == "alignment to the stride"
    assert found.as_dict()["max_abs_difference"] > 1e-3


def test_running_statistics_that_do_not_fit_are_said_where_tiles_agree(make_network, picture):
    found = _diagnose(_misled(make_network("batch"), -3), picture)
    worst = max(each.disparity.train_eval_disparity for each in found.classes)
    assert worst > 0.05
    assert "running statistics" in found.audit.cause
    assert "BatchRenorm" in found.audit.cure


def test_with_labels_dice_is_that_of_the_looked_at_tiles(make_network, picture):
    network = _misled(make_network("batch"), 1.5)
    right = _predicted(network, picture)
    found = _diagnose(network, picture, labels=right)
    for each in json.loads(json.dumps(found.as_dict()))["classes"]:
        assert each["dice_eval"] == pytest.approx(1, abs=1e-3)
        assert 0 <= each["dice_train"] < 1
    plain = _diagnose(make_network("identity"), picture, labels=right)
    assert all(each.dice_eval == each.dice_train for each in plain.classes)


def test_labels_that_do_not_fit_are_refused(make_network, picture):
    network = make_network("batch")
    with pytest.raises(ImageError, match="shape of the image"):
        _diagnose(network, picture, labels=np.zeros((3, 3), np.int32))
    with pytest.raises(ImageError, match="should be masks of"):
        _diagnose(network, picture, labels=np.zeros((1, *picture.shape), bool))
    labels = np.full(picture.shape, 7, np.int32)
    with pytest.raises(ImageError, match="hold 7"):
        _diagnose(network, picture, labels=labels, values={"foreground": 1, "boundary": 2})


@pytest.mark.parametrize("norm", ["batch", "instance"])
def test_a_sampled_diagnosis_costs_less_than_a_third_of_predicting(norm, make_network):
    voxels = np.random.default_rng(0).random((4, 700, 700), np.float32)
    network, seen = make_network(norm), []
    image = Image(voxels, "zyx", name="large")
    handle = network.module.register_forward_pre_hook(lambda _, inputs: seen.append(inputs[0][0, 0].numel()))
    try:
        found = _diagnose(network, image, SMALL, DiagnoseSettings())
    finally:
        handle.remove()
    assert sum(seen) <= found.image_voxels / 3
    assert found.voxels / 2 < sum(seen) <= found.voxels
    assert found.mismatch.pairs > 1


def test_everything_means_all_pairs(make_network, picture):
    found = _diagnose(make_network("batch"), picture, settings=DiagnoseSettings(shift=16, everything=True))
    assert found.mismatch.pairs == found.mismatch.total > 4
    assert all(each.mismatch.interval is None for each in found.classes)


def test_closing_stops_the_work(make_network, picture):
    events = diagnose(picture, make_network("instance"), CPU, DiagnoseSettings(shift=16, sample=50))
    next(events)
    events.close()
    with pytest.raises(StopIteration):
        next(events)
