"""The shipped networks: there, small, good, and with seams just where their normalization makes them."""

import subprocess
import sys
from contextlib import nullcontext
from functools import cache

import numpy as np
import pytest
import torch

from napari_tileseg.images.image import Image
from napari_tileseg.labels import classes_from_instances
from napari_tileseg.nets import open_network, sample_names
from napari_tileseg.prediction import predict
from napari_tileseg.samples import (
    cells_image,
    nuclei_volume,
    sample_networks,
)
from napari_tileseg.settings import PredictSettings

NAMES = [network.name for network in sample_networks()]
UNSEEN_SEED = 7


@cache
def opened(name):
    return open_network(f"sample:{name}")


def dice(one, other):
    return 2 * np.sum(one & other) / (np.sum(one) + np.sum(other))


def normalized(image, spec):
    assert spec.input_normalization.kind == "quantiles"
    low, high = np.percentile(image, (spec.input_normalization.low, spec.input_normalization.high))
    return np.clip((image - low) / (high - low), 0, 1).astype(np.float32)


def probabilities(network, image):
    with torch.inference_mode():
        logits = network.module(torch.from_numpy(normalized(image, network.spec))[None, None])[0]
    return torch.sigmoid(logits).numpy()


def test_listed_networks_are_those_in_the_package():
    assert sorted(NAMES) == sorted(sample_names())
    assert all(network.path.is_file() for network in sample_networks())
    assert len({network.title for network in sample_networks()}) == len(NAMES)


def test_listing_loads_no_torch():
    code = (
        "import sys; from napari_tileseg.samples import sample_networks; "
        "assert sample_networks(); assert 'torch' not in sys.modules"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


def test_files_are_small():
    assert sum(network.path.stat().st_size for network in sample_networks()) < 1_500_000


@pytest.mark.parametrize("network", sample_networks(), ids=NAMES)
def test_spec_says_what_the_network_is(network):
    spec = opened(network.name).spec
    assert spec.name == network.title
    assert spec.classes == ("foreground", "boundary")
    assert spec.activation == "sigmoid"
    assert (spec.in_channels, spec.out_channels) == (1, 2)
    assert spec.geometry.stride == (4,) * spec.ndim
    kind = network.name.split("d_", 1)[1]
    assert dict(spec.norm_counts) == {kind: 10}
    assert spec.seam_free == (kind != "instance")
    sample = nuclei_volume((8, 8, 8)) if spec.ndim == 3 else cells_image((8, 8))
    assert spec.voxel_size == sample.voxel_size


@pytest.mark.parametrize("name", NAMES)
def test_foreground_is_found_on_an_unseen_seed(name):
    network = opened(name)
    make, shape = (nuclei_volume, (48, 128, 128)) if network.spec.ndim == 3 else (cells_image, (512, 512))
    sample = make(shape, UNSEEN_SEED)
    found = probabilities(network, sample.image) > 0.5
    assert dice(found[0], classes_from_instances(sample.labels)[0]) >= 0.9


@pytest.mark.parametrize(("norm", "seams"), [("instance", True), ("batch_renorm", False), ("batch", False)])
def test_tiles_show_only_where_instance_normalization_makes_them(norm, seams):
    network = opened(f"nuclei_3d_{norm}")
    sample = nuclei_volume((32, 128, 128))
    halo = ((24, 24),) * 3
    settings = PredictSettings(core=(16, 64, 64), halo=halo, statistics="tile", device="cpu")
    image = Image(sample.image, "zyx", voxel_size=sample.voxel_size)
    with pytest.warns(UserWarning, match="Tiles will show") if seams else nullcontext():
        tiled = predict(image, network, settings)
    difference = np.abs(tiled.compute(scheduler="synchronous") - probabilities(network, sample.image)).max()
    assert difference > 0.02 if seams else difference < 1e-4
