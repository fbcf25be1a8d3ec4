"""A bundle's network, fine-tuned: it becomes seam-free, and opens again with its axes turned as before."""

from pathlib import Path

import numpy as np
import torch

import napari_tileseg as ts
from napari_tileseg.images import Image
from napari_tileseg.settings import LabelSettings, PredictSettings, TrainSettings

from .monai_bundles import LOAD, configuration, made, metadata, write_bundle


def test_twenty_steps_from_a_bundle(tmp_path: Path) -> None:
    arguments = {"spatial_dims": 2, "in_channels": 1, "out_channels": 2, "channels": [4, 8], "strides": [2]}
    orient = {"_target_": "Orientationd", "keys": "image", "axcodes": "LP"}
    before = [*LOAD, orient, {"_target_": "NormalizeIntensityd", "keys": "image"}]
    folder = write_bundle(
        tmp_path / "net",
        configuration({"_target_": "UNet", **arguments}, before),
        metadata(2),
        {"model": made("UNet", arguments).state_dict()},
    )
    opened = ts.open_network(folder)
    assert not opened.spec.seam_free
    random = np.random.default_rng(0)
    image = Image(random.normal(100, 40, (48, 64)).astype(np.float32), "yx")
    strokes = np.zeros((48, 64), np.uint8)
    strokes[4:40:6, 5:50] = np.arange(1, 3)[np.arange(6) % 2][:, None]
    out = tmp_path / "tuned.safetensors"
    work = ts.finetune(
        image,
        strokes,
        opened,
        TrainSettings(steps=20, patch=(16, 16), device="cpu", validate_every=10),
        meaning=LabelSettings(labels_kind="strokes", map=((1, "background"), (2, "spleen"))),
        out=out,
    )
    result = ts.drain(work)
    tuned = ts.open_network(out)
    assert tuned.spec.norm_counts.keys() == {"batch_renorm"}
    assert tuned.spec.seam_free
    assert tuned.description.arguments["flipped"] == [0, 1]
    assert tuned.spec.input_normalization == opened.spec.input_normalization
    assert tuned.spec.classes == ("background", "spleen")
    values = torch.randn(1, 1, 32, 48)
    with torch.inference_mode():
        torch.testing.assert_close(tuned.module(values), result.module(values))
    whole = np.asarray(ts.predict(image, tuned, PredictSettings(device="cpu")))
    tiles = np.asarray(ts.predict(image, tuned, PredictSettings(device="cpu", core=(16, 16))))
    np.testing.assert_allclose(tiles, whole, atol=1e-5)
