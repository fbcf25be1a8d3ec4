"""A network that makes seams, an image with strokes, and work that is driven to its end."""

import numpy as np
import pytest
import torch

from napari_tileseg._progress import drain
from napari_tileseg.images.image import Image
from napari_tileseg.nets import Description, open_network, save_network
from napari_tileseg.nets.architectures.registry import build
from napari_tileseg.settings import LabelSettings
from napari_tileseg.workflows.finetuning_request import TuneRequest


@pytest.fixture(scope="session")
def network(tmp_path_factory):
    """A small flat network that makes seams."""
    torch.manual_seed(0)
    arguments = {"ndim": 2, "in_channels": 1, "out_channels": 2, "features": (3, 4), "norm": "instance"}
    path = tmp_path_factory.mktemp("network") / "instance.safetensors"
    arguments["blocks"] = 1
    described = {"arguments": arguments, "classes": ("a", "b"), "activation": "sigmoid"}
    description = Description(architecture="unet", **described)
    return open_network(save_network(build("unet", **arguments), path, description))


@pytest.fixture(scope="session")
def strokes():
    """Nine strokes of three values."""
    painted = np.zeros((72, 96), np.uint8)
    for row, value in enumerate((1, 2, 3, 1, 2, 3, 1, 2, 3)):
        painted[7 * row + 3, 10:22] = value
    return painted


@pytest.fixture
def request_for(network, strokes, tmp_path):
    """Make the request to fine-tune the network on an image that is brighter on one side, as settings say."""
    rng = np.random.default_rng(0)
    brighter = np.linspace(0, 500, 96)[None]
    image = Image((rng.integers(0, 300, (72, 96)) + brighter).astype(np.uint16), "yx")

    def make(training):
        return TuneRequest(
            image=image,
            labels=strokes,
            network=network,
            folder=tmp_path / "run",
            training=training,
            meaning=LabelSettings(labels_kind="strokes"),
        )

    return make


@pytest.fixture(scope="session")
def events_of():
    """Drive work to its end, and give its events; the result is the last of the list."""

    def run(work):
        events = []
        result = drain(work, events.append)
        return [*events, result]

    return run
