"""What is said of tiles is what the tiles do that are used, by regions or whole."""

import warnings
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn
from torch.nn import functional

from napari_tileseg.engine import judged_by_engine, route_of
from napari_tileseg.images import Image
from napari_tileseg.nets import Network, network_in_memory
from napari_tileseg.nets.formats.description import Description
from napari_tileseg.nets.spec import InputNormalization
from napari_tileseg.prediction import predict
from napari_tileseg.prediction.plan.plan import lay_plan
from napari_tileseg.session.text.network_words import describe_network
from napari_tileseg.settings import PredictSettings

SAID = Description(
    axes="yx", in_channels=1, activation="none", input_normalization=InputNormalization(kind="none")
)
SETTINGS = PredictSettings(core=(16, 24), device="cpu", dtype="float64", statistics="tile")


class ToSize(nn.Module):
    """Brings back what it pooled to the size it had, which no factor states."""

    def __init__(self, **how: Any) -> None:
        super().__init__()
        self.first, self.last, self.how = nn.Conv2d(1, 2, 3, padding=1), nn.Conv2d(2, 1, 3, padding=1), how

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        y = self.first(x)
        low = functional.interpolate(functional.avg_pool2d(y, 4), size=y.shape[2:], **self.how)
        return self.last(y + low)


def conv(**how: Any) -> nn.Module:
    return nn.Conv2d(1, 1, 5, **{"padding": 2, **how})


def up(**how: Any) -> nn.Module:
    return nn.Sequential(conv(), nn.MaxPool2d(4), nn.Upsample(scale_factor=4.0, **how), conv())


NETWORKS: dict[str, tuple[Callable[[], nn.Module], bool]] = {
    "circular": (lambda: nn.Sequential(conv(padding_mode="circular"), conv()), True),
    "circular, pooled": (
        lambda: nn.Sequential(conv(padding_mode="circular"), nn.MaxPool2d(2), nn.Upsample(scale_factor=2.0)),
        True,
    ),
    "aligned corners": (lambda: up(mode="bilinear", align_corners=True), True),
    "aligned, to a size": (lambda: ToSize(mode="bilinear", align_corners=True), True),
    "nearest, to a size": (lambda: ToSize(mode="nearest"), True),
    "plain": (lambda: up(mode="bilinear"), True),
    "instance norm": (lambda: nn.Sequential(conv(), nn.InstanceNorm2d(1)), False),
}


@pytest.fixture(scope="module")
def image() -> Image:
    return Image(data=np.random.default_rng(0).normal(size=(1, 64, 96)).astype("f4"), axes="cyx")


@pytest.mark.parametrize("name", NETWORKS)
def test_what_is_said_of_tiles_is_what_they_do(name: str, image: Image) -> None:
    make, exact = NETWORKS[name]
    torch.manual_seed(0)
    network = network_in_memory(make(), SAID)
    plan = lay_plan(image, network, SETTINGS, route_of(network)).tiles
    with torch.inference_mode():
        whole = network.module.double()(torch.from_numpy(np.asarray(image.data, "f8"))[None])[0].numpy()
    network.module.float()
    found = predict_quietly(image, network)
    difference = float(np.abs(found - whole).max() / np.abs(whole).max())
    said = judged_by_engine(network.spec, route_of(network, "cpu"))
    assert (difference < 1e-9) is exact
    assert said.seam_free is exact
    assert plan.exact is exact
    assert any("Tiles will show" in each for each in plan.warnings) is not exact


def predict_quietly(image: Image, network: Network) -> Any:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)
        return predict(image, network, SETTINGS).compute()


@pytest.mark.parametrize("name", ["circular", "aligned corners"])
def test_the_card_follows_the_engine_once_it_is_known(name: str) -> None:
    network = network_in_memory(NETWORKS[name][0](), SAID)
    before, after = describe_network(network.spec), describe_network(network.spec, route_of(network))
    assert not before.seam_free
    assert after.seam_free
    assert after.verdict == "can be seam-free"
    assert network.spec.reason in after.why


def test_a_halo_that_is_made_too_small_is_still_said(image: Image) -> None:
    network = network_in_memory(NETWORKS["circular"][0](), SAID)
    small = PredictSettings(core=(16, 24), device="cpu", halo=((0, 0), (0, 0)))
    assert not lay_plan(image, network, small, route_of(network)).tiles.exact
