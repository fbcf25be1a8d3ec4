"""A trained folder of nnU-Net, predicted with statistics of the whole image: one run of the bare network."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

import napari_tileseg as ts
from napari_tileseg.diagnosis import diagnose
from napari_tileseg.images import Image
from napari_tileseg.prediction import plan_prediction
from napari_tileseg.settings import DiagnoseSettings, NetworkSettings, PredictSettings
from napari_tileseg.tiling import Box

from .folders import checkpoint, network, plans, write_folder

SPACING = (3.0, 1.0, 0.5)


@pytest.fixture
def image() -> Image:
    """Two channels, dark on one side, of a shape that no stride divides."""
    values = np.random.default_rng(0).normal(100, 40, (2, 13, 41, 50)).astype(np.float32)
    values[..., :15] *= 0.2
    return Image(values, "czyx", channels=(0, 1), voxel_size=SPACING, units=("micrometer",) * 3)


@pytest.mark.parametrize(
    ("residual", "mirroring", "folds", "order"),
    [
        (False, False, 2, (0, 1, 2)),
        (True, False, 2, (0, 1, 2)),
        (False, True, 2, (0, 1, 2)),
        (True, True, 1, (2, 0, 1)),
    ],
)
def test_tiles_equal_the_network_on_the_padded_volume(
    tmp_path: Path, image: Image, residual: bool, mirroring: bool, folds: int, order: tuple[int, ...]
) -> None:
    said = {
        f"fold_{fold}/checkpoint_final.pth": checkpoint(
            network(fold, 3, residual=residual), "3d_fullres", fold
        )
        for fold in range(folds)
    }
    folder = write_folder(tmp_path / "net", said, plans(residual=residual, order=order))
    opened = ts.open_network(folder, NetworkSettings(mirroring=mirroring))
    image = replace(image, voxel_size=opened.spec.voxel_size)
    settings = PredictSettings(device="cpu", dtype="float64", statistics="whole", core=(4, 16, 16))
    plan = ts.drain(plan_prediction(image, opened, settings))
    assert plan.network.spec.seam_free
    assert len(plan.grid) > 20
    padded = torch.from_numpy(plan.prepared.read(Box.of_shape(plan.grid.padded_shape)))[None].double()
    with torch.inference_mode():
        logits = opened.module.double()(padded)
        bare = torch.softmax(logits, 1)[0].numpy()[(slice(None), *map(slice, image.shape[-3:]))]
    opened.module.float()
    tiles = np.asarray(ts.predict(image, opened, settings))
    np.testing.assert_allclose(tiles, bare, atol=1e-6)
    assert np.array_equal(tiles.argmax(0), bare.argmax(0))
    with pytest.warns(UserWarning, match="Tiles will show"):
        plain = np.asarray(
            ts.predict(image, opened, PredictSettings(device="cpu", core=(4, 16, 16), statistics="tile"))
        )
    assert np.abs(plain - bare).max() > 0.01


@pytest.mark.parametrize("mirroring", [False, True])
def test_its_diagnosis_finds_no_seam(tmp_path: Path, image: Image, mirroring: bool) -> None:
    folder = write_folder(
        tmp_path / "net", {"fold_0/checkpoint_final.pth": checkpoint(network(0, 3), "3d_fullres", 0)}
    )
    opened = ts.open_network(folder, NetworkSettings(mirroring=mirroring))
    found = {
        way: ts.drain(
            diagnose(
                image,
                opened,
                PredictSettings(device="cpu", core=(4, 16, 16), statistics=way),
                DiagnoseSettings(sample=4),
            )
        )
        for way in ("whole", "tile")
    }
    assert found["whole"].mismatch.seam_free
    assert not found["tile"].mismatch.seam_free


def test_left_alone_it_has_statistics_of_a_region_and_intensities_of_the_image(
    tmp_path: Path, image: Image
) -> None:
    said = {"fold_0/checkpoint_final.pth": checkpoint(network(0, 3), "3d_fullres", 0)}
    folder = write_folder(tmp_path / "net", said, plans())
    opened = ts.open_network(folder, NetworkSettings(mirroring=False))
    image = replace(image, voxel_size=opened.spec.voxel_size)
    ours, asked = (
        ts.drain(plan_prediction(image, opened, PredictSettings(device="cpu", core=(4, 16, 16), **how)))
        for how in ({}, {"statistics": "tile"})
    )
    assert ours.settings.statistics == "region"
    assert ours.tiles.exact
    assert ours.normalization == asked.normalization
