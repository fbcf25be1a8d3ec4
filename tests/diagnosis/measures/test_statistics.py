import numpy as np
import pytest
import torch

from napari_tileseg._progress import drain
from napari_tileseg.diagnosis.measures.moments import hold, layer_at, moments_of, watch, watched_layers
from napari_tileseg.diagnosis.measures.statistics import measure_statistics
from napari_tileseg.engine import WHOLE_TILES
from napari_tileseg.prediction import plan_prediction
from napari_tileseg.settings import PredictSettings
from napari_tileseg.tiling import Box

BOXES = (Box((0, 0), (32, 32)), Box((16, 64), (48, 96)), Box((0, 100), (32, 132)))


def _measure(network, image, boxes=BOXES):
    plan = drain(plan_prediction(image, network, PredictSettings(device="cpu"), route=WHOLE_TILES))
    return plan, drain(measure_statistics(plan, boxes))


@pytest.mark.parametrize("norm", ["batch", "batch_renorm", "instance_tracked"])
def test_distances_of_the_first_layer_equal_those_computed_by_hand(norm, make_network, picture):
    network = make_network(norm)
    plan, found = _measure(network, picture)
    first = found.layers[0]
    layer = layer_at(network.module, first.path)
    convolution = next(m for m in network.module.modules() if isinstance(m, torch.nn.Conv2d))
    mean, deviation = layer.running_mean.numpy(), np.sqrt(layer.running_var.numpy())
    assert first.reference == "running"
    for place, box in enumerate(BOXES):
        values = convolution(torch.from_numpy(plan.prepared.read(box))[None]).numpy()[0]
        own = np.abs(values.mean(axis=(1, 2)) - mean) / deviation
        assert first.distances[place] == pytest.approx(own.mean(), rel=1e-4)
        spread = np.exp(np.log(values.std(axis=(1, 2)) / deviation).mean())
        assert first.spreads[place] == pytest.approx(spread, rel=1e-4)
    assert first.largest >= max(first.distances)
    assert found.tiles == len(BOXES)


def test_layers_without_running_statistics_are_compared_with_all_tiles(make_network, picture):
    _, found = _measure(make_network("instance"), picture)
    assert {layer.reference for layer in found.layers} == {"tiles"}
    assert all(layer.distance > 0 for layer in found.layers)
    _, one = _measure(make_network("instance"), picture, BOXES[:1])
    assert all(layer.distance == pytest.approx(0, abs=1e-6) for layer in one.layers)


def test_a_network_without_normalization_says_so(make_network, picture):
    _, found = _measure(make_network("identity"), picture)
    assert found.layers == ()
    assert "no layer" in found.reason


def _layers():
    torch.manual_seed(0)
    made = {
        "batch": torch.nn.BatchNorm2d(6, track_running_stats=False),
        "instance": torch.nn.InstanceNorm2d(6, affine=True),
        "group": torch.nn.GroupNorm(3, 6),
        "layer": torch.nn.LayerNorm((6, 8, 8)),
    }
    for layer in made.values():
        torch.nn.init.normal_(layer.weight)
        torch.nn.init.normal_(layer.bias)
    return made


@pytest.mark.parametrize("kind", ["batch", "instance", "group", "layer"])
def test_a_held_layer_does_on_its_tile_what_the_layer_did_and_no_longer_looks_at_others(kind):
    layer = _layers()[kind]
    module = torch.nn.Sequential(torch.nn.Identity(), layer).eval().requires_grad_(False)
    tile, other = torch.randn(1, 6, 8, 8) * 3 + 1, torch.randn(1, 6, 8, 8)
    watched, records = watch(module, watched_layers(module))
    watched(tile)
    ((path, (record,)),) = records.items()
    assert path == "1"
    held = hold(module, {path: record})
    assert torch.allclose(held(tile), module(tile), atol=1e-5)
    assert not torch.allclose(held(other), module(other), atol=1e-2)
    whole = held(torch.cat([other, tile]))
    assert torch.allclose(whole[:1], held(other))


def test_a_network_that_is_one_normalization_layer_can_be_held():
    layer = torch.nn.InstanceNorm2d(2)
    values = torch.randn(1, 2, 5, 5)
    held = hold(layer, {"the network itself": moments_of(values, layer, "instance")})
    assert torch.allclose(held(values), layer(values), atol=1e-5)


@pytest.mark.parametrize("offset", [0.0, 3.0, 1e4])
def test_moments_are_right_for_values_far_from_zero_too(offset):
    values = torch.randn(2, 3, 40, 40, generator=torch.Generator().manual_seed(0)) * 0.5 + offset
    found = moments_of(values, torch.nn.BatchNorm2d(3), "batch")
    exact = values.double().transpose(0, 1).flatten(1)
    torch.testing.assert_close(found.mean.flatten().double(), exact.mean(1), rtol=1e-5, atol=1e-5)
    torch.testing.assert_close(
        found.variance.flatten().double(), exact.var(1, correction=0), rtol=2e-3, atol=0
    )
