"""What is held out is scored on what prediction gives there."""

from dataclasses import replace

import numpy as np
import pytest
from monai.metrics import compute_dice
from torch import from_numpy

from napari_tileseg._progress import drain
from napari_tileseg.prediction import predict
from napari_tileseg.settings import PredictSettings
from napari_tileseg.training.data.block_cache import BlockCache
from napari_tileseg.training.validation import Score, Validation


def validation_of(plan, targets, network, **how) -> Validation:
    usual = {"voxels": 10**9, "seed": 0}
    return Validation([BlockCache(plan.prepared)], [targets], network, (32, 32), **{**usual, **how})


@pytest.mark.parametrize("labels", ["strokes", "dense"])
def test_dice_is_that_of_the_tiled_prediction_on_labelled_voxels(labels, plan, make_network, request) -> None:
    network, targets = make_network("batch"), request.getfixturevalue(labels)
    score = drain(validation_of(plan, targets, network).score(network, "cpu"))
    how = PredictSettings(device="cpu", core=(16, 48))
    maps = predict(plan.tiles.image, network, how).compute(scheduler="synchronous")
    index = np.asarray(targets.index)
    labelled = index >= 0
    found = (maps[:, labelled] >= 0.5)[None]
    right = np.stack([index[labelled] == number for number in range(2)])[None]
    expected = compute_dice(from_numpy(found).float(), from_numpy(right).float())
    assert score.dice == pytest.approx(expected[0].tolist(), abs=1e-6)
    assert score.mean == pytest.approx(expected.mean().item(), abs=1e-6)
    assert 0 < score.loss < 10


def test_a_class_that_is_not_held_out_has_no_dice(plan, strokes, make_network) -> None:
    network = make_network("batch")
    others = strokes.index.values != 1
    part = replace(strokes, index=strokes.index.kept(others), strokes=strokes.strokes.kept(others))
    score = drain(validation_of(plan, part, network).score(network, "cpu"))
    assert np.isnan(score.dice[1])
    assert score.mean == score.dice[0]


def test_it_costs_no_more_than_it_may(plan, dense, make_network) -> None:
    network = make_network("batch")
    few = validation_of(plan, dense, network, voxels=2000)
    assert len(few._places) == 1
    assert len(validation_of(plan, dense, network)._places) == 16
    again = validation_of(plan, dense, network, voxels=2000)
    assert drain(few.score(network, "cpu")) == drain(again.score(network, "cpu"))


def test_the_better_score_is_the_higher_dice_then_the_lower_loss() -> None:
    nan = float("nan")
    assert Score(1.0, (0.5, nan)).better_than(None)
    assert Score(9.0, (0.6, nan)).better_than(Score(1.0, (0.5, nan)))
    assert Score(0.5, (0.5, 0.5)).better_than(Score(1.0, (0.5, nan)))
    assert not Score(1.0, (0.5,)).better_than(Score(1.0, (0.5,)))
    assert Score(0.5, (nan,)).better_than(Score(1.0, (nan,)))
