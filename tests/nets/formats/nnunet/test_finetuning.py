"""A fold of nnU-Net, fine-tuned: it becomes seam-free, and opens again from the file that is written."""

from pathlib import Path

import numpy as np
import torch

import napari_tileseg as ts
from napari_tileseg.images import Image
from napari_tileseg.settings import LabelSettings, NetworkSettings, PredictSettings, TrainSettings

from .folders import checkpoint, network, write_folder


def test_twenty_steps_make_a_fold_seam_free(tmp_path: Path) -> None:
    folder = write_folder(
        tmp_path / "net", {"fold_0/checkpoint_final.pth": checkpoint(network(0, 2), "2d", 0)}
    )
    fold = folder / "fold_0" / "checkpoint_final.pth"
    opened = ts.open_network(fold, NetworkSettings(mirroring=False))
    assert not opened.spec.seam_free
    random = np.random.default_rng(0)
    image = Image(random.normal(100, 40, (2, 48, 40)).astype(np.float32), "cyx", channels=(0, 1))
    strokes = np.zeros((48, 40), np.uint8)
    strokes[4:40:6, 5:35] = np.arange(1, 4)[np.arange(6) % 3][:, None]
    out = tmp_path / "tuned.safetensors"
    work = ts.finetune(
        image,
        strokes,
        opened,
        TrainSettings(steps=20, patch=(16, 16), device="cpu", validate_every=10),
        meaning=LabelSettings(labels_kind="strokes", map=((1, "background"), (2, "a"), (3, "b"))),
        out=out,
    )
    made = ts.drain(work)
    tuned = ts.open_network(out)
    assert tuned.spec.architecture == "plain_conv_unet"
    assert tuned.spec.norm_counts == {"batch_renorm": 5}
    assert tuned.spec.seam_free
    assert tuned.spec.input_normalization == opened.spec.input_normalization
    assert tuned.spec.classes == ("background", "a", "b")
    values = torch.randn(1, 2, 16, 16)
    with torch.inference_mode():
        torch.testing.assert_close(tuned.module(values), made.module(values))
    whole = np.asarray(ts.predict(image, tuned, PredictSettings(device="cpu")))
    tiles = np.asarray(ts.predict(image, tuned, PredictSettings(device="cpu", core=(8, 8))))
    np.testing.assert_allclose(tiles, whole, atol=1e-5)
