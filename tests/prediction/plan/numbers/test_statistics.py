"""Layers that look at all of space take their numbers from one place for all tiles, and make no seams."""

from __future__ import annotations

import copy
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import zarr
from torch import Tensor, nn

from napari_tileseg._progress import drain
from napari_tileseg.errors import NetworkError, SettingsError, StoreError
from napari_tileseg.images.image import Image
from napari_tileseg.nets import Network, open_module
from napari_tileseg.prediction import plan_prediction, predict, predict_to_store
from napari_tileseg.prediction.events import TileDone
from napari_tileseg.settings import PredictSettings
from napari_tileseg.tiling import Box

SHAPE = (70, 86)
RANDOM = np.random.default_rng(0)
#: Brighter below, so that tiles differ from each other and from the whole.
VOXELS = (RANDOM.random(SHAPE) + np.linspace(0, 3, SHAPE[0])[:, None]).astype(np.float32)
IMAGE = Image(VOXELS, "yx")
#: Several tiles, and the format in which rounding hides nothing.
HOW: dict[str, Any] = {"core": (16, 32), "dtype": "float64", "normalize": "none"}
#: Gigabytes: nothing is kept from pass to pass; everything is.
LITTLE, MUCH = 1e-6, 1.0
REGION = ((4, 40), (10, 70))


@pytest.fixture(params=["instance", "group"])
def network(request: pytest.FixtureRequest, make_network: Callable[..., Network]) -> Network:
    return make_network(ndim=2, norm=request.param)


def padded(values: np.ndarray, step: int = 4) -> Tensor:
    """Continue an image by reflection to a multiple of the network's stride."""
    more = [(0, -n % step) for n in values.shape]
    return torch.from_numpy(np.pad(values, more, mode="reflect")).double()[None, None]


def probabilities(module: nn.Module, values: np.ndarray) -> np.ndarray:
    with torch.inference_mode():
        output = module(padded(values)).softmax(1)
    return output[0][(slice(None), *(slice(n) for n in values.shape))].numpy()


class Norm(nn.Module):
    """An InstanceNorm or GroupNorm that takes the mean and spread of what it was given first."""

    def __init__(self, layer: nn.Module) -> None:
        super().__init__()
        self.layer, self.numbers = layer, None

    def forward(self, x: Tensor) -> Tensor:
        groups = getattr(self.layer, "num_groups", x.shape[1])
        apart = x.reshape(1, groups, -1)
        if self.numbers is None:
            self.numbers = apart.mean(2, keepdim=True), apart.var(2, keepdim=True, correction=0)
        mean, variance = self.numbers
        y = ((apart - mean) / (variance + self.layer.eps).sqrt()).reshape(x.shape)
        return y * self.layer.weight.reshape(1, -1, 1, 1) + self.layer.bias.reshape(1, -1, 1, 1)


def held(module: nn.Module) -> nn.Module:
    """Return a network whose layers go on with the numbers of the first image."""
    module = copy.deepcopy(module).double()
    for path, layer in list(module.named_modules()):
        if isinstance(layer, (nn.InstanceNorm2d, nn.GroupNorm)):
            parent, _, name = path.rpartition(".")
            setattr(module.get_submodule(parent), name, Norm(layer))
    return module


def stored(path: Path) -> np.ndarray:
    return np.asarray(zarr.open_group(path, mode="r")["0"][...])


def run(network: Network, path: Path, image: Image = IMAGE, **how: Any) -> np.ndarray:
    for _ in predict_to_store(image, network, PredictSettings(**{**HOW, **how}), path):
        pass
    return stored(path)


@pytest.mark.parametrize("memory", [LITTLE, MUCH])
def test_tiles_equal_the_network_on_the_whole_padded_image(
    network: Network, tmp_path: Path, memory: float
) -> None:
    expected = probabilities(copy.deepcopy(network.module).double(), VOXELS)
    result = run(network, tmp_path / "a.ome.zarr", statistics="whole", memory=memory)
    np.testing.assert_allclose(result, expected, rtol=0, atol=1e-12)
    assert zarr.open_group(tmp_path / "a.ome.zarr", mode="r").attrs["tileseg"]["exact"]
    by_tile = run(network, tmp_path / "b.ome.zarr", statistics="tile", memory=MUCH)
    assert np.abs(by_tile - expected).max() > 0.01


def test_a_region_counts_as_if_it_were_all_there_is(network: Network, tmp_path: Path) -> None:
    module = held(network.module)
    (a, b), (c, d) = REGION
    probabilities(module, VOXELS[a:b, c:d])
    expected = probabilities(module, VOXELS)
    result = run(network, tmp_path / "a.ome.zarr", statistics="region", region=REGION)
    np.testing.assert_allclose(result, expected, rtol=0, atol=1e-12)


def test_the_region_is_sought_in_the_image_whatever_of_it_is_predicted(
    network: Network, tmp_path: Path
) -> None:
    box, everything = ((8, 40), (12, 70)), tuple((0, n) for n in SHAPE)
    named = run(network, tmp_path / "a.ome.zarr", statistics="region", region=everything, box=box)
    unnamed = run(network, tmp_path / "b.ome.zarr", statistics="region", box=box)
    np.testing.assert_array_equal(named, unnamed)


def test_a_box_and_a_lazy_array_take_the_whole_image_s_numbers(network: Network, tmp_path: Path) -> None:
    expected = probabilities(copy.deepcopy(network.module).double(), VOXELS)
    box = ((16, 48), (32, 64))
    part = run(network, tmp_path / "a.ome.zarr", statistics="whole", box=box)
    inside = (slice(None), *Box((16, 32), (48, 64)).slices)
    np.testing.assert_allclose(part, expected[inside], rtol=0, atol=1e-12)
    lazy = predict(IMAGE, network, PredictSettings(**HOW, statistics="whole"))
    np.testing.assert_allclose(lazy.blocks[0, 2, 1].compute(), expected[:, 32:48, 32:64], rtol=0, atol=1e-12)


def test_a_run_that_was_stopped_goes_on_with_its_numbers(network: Network, tmp_path: Path) -> None:
    whole = run(network, tmp_path / "a.ome.zarr", statistics="whole")
    work = predict_to_store(
        IMAGE, network, PredictSettings(**HOW, statistics="whole"), tmp_path / "b.ome.zarr"
    )
    next(event for event in work if isinstance(event, TileDone))
    work.close()
    before = dict(zarr.open_group(tmp_path / "b.ome.zarr", mode="r").attrs)
    np.testing.assert_array_equal(run(network, tmp_path / "b.ome.zarr", statistics="whole"), whole)
    after = dict(zarr.open_group(tmp_path / "b.ome.zarr", mode="r").attrs)
    assert before["tileseg"]["statistics"] == after["tileseg"]["statistics"]
    with pytest.raises(StoreError, match="statistics was whole and now is tile"):
        run(network, tmp_path / "b.ome.zarr", statistics="tile")


@pytest.mark.parametrize("reduced", ["bfloat16", "float16"])
def test_reduced_precision_has_the_numbers_of_float32(network: Network, reduced: str) -> None:
    """Rounded to half precision anywhere on the way, they would be off by a thousandth."""
    found = {}
    for dtype in ("float64", "float32", reduced):
        settings = PredictSettings(**{**HOW, "dtype": dtype}, statistics="whole")
        found[dtype] = drain(plan_prediction(IMAGE, network, settings)).statistics.gathered.values
    assert found[reduced] == found["float32"]
    for number, values in found["float64"].items():
        for one, other in zip(values, found[reduced][number], strict=True):
            np.testing.assert_allclose(one, other, rtol=1e-4, atol=1e-5)


def test_a_network_that_is_local_has_none(make_network: Callable[..., Network]) -> None:
    plan = drain(plan_prediction(IMAGE, make_network(ndim=2), PredictSettings(**HOW, statistics="whole")))
    assert plan.statistics is None


class Attention(nn.Module):
    """Every voxel looks at every other one."""

    def forward(self, x: Tensor) -> Tensor:
        flat = x.flatten(2)
        return (flat @ (flat.mT @ flat).softmax(1)).reshape(x.shape)


def test_a_time_series_has_no_statistics_of_one_volume(make_network: Callable[..., Network]) -> None:
    series = Image(np.stack([VOXELS, VOXELS]), "tyx")
    network, how = make_network(ndim=2, norm="instance"), {"statistics": "whole", "normalize": "none"}
    with pytest.raises(SettingsError, match="of one volume, and there are 2 in what is predicted"):
        drain(plan_prediction(series, network, PredictSettings(**how)))
    plan = drain(
        plan_prediction(series, network, PredictSettings(**how, box=((1, 2), (0, SHAPE[0]), (0, SHAPE[1]))))
    )
    assert plan.statistics is not None


def test_attention_is_refused_by_name() -> None:
    module = nn.Sequential(nn.Conv2d(1, 2, 1), Attention())
    network = open_module(module, axes="yx", in_channels=1)
    with pytest.raises(NetworkError, match="cannot be gathered from parts of an image, because"):
        drain(plan_prediction(IMAGE, network, PredictSettings(normalize="none", statistics="whole")))


def test_other_processes_gather_for_themselves(network: Network) -> None:
    """Each process has the engine of a job once, however many of its blocks it computes."""
    lazy = predict(IMAGE, network, PredictSettings(**HOW, statistics="whole"))
    expected = probabilities(copy.deepcopy(network.module).double(), VOXELS)
    result = lazy.blocks[0, :2, 0].compute(scheduler="processes", num_workers=1)
    np.testing.assert_allclose(result, expected[:, :32, :32], rtol=0, atol=1e-12)
