"""Conversion to batch renormalization: statistics against a plain pass, and the effect on predictions."""

from copy import deepcopy
from dataclasses import replace

import numpy as np
import pytest
import torch

from napari_tileseg._progress import Noted, drain
from napari_tileseg.engine import WHOLE_TILES
from napari_tileseg.errors import DeviceError, NetworkError
from napari_tileseg.labels import soft_dice
from napari_tileseg.nets.norm_layers import BatchRenorm
from napari_tileseg.prediction import plan_prediction
from napari_tileseg.settings import PredictSettings
from napari_tileseg.training import Calibrated, convert_network
from napari_tileseg.training.networks.calibration import pooled_moments


def converted(network, plans, **how):
    """Give the converted network, and what was told."""
    events = []
    return drain(convert_network(network, plans, **how), events.append), events


@pytest.mark.parametrize("norm", ["instance", "group", "batch"])
def test_each_layer_has_the_moments_of_what_it_is_given(norm, make_network, plan) -> None:
    network, events = converted(make_network(norm), [plan], tile=(112, 128), voxels=1)
    # One tile of the whole image has no halo, so that a plain pass meets the same voxels.
    seen = {}

    def note(layer, inputs):
        values = inputs[0].double().transpose(0, 1).flatten(1)
        seen[id(layer)] = (values.mean(1), values.var(1))

    layers = [each for each in network.module.modules() if isinstance(each, BatchRenorm)]
    for layer in layers:
        layer.register_forward_pre_hook(note)
    values = plan.prepared.read(plan.grid.covered)
    with torch.inference_mode():
        after = torch.sigmoid(network.module(torch.from_numpy(values)[None]))[0].numpy()
        before = torch.sigmoid(make_network(norm).module(torch.from_numpy(values)[None]))[0].numpy()
    assert len(layers) == 3
    for layer in layers:
        mean, variance = seen[id(layer)]
        torch.testing.assert_close(layer.running_mean.double(), mean, rtol=1e-4, atol=1e-5)
        torch.testing.assert_close(layer.running_var.double(), variance, rtol=1e-4, atol=1e-6)
    assert isinstance(events[-1], Calibrated)
    assert events[-1].layers == network.description.renormalized
    assert events[-1].dice == pytest.approx([soft_dice(a, b) for a, b in zip(before, after, strict=True)])
    assert events[-1].max_abs_difference == pytest.approx(np.abs(before - after).max(), abs=1e-6)
    if norm == "instance":
        # On the whole image as one tile, instance statistics are those that were measured.
        assert events[-1].max_abs_difference < 1e-3


def test_moments_are_pooled_by_count_over_inner_parts() -> None:
    values = torch.rand(2, 3, 8, 10) * torch.tensor([1.0, 5.0]).reshape(2, 1, 1, 1) + 1000
    inside = [((0.0, 1.0), (0.2, 1.0)), ((0.25, 0.75), (0.0, 0.5))]
    mean, variance = pooled_moments(values, inside)
    kept = np.concatenate(
        [values[0, :, :, 2:].reshape(3, -1).numpy(), values[1, :, 2:6, :5].reshape(3, -1).numpy()], axis=1
    ).astype(np.float64)
    np.testing.assert_allclose(mean, kept.mean(1), rtol=1e-9)
    np.testing.assert_allclose(variance, kept.var(1, ddof=1), rtol=1e-5)


def test_the_result_is_free_of_seams_and_the_start_is_left_alone(make_network, plan) -> None:
    start = make_network("instance")
    weights = {name: values.clone() for name, values in start.module.state_dict().items()}
    network, _ = converted(start, [plan, plan], tile=(32, 32), voxels=8 * 32 * 32)
    assert (start.spec.seam_free, network.spec.seam_free) == (False, True)
    assert network.spec.norm_counts == {"batch_renorm": 3}
    for name, values in weights.items():
        assert torch.equal(start.module.state_dict()[name], values)
        if "running" not in name:
            torch.testing.assert_close(network.module.state_dict()[name], values)
    again, _ = converted(start, [plan, plan], tile=(32, 32), voxels=8 * 32 * 32)
    assert again.sha256 == network.sha256


def test_a_network_without_layers_to_convert_stays_itself(make_network, plan, as_code) -> None:
    network = make_network("batch_renorm")
    assert converted(network, [plan]) == (network, [])
    with pytest.raises(NetworkError, match="does not show as a graph"):
        converted(as_code(network), [plan])


def hungry(network, most):
    """Make a copy of a network that runs out of memory on more than so many tiles at once."""

    def need_memory(_, inputs):
        if len(inputs[0]) > most:
            raise torch.OutOfMemoryError("out of memory")

    module = deepcopy(network.module)
    module.register_forward_pre_hook(need_memory)
    return replace(network, module=module)


def test_less_memory_means_fewer_tiles(make_network, plan) -> None:
    network = make_network("instance")
    made, events = converted(hungry(network, 3), [plan], tile=(32, 32), voxels=9 * 32 * 32)
    assert [each.message for each in events if isinstance(each, Noted)] == [
        "Memory of cpu ran out: statistics are measured on 4 tiles.",
        "Memory of cpu ran out: statistics are measured on 2 tiles.",
    ]
    assert made.spec.seam_free
    with pytest.raises(DeviceError, match="one tile of"):
        converted(hungry(network, 0), [plan], tile=(32, 32), voxels=1)


def test_images_with_time_are_measured_too(make_network, picture) -> None:
    movie = replace(
        picture,
        data=np.stack([picture.data, picture.data // 2]),
        axes="tyx",
        voxel_size=(),
        units=(),
        translation=(),
    )
    plan = drain(
        plan_prediction(movie, make_network("instance"), PredictSettings(device="cpu"), route=WHOLE_TILES)
    )
    network, _ = converted(make_network("instance"), [plan], voxels=4 * 2**14)
    assert network.spec.seam_free
