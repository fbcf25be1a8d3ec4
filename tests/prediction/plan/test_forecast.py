"""What statistics and prediction take is known before any voxel is read."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from napari_tileseg.engine.choice import route_of
from napari_tileseg.images.image import Image
from napari_tileseg.nets import Network
from napari_tileseg.prediction import lay_plan
from napari_tileseg.prediction.plan.forecast import Forecast, forecast
from napari_tileseg.settings import PredictSettings


class Unread:
    """An image's data that must not be read."""

    dtype = np.dtype("u2")

    def __init__(self, *shape: int) -> None:
        self.shape = shape

    def __getitem__(self, key: Any) -> np.ndarray:
        raise AssertionError("a forecast read the image")


@pytest.fixture
def network(make_network: Callable[..., Network]) -> Network:
    return make_network(ndim=2, norm="instance")


def foreseen(network: Network, *shape: int, **how: Any) -> Forecast | None:
    image = Image(Unread(*shape), "yx")
    return forecast(lay_plan(image, network, PredictSettings(**how), route_of(network)))


def test_a_sample_of_a_large_image_takes_a_part_of_a_pass_and_how_much_is_not_known(network: Network) -> None:
    found = foreseen(network, 8000, 8000, statistics="sample")
    assert found is not None
    assert found.most is not None
    assert 1 < found.passes < 1.1
    assert 1.5 < found.most <= 2
    assert found.words(600.0).startswith("Statistics and prediction: 1.0 to 1.5 passes over the image, about")
    assert "or more" in found.words(600.0)


def test_a_sample_of_a_small_image_is_all_of_it(network: Network) -> None:
    how = {"memory": 1e-3, "core": (64, 64)}
    sample, whole = (foreseen(network, 300, 300, statistics=way, **how) for way in ("sample", "whole"))
    assert sample == whole
    assert sample is not None
    assert sample.most is None


def test_nothing_is_foreseen_of_a_region_that_is_not_known_or_of_each_tile(network: Network) -> None:
    assert foreseen(network, 300, 300, statistics="region") is None
    assert foreseen(network, 300, 300, statistics="tile") is None
