"""Train/eval disparity: what is switched, and that nothing else changes."""

import json
from dataclasses import replace

import numpy as np
import pytest
import torch
from monai.losses import DiceLoss
from torch import nn

from napari_tileseg._progress import drain
from napari_tileseg.diagnosis import (
    Disparity,
    disparity_heatmap,
    measure_disparity,
    network_pairs,
    switch_of,
    with_batch_statistics,
)
from napari_tileseg.engine import WHOLE_TILES
from napari_tileseg.errors import NetworkError, SettingsError
from napari_tileseg.nets.norm_layers import BatchRenorm
from napari_tileseg.prediction import plan_prediction
from napari_tileseg.settings import PredictSettings
from napari_tileseg.tiling import Box

HOW = PredictSettings(device="cpu", core=(24, 32))


def measured(network, image, boxes=None) -> tuple[list, Disparity]:
    plan = drain(plan_prediction(image, network, HOW, route=WHOLE_TILES))
    done = []
    boxes = boxes or [tile.read for tile in plan.grid]
    return done, drain(measure_disparity(plan, boxes), done.append)


def state_of(module: nn.Module) -> dict[str, torch.Tensor]:
    return {name: value.clone() for name, value in [*module.named_buffers(), *module.named_parameters()]}


@pytest.mark.parametrize("norm", ["batch", "batch_renorm", "instance_tracked", "instance", "identity"])
def test_every_buffer_and_weight_stays_as_it_was(norm, make_network, picture) -> None:
    network = make_network(norm)
    before = state_of(network.module)
    modes = [layer.training for layer in network.module.modules()]
    measured(network, picture)
    after = state_of(network.module)
    assert before.keys() == after.keys()
    assert all(torch.equal(value, after[name]) for name, value in before.items())
    assert [layer.training for layer in network.module.modules()] == modes == [False] * len(modes)


@pytest.mark.parametrize("norm", ["batch", "batch_renorm", "instance_tracked"])
def test_the_copy_keeps_its_statistics_too(norm, make_network) -> None:
    copy = with_batch_statistics(make_network(norm).module)
    before = state_of(copy)
    shape = (2, 1, 16, 16)
    first, _ = copy(torch.rand(shape) * 9), copy(torch.rand(shape) - 5)
    kept = {name for name in before if not name.endswith("num_batches_tracked")}
    assert all(torch.equal(state_of(copy)[name], before[name]) for name in kept)
    assert first.shape == (2, 2, 16, 16)


def test_dropout_stays_off_and_other_layers_in_evaluation() -> None:
    module = nn.Sequential(nn.Conv2d(1, 4, 3), nn.BatchNorm2d(4), nn.Dropout(0.9)).eval()
    copy = with_batch_statistics(module.train())
    values = torch.rand(1, 1, 8, 8)
    assert torch.equal(copy(values), copy(values))
    assert not copy[2].training


def test_batch_statistics_are_those_of_training() -> None:
    torch.manual_seed(0)
    module = nn.Sequential(nn.Conv2d(1, 4, 3), nn.BatchNorm2d(4), nn.ReLU(), nn.BatchNorm2d(4))
    values = torch.rand(1, 1, 12, 12) * 3
    copy = with_batch_statistics(module.eval())
    torch.testing.assert_close(copy(values), module.train()(values))


def test_batch_renormalization_corrects_up_to_the_limits_that_training_reached() -> None:
    layer = BatchRenorm(3, ndim=2).eval()
    layer.r_max, layer.d_max = 3.0, 5.0
    values = torch.randn(1, 3, 9, 9) * 1.5 + 2
    # Within the limits r and d undo the tile's statistics exactly.
    torch.testing.assert_close(with_batch_statistics(layer)(values), layer(values), atol=1e-5, rtol=1e-5)
    far = with_batch_statistics(layer)(values * 10)
    assert not torch.allclose(far, layer(values * 10))
    layer.r_max, layer.d_max = 1.0, 0.0
    plain = nn.BatchNorm2d(3)(values)
    torch.testing.assert_close(with_batch_statistics(layer)(values), plain, atol=1e-5, rtol=1e-5)


def test_the_numbers_are_those_of_the_two_modes(make_network, picture) -> None:
    network = make_network("batch")
    plan = drain(plan_prediction(picture, network, HOW, route=WHOLE_TILES))
    boxes = [Box((0, 0), (32, 48)), Box((16, 64), (48, 112))]
    done, found = measured(network, picture, boxes)
    trained = with_batch_statistics(network.module)
    loss, losses = DiceLoss(squared_pred=True, smooth_nr=0, smooth_dr=0, reduction="none"), []
    for box in boxes:
        values = torch.from_numpy(plan.prepared.read(box))[None]
        with torch.inference_mode():
            maps = [torch.sigmoid(module(values)).double() for module in (network.module, trained)]
        losses.append(loss(*maps).flatten().numpy())
    expected = np.mean(losses, axis=0)
    assert [each.train_eval_disparity for each in found.classes] == pytest.approx(expected, abs=1e-6)
    assert found.classes[0].worst == pytest.approx(np.max(losses, axis=0)[0], abs=1e-6)
    assert found.max_abs_difference > 0.05
    assert found.tiles == len(done) == 2
    assert done[-1].seconds_left == 0
    assert found.layers == switch_of(network.module).layers != ()


@pytest.mark.parametrize("norm", ["identity", "instance", "group"])
def test_without_running_statistics_it_is_zero_by_construction_and_said_so(
    norm, make_network, picture
) -> None:
    done, found = measured(make_network(norm), picture)
    assert done == []
    assert {each.train_eval_disparity for each in found.classes} == {0.0}
    assert found.switchable
    assert "0 by construction" in found.reason


def _scripted(kind: str) -> nn.Module:
    torch.manual_seed(0)
    module = nn.Sequential(nn.Conv2d(1, 2, 3, padding=1), nn.BatchNorm2d(2)).eval()
    if kind == "traced":
        return torch.jit.trace(module, torch.zeros(1, 1, 8, 8))
    script = torch.jit.script(module)
    return torch.jit.freeze(script) if kind == "frozen" else script


@pytest.mark.parametrize("kind", ["frozen", "traced"])
def test_a_network_that_cannot_be_switched_says_so(kind, make_network, picture) -> None:
    network = replace(make_network("batch"), module=_scripted(kind))
    done, found = measured(network, picture)
    assert done == []
    assert not found.switchable
    assert f"{kind} TorchScript" in found.reason
    assert {each.train_eval_disparity for each in found.classes} == {None}
    with pytest.raises(NetworkError, match="cannot be switched"):
        with_batch_statistics(network.module)
    with pytest.raises(NetworkError, match="Open its original weights"):
        disparity_heatmap(picture, network, HOW)


def test_torchscript_that_keeps_its_modes_is_switched(make_network, picture) -> None:
    module = _scripted("scripted")
    before = state_of(module)
    _, found = measured(replace(make_network("batch"), module=module), picture)
    assert found.switchable
    assert found.max_abs_difference > 0
    assert all(torch.equal(value, before[name]) for name, value in state_of(module).items())


def test_nan_is_located(make_network, picture) -> None:
    network = make_network("batch")
    bad = with_batch_statistics(make_network("batch_renorm").module).eval()
    with torch.no_grad():
        bad.output.bias[1] = float("nan")
    with pytest.raises(NetworkError, match="class boundary is nan at voxel"):
        measured(replace(network, module=bad), picture)


def test_tiles_outside_the_box_are_refused(make_network, picture) -> None:
    network = make_network("batch")
    plan = drain(plan_prediction(picture, network, HOW, route=WHOLE_TILES))
    with pytest.raises(SettingsError, match="A tile should hold voxels"):
        list(measure_disparity(plan, []))
    assert network_pairs(plan, shift=16).tiles


def test_results_are_plain_for_json(make_network, picture) -> None:
    plain = json.loads(json.dumps(measured(make_network("batch"), picture)[1].as_dict()))
    assert {"train_eval_disparity", "train_eval_disparity_thresholded"} <= set(plain["classes"][0])
