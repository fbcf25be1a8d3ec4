"""A bundle here against MONAI itself: its parser, its transforms, its sliding window of one window."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from monai.bundle import ConfigParser
from monai.data import MetaTensor
from monai.inferers import sliding_window_inference
from monai.transforms import LoadImage, Orientation

import napari_tileseg as ts
from napari_tileseg.images import Image
from napari_tileseg.nets import formats
from napari_tileseg.nets.formats.candidate import Given
from napari_tileseg.nets.formats.packages.package import open_package
from napari_tileseg.nets.intensities import prepare_array
from napari_tileseg.settings import PredictSettings

from .monai_bundles import LOAD, NETWORKS, made, metadata, small_bundle, turned

RANDOM = np.random.default_rng(7)
#: Two channels, with a border of zeros and zeros inside.
IMAGE = RANDOM.normal(90, 40, (2, 8, 12, 16)).clip(1).astype(np.float32)
IMAGE[:, :2] = 0
IMAGE[:, :, :, 13:] = 0
IMAGE[0, 4, 5:7] = 0
RANGE = {"_target_": "ScaleIntensityRanged", "a_min": 20, "a_max": 164}
PERCENTILES = {"_target_": "ScaleIntensityRangePercentilesd", "lower": 5, "upper": 90}
NORMALIZE = {"_target_": "NormalizeIntensityd"}
TWO = {"_target_": "UNet", **NETWORKS["UNet"][0], "in_channels": 2}


def prepared_by_monai(path: Path, image: np.ndarray) -> torch.Tensor:
    """Return what a bundle's own transforms make of ``(channels, z, y, x)``, in its order of axes."""
    return with_place(path, image)[0]


def with_place(path: Path, image: np.ndarray) -> tuple[torch.Tensor, torch.Tensor]:
    """Return the same, and the affine that says where its voxels lie among those of the image."""
    parser = ConfigParser()
    parser.read_config(str(path / "configs" / "inference.json"))
    for number in range(len(LOAD)):
        parser[f"preprocessing::transforms::{number}::_disabled_"] = True
    transforms = parser.get_parsed_content("preprocessing")
    values = torch.as_tensor(turned(image[None])[0].copy())
    prepared = transforms({"image": MetaTensor(values, affine=torch.eye(4))})["image"]
    return prepared.as_tensor(), prepared.affine


def bundle(folder: Path, *transforms: dict[str, Any], **more: Any) -> Path:
    listed = [*LOAD, *({"keys": "image", **each} for each in transforms)]
    weights = made("UNet", {key: each for key, each in TWO.items() if key != "_target_"}).state_dict()
    return small_bundle(
        folder, network=TWO, said=metadata(channels=2), before=listed, weights=weights, **more
    )


@pytest.mark.parametrize(
    "transforms",
    [
        [{**RANGE, "b_min": 0, "b_max": 1, "clip": True}],
        [{**RANGE, "b_min": -1, "b_max": 2, "clip": False}],
        [{**RANGE, "b_min": None, "b_max": 0.5, "clip": True}],
        [RANGE],
        [{"_target_": "ScaleIntensityd"}],
        [{"_target_": "ScaleIntensityd", "minv": -1.0, "maxv": 2.0, "channel_wise": True}],
        [{"_target_": "ScaleIntensityd", "minv": None, "maxv": None, "factor": 0.5}],
        [NORMALIZE],
        [{**NORMALIZE, "nonzero": True}],
        [{**NORMALIZE, "nonzero": True, "channel_wise": True}],
        [{**NORMALIZE, "subtrahend": [80.0, 90.0], "divisor": [30.0, 0.0], "channel_wise": True}],
        [{**NORMALIZE, "subtrahend": 80, "divisor": 30, "nonzero": True}],
        [{**PERCENTILES, "b_min": 0, "b_max": 1, "clip": True}],
        [{**PERCENTILES, "b_min": -1, "b_max": 3, "clip": True, "channel_wise": True, "relative": True}],
        [{**PERCENTILES, "b_min": None, "b_max": None}],
        [{"_target_": "ShiftIntensityd", "offset": -12.5}],
        [{**RANGE, "b_min": 0, "b_max": 1, "clip": True}, {**NORMALIZE, "nonzero": True}],
        [{"_target_": "ScaleIntensityd", "channel_wise": True}, NORMALIZE, {"_target_": "EnsureTyped"}],
    ],
)
def test_intensities_are_those_of_monais_own_transforms(
    tmp_path: Path, transforms: list[dict[str, Any]]
) -> None:
    folder = bundle(tmp_path / "net", *transforms)
    with open_package(folder) as package:
        found = formats.candidate_of(package, Given()).description.input_normalization
    assert found is not None
    ours = prepare_array(IMAGE, found.as_steps)
    theirs = turned(prepared_by_monai(folder, IMAGE)[None])[0]
    np.testing.assert_allclose(ours, theirs.numpy(), atol=2e-5, rtol=1e-5)


def test_a_foreground_that_is_cut_out_is_the_box_of_what_is_measured(tmp_path: Path) -> None:
    crop = {"_target_": "CropForegroundd", "source_key": "image", "allow_smaller": True}
    folder = bundle(tmp_path / "net", crop, {**NORMALIZE, "channel_wise": True})
    with open_package(folder) as package:
        found = formats.candidate_of(package, Given()).description.input_normalization
    assert found is not None
    ours = prepare_array(IMAGE, found.as_steps)[:, 2:, :, :13]
    theirs = turned(prepared_by_monai(folder, IMAGE)[None])[0]
    np.testing.assert_allclose(ours, theirs.numpy(), atol=2e-5, rtol=1e-5)


def test_an_image_of_one_value_is_what_it_is_for_monai(tmp_path: Path) -> None:
    flat = np.full((2, 4, 4, 4), 7, np.float32)
    for number, each in enumerate(({"_target_": "ScaleIntensityd"}, NORMALIZE)):
        folder = bundle(tmp_path / str(number), each)
        with open_package(folder) as package:
            found = formats.candidate_of(package, Given()).description.input_normalization
        assert found is not None
        ours = prepare_array(flat, found.as_steps)
        np.testing.assert_array_equal(ours, turned(prepared_by_monai(folder, flat)[None])[0].numpy())


def predicted_by_monai(folder: Path, image: np.ndarray) -> np.ndarray:
    """Return probabilities ``(classes, z, y, x)`` of one window over all that a bundle prepares."""
    network = made("UNet", {key: each for key, each in TWO.items() if key != "_target_"})
    prepared = prepared_by_monai(folder, image)
    with torch.inference_mode():
        logits = sliding_window_inference(prepared[None], prepared.shape[1:], 1, network)
    assert isinstance(logits, torch.Tensor)
    return logits.softmax(1).numpy()


@pytest.mark.parametrize("core", [None, (8, 8, 8)])
def test_a_prediction_is_that_of_one_window_of_monai(tmp_path: Path, core: tuple[int, ...] | None) -> None:
    folder = bundle(tmp_path / "net", {**RANGE, "b_min": 0, "b_max": 1, "clip": True})
    network = ts.open_network(folder)
    image = Image(IMAGE, "czyx", channels=(0, 1))
    ours = np.asarray(ts.predict(image, network, PredictSettings(device="cpu", core=core)))
    theirs = turned(predicted_by_monai(folder, IMAGE))[0]
    np.testing.assert_allclose(ours, theirs, atol=1e-5)


@pytest.mark.parametrize("axcodes", ["RAS", "LPS", "SPL", "ILA"])
def test_an_orientation_is_that_of_monai_for_an_image_without_one(tmp_path: Path, axcodes: str) -> None:
    pytest.importorskip("nibabel", reason="MONAI turns images to an orientation by nibabel")
    orient = {"_target_": "Orientationd", "axcodes": axcodes, "labels": [["L", "R"], ["P", "A"], ["I", "S"]]}
    folder = bundle(tmp_path / "net", orient, {**RANGE, "b_min": 0, "b_max": 1})
    network = ts.open_network(folder)
    image = Image(IMAGE, "czyx", channels=(0, 1))
    ours = np.asarray(ts.predict(image, network, PredictSettings(device="cpu")))
    theirs = torch.as_tensor(predicted_by_monai(folder, IMAGE))
    rotation = with_place(folder, IMAGE)[1][:3, :3]
    # Back to the right, the front and the top: the axis that runs along each, and whether against it.
    along = [int(row.abs().argmax()) for row in rotation]
    against = [axis + 2 for axis in range(3) if rotation[axis, along[axis]] < 0]
    back = theirs.permute(0, 1, *(axis + 2 for axis in along)).flip(against)
    np.testing.assert_allclose(ours, turned(back)[0].numpy(), atol=1e-5)


def test_a_nifti_file_without_an_orientation_is_read_as_is_assumed(tmp_path: Path) -> None:
    nibabel = pytest.importorskip("nibabel", reason="MONAI reads NIfTI by nibabel")
    volume = IMAGE[0]
    nibabel.save(nibabel.Nifti1Image(volume.T.copy(), np.eye(4)), tmp_path / "a.nii")
    loaded = LoadImage(image_only=True, ensure_channel_first=True)(tmp_path / "a.nii")
    labels = (("L", "R"), ("P", "A"), ("I", "S"))
    same = Orientation("RAS", labels=labels)(loaded)
    np.testing.assert_array_equal(torch.as_tensor(same)[0].numpy(), volume.T)
