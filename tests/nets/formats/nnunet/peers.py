"""nnU-Net itself, for tests to compare with where it is installed, and what they run of it and of ours."""

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

from .folders import checkpoint, network, write_folder

FINAL = "checkpoint_final.pth"


def import_theirs() -> SimpleNamespace:
    """Return what is asked of nnU-Net; skip the test where it is not installed."""
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


def in_float32(theirs: SimpleNamespace, folder: Path, **how: Any) -> Any:
    """Return their predictor with patches added up in float32: rounding to float16 is what differs most."""

    class InFloat32(theirs.Predictor):  # type: ignore[misc, name-defined]
        def _internal_predict_sliding_window_return_logits(
            self, data: torch.Tensor, slicers: Any, do_on_device: bool = True
        ) -> torch.Tensor:
            del do_on_device
            total = torch.zeros((self.label_manager.num_segmentation_heads, *data.shape[1:]))
            count = torch.zeros(data.shape[1:])
            for place in slicers:
                total[place] += self._internal_maybe_mirror_and_predict(data[place][None])[0]
                count[place[1:]] += 1
            return total / count

    return predictor(SimpleNamespace(Predictor=InFloat32), folder, **how)
