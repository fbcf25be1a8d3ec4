"""Opened folders of nnU-Net against nnU-Net itself, where it is installed."""

import warnings
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

from napari_tileseg.images import Image
from napari_tileseg.nets import formats
from napari_tileseg.nets.formats.candidate import Candidate, Given
from napari_tileseg.nets.formats.packages.package import open_package
from napari_tileseg.prediction.input.normalization import resolve_normalization
from napari_tileseg.settings import PredictSettings

from .nnunet_folders import checkpoint, dataset, network, plans, write_folder

pytestmark = pytest.mark.filterwarnings("ignore")
FINAL = "checkpoint_final.pth"
SPACING = {"3d_fullres": [3.0, 1.0, 0.5], "2d": [9.0, 1.0, 0.5]}


@pytest.fixture(scope="module")
def theirs() -> SimpleNamespace:
    """What is asked of nnU-Net."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        predicting = pytest.importorskip("nnunetv2.inference.predict_from_raw_data")
        from nnunetv2.preprocessing.preprocessors.default_preprocessor import DefaultPreprocessor
    return SimpleNamespace(Predictor=predicting.nnUNetPredictor, Preprocessor=DefaultPreprocessor)


def predictor(theirs: SimpleNamespace, folder: Path, *, mirroring: bool = False) -> Any:
    found = theirs.Predictor(
        tile_step_size=1.0,
        use_gaussian=False,
        use_mirroring=mirroring,
        device=torch.device("cpu"),
        allow_tqdm=False,
    )
    found.initialize_from_trained_model_folder(str(folder), None, FINAL)
    return found


def prepared(theirs: SimpleNamespace, predicting: Any, values: Any, spacing: list[float]) -> Any:
    work = theirs.Preprocessor(verbose=False)
    manager, configuration = predicting.plans_manager, predicting.configuration_manager
    about = {"spacing": list(spacing)}
    return work.run_case_npy(values, None, about, manager, configuration, predicting.dataset_json)[0]


def opened(folder: Path, *, mirroring: bool = False) -> tuple[Candidate, nn.Module]:
    with open_package(folder) as package:
        candidate = formats.candidate_of(package, Given(mirroring=mirroring))
        return candidate, candidate.build().eval()


def ours_prepared(candidate: Candidate, values: Any) -> Any:
    spec = SimpleNamespace(input_normalization=candidate.description.input_normalization, in_channels=2)
    return resolve_normalization(Image(values, "czyx"), spec, PredictSettings()).apply(values)


def run(module: nn.Module, values: Any) -> Any:
    with torch.inference_mode():
        return module(torch.from_numpy(np.ascontiguousarray(values)[None]))[0].numpy()


def planes(module: nn.Module, values: Any) -> Any:
    return np.stack([run(module, values[:, z]) for z in range(values.shape[1])], axis=1)


def image(*shape: int) -> Any:
    random = np.random.default_rng(1)
    return random.normal(100, 60, (2, *shape)).astype(np.float32)


def folder_of(path: Path, said: Any, folds: int = 1, configuration: str = "3d_fullres") -> Path:
    ndim = 2 if configuration == "2d" else 3
    content = {
        f"fold_{fold}/{FINAL}": checkpoint(network(fold, ndim), configuration, fold) for fold in range(folds)
    }
    return write_folder(path, content, said)


def agree(their: Any, our: Any, runs: int = 1) -> None:
    """Compare logits, which nnU-Net rounds to float16 as often as it adds to them."""
    np.testing.assert_allclose(np.asarray(their, np.float32), our, atol=quantum(our, runs))
    label_alike(np.asarray(their).argmax(0), our, runs)


def quantum(our: Any, runs: int) -> float:
    """Return the distance of two numbers of float16 as large as what nnU-Net adds up."""
    return float(np.spacing(np.float16(np.abs(our).max() * runs)))


def label_alike(their: Any, our: Any, runs: int = 1) -> None:
    """Compare labels, but for voxels where that rounding decides between two of them."""
    first, second = np.sort(our, axis=0)[-2:]
    sure = second - first > 2 * quantum(our, runs)
    np.testing.assert_array_equal(their[sure], our.argmax(0)[sure])
    assert sure.mean() > 0.9


@pytest.mark.parametrize(
    ("scheme", "masked"),
    [
        (("CTNormalization", "ZScoreNormalization"), False),
        (("ZScoreNormalization", "RescaleTo01Normalization"), True),
        (("NoNormalization", "RescaleTo01Normalization"), False),
    ],
)
def test_intensities_are_prepared_alike(
    theirs: SimpleNamespace, tmp_path: Path, scheme: tuple[str, str], masked: bool
) -> None:
    said = plans()
    said["configurations"]["3d_fullres"] |= {
        "normalization_schemes": list(scheme),
        "use_mask_for_norm": [masked] * 2,
    }
    folder = folder_of(tmp_path, said)
    values = np.zeros((2, 12, 22, 20), np.float32)
    values[:, 2:10, 3:19, 1:17] = image(8, 16, 16)
    # A corner of the box is outside of what is not zero.
    values[:, 2:6, 3:10, 1:9] = 0
    predicting = predictor(theirs, folder)
    their = prepared(theirs, predicting, values, SPACING["3d_fullres"])
    our = ours_prepared(opened(folder)[0], values)[:, 2:10, 3:19, 1:17]
    np.testing.assert_allclose(our, their, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("mirroring", [False, True])
@pytest.mark.parametrize("folds", [1, 2])
def test_a_patch_has_the_same_logits(
    theirs: SimpleNamespace, tmp_path: Path, folds: int, mirroring: bool
) -> None:
    folder = folder_of(tmp_path, plans(), folds)
    predicting = predictor(theirs, folder, mirroring=mirroring)
    values = prepared(theirs, predicting, image(8, 16, 16), SPACING["3d_fullres"])
    their = predicting.predict_logits_from_preprocessed_data(torch.from_numpy(values))
    agree(their, run(opened(folder, mirroring=mirroring)[1], values), folds)


def test_a_residual_encoder_has_the_same_logits(theirs: SimpleNamespace, tmp_path: Path) -> None:
    content = {f"fold_0/{FINAL}": checkpoint(network(0, 3, residual=True), "3d_fullres", 0)}
    folder = write_folder(tmp_path, content, plans(residual=True))
    predicting = predictor(theirs, folder)
    values = prepared(theirs, predicting, image(8, 16, 16), SPACING["3d_fullres"])
    their = predicting.predict_logits_from_preprocessed_data(torch.from_numpy(values))
    agree(their, run(opened(folder)[1], values))


def test_planes_have_the_same_logits(theirs: SimpleNamespace, tmp_path: Path) -> None:
    folder = folder_of(tmp_path, plans(), 1, "2d")
    predicting = predictor(theirs, folder, mirroring=True)
    values = prepared(theirs, predicting, image(3, 16, 16), SPACING["2d"])
    their = predicting.predict_logits_from_preprocessed_data(torch.from_numpy(values))
    agree(their, planes(opened(folder, mirroring=True)[1], values))


@pytest.mark.parametrize("configuration", ["3d_fullres", "2d"])
def test_an_image_is_labelled_alike_whatever_its_axes(
    theirs: SimpleNamespace, tmp_path: Path, configuration: str
) -> None:
    folder = folder_of(tmp_path, plans(order=(2, 0, 1)), 1, configuration)
    candidate, module = opened(folder)
    values = image(16, 16, 8)
    spacing = [SPACING[configuration][1], SPACING[configuration][2], SPACING[configuration][0]]
    their = predictor(theirs, folder).predict_single_npy_array(values, {"spacing": spacing})
    label_alike(their, run(module, ours_prepared(candidate, values)))


@pytest.mark.parametrize(
    ("labels", "order"),
    [
        ({"background": 0, "a": 1, "b": 2}, None),
        ({"background": 0, "a": 1, "ignore": 2}, None),
        ({"background": 0, "whole": [1, 2], "core": [2]}, [1, 2]),
    ],
)
def test_outputs_are_counted_alike(
    theirs: SimpleNamespace, labels: dict[str, Any], order: list[int] | None
) -> None:
    del theirs
    from nnunetv2.utilities.label_handling.label_handling import LabelManager

    from napari_tileseg.nets.formats.nnunet.dataset import read_dataset

    manager = LabelManager(labels, order)
    found = read_dataset(dataset(**labels))
    assert len(found.classes) == manager.num_segmentation_heads
    assert found.activation == ("sigmoid" if manager.has_regions else "softmax")
