"""Opened folders of nnU-Net against nnU-Net itself, where it is installed."""

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch

from .folders import checkpoint, dataset, network, plans, write_folder
from .peers import (
    FINAL,
    agree,
    folder_of,
    image,
    import_theirs,
    label_alike,
    opened,
    ours_prepared,
    planes,
    predictor,
    prepared,
    run,
)

pytestmark = pytest.mark.filterwarnings("ignore")
SPACING = {"3d_fullres": [3.0, 1.0, 0.5], "2d": [9.0, 1.0, 0.5]}


@pytest.fixture(scope="module")
def theirs() -> SimpleNamespace:
    return import_theirs()


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
