"""A small image with objects, strokes on it, and networks that are trained in seconds."""

from collections.abc import Callable
from functools import cache

import numpy as np
import pytest
import torch

from napari_tileseg._progress import drain
from napari_tileseg.engine import WHOLE_TILES
from napari_tileseg.images.image import Image
from napari_tileseg.labels import Targets, read_targets
from napari_tileseg.nets import Network
from napari_tileseg.prediction import Plan, plan_prediction
from napari_tileseg.samples import cells_image
from napari_tileseg.settings import LabelSettings, PredictSettings, TrainSettings
from napari_tileseg.training import TrainingImage, scratch_network

CLASSES = ("inside", "rim")
HOW = PredictSettings(device="cpu")
SAMPLE = cells_image((112, 128), seed=1)


@cache
def network_of(norm: str = "batch_renorm", seed: int = 0, activation: str = "sigmoid") -> Network:
    """Make a U-Net of two levels with fresh weights and statistics that are not the default."""
    network = scratch_network(
        "unet",
        {"ndim": 2, "features": (4, 6), "blocks": 1, "norm": norm},
        classes=CLASSES,
        activation=activation,
        seed=seed,
    )
    generator = torch.Generator().manual_seed(seed)
    for name, values in network.module.named_buffers():
        if values.is_floating_point():
            values.copy_(torch.rand(values.shape, generator=generator) * 0.2 + (1 if "var" in name else 0))
    return network


@pytest.fixture(scope="session")
def make_network() -> Callable[..., Network]:
    """Make small networks by normalization."""
    return network_of


@pytest.fixture(scope="session")
def picture() -> Image:
    """Make an image of cells, no axis a multiple of 64."""
    return Image(SAMPLE.image, "yx", name="cells", voxel_size=(0.65, 0.65), units=("micrometer",) * 2)


def strokes_on(labels: np.ndarray, count: int = 6, seed: int = 0) -> np.ndarray:
    """Paint short horizontal lines: 1 inside of objects, 2 on their rim, 3 outside."""
    instances = LabelSettings(labels_kind="instances")
    dense = read_targets(labels, ("foreground", "boundary"), instances, labels.shape)
    rng, painted = np.random.default_rng(seed), np.zeros(labels.shape, np.uint8)
    for number in range(3):
        places = np.argwhere(dense.index == number)
        for y, x in places[rng.permutation(len(places))[:count]]:
            same = dense.index[y, x : x + 12] == number
            length = len(same) if same.all() else int(np.argmin(same))
            painted[y, x : x + length] = number + 1
    return painted


@pytest.fixture(scope="session")
def strokes() -> Targets:
    """Make strokes of all classes and of background."""
    painted = strokes_on(SAMPLE.labels)
    return read_targets(painted, CLASSES, LabelSettings(labels_kind="strokes"), painted.shape)


@pytest.fixture(scope="session")
def dense() -> Targets:
    """Make what is right everywhere."""
    instances = LabelSettings(labels_kind="instances")
    targets = read_targets(SAMPLE.labels, ("foreground", "boundary"), instances, SAMPLE.labels.shape)
    return Targets(CLASSES, targets.index)


@pytest.fixture(scope="session")
def plan(picture, make_network) -> Plan:
    """Plan the image as it is predicted."""
    return drain(plan_prediction(picture, make_network(), HOW, route=WHOLE_TILES))


@pytest.fixture
def data(plan, strokes) -> list[TrainingImage]:
    """Give the image with its strokes."""
    return [TrainingImage(plan, strokes)]


@pytest.fixture(scope="session")
def quick() -> Callable[..., TrainSettings]:
    """Make settings of a few steps on small patches."""

    def make(**chosen) -> TrainSettings:
        usual = {"steps": 6, "patch": (32, 32), "device": "cpu", "validate_every": 3, "checkpoint_every": 1e9}
        return TrainSettings(**{**usual, **chosen})

    return make
