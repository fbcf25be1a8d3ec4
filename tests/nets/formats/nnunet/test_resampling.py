"""The way to the spacing of nnU-Net's plans and back against nnU-Net itself, step by step and as a whole."""

from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any, NamedTuple

import numpy as np
import pytest
import torch
from scipy import ndimage

from napari_tileseg._progress import drain
from napari_tileseg.images import Image
from napari_tileseg.nets import Network, open_network
from napari_tileseg.prediction import open_prediction, plan_prediction, predict_to_store
from napari_tileseg.settings import NetworkSettings, PredictSettings
from napari_tileseg.tiling import Box

from .folders import plans
from .peers import folder_of, image, import_theirs, in_float32, predictor, prepared

pytestmark = pytest.mark.filterwarnings("ignore")
FULL = "3d_fullres"
#: Each patch with statistics of its own, as nnU-Net has them.
RESAMPLED = PredictSettings(resample=True, statistics="tile")


@pytest.fixture(scope="module")
def theirs() -> SimpleNamespace:
    return import_theirs()


class Case(NamedTuple):
    """An image of one spacing for a network of another.

    Parameters
    ----------
    configuration : str
        Of the plans.
    wanted : list of float
        Their spacing, of the transposed axes.
    spacing : list of float
        That of the image.
    shape : tuple of int
        Its voxels.
    order : tuple of int
        Of the plans, which transpose.
    core : tuple of int
        Tiles of ours that are nnU-Net's patches.
    """

    configuration: str
    wanted: list[float]
    spacing: list[float]
    shape: tuple[int, ...]
    core: tuple[int, ...]
    order: tuple[int, ...] = (0, 1, 2)


CASES = {
    "isotropic": Case(FULL, [1.0, 1.0, 1.0], [2.0, 0.7, 0.8], (4, 46, 40), (8, 16, 16)),
    "coarse along z": Case(FULL, [3.0, 1.0, 0.5], [4.1, 0.7, 0.8], (6, 46, 20), (8, 16, 16)),
    "coarse before": Case(FULL, [1.0, 1.0, 1.0], [4.0, 1.3, 0.8], (2, 12, 40), (8, 16, 16)),
    "transposed": Case(FULL, [3.0, 1.0, 0.5], [0.7, 0.8, 4.1], (46, 20, 6), (16, 16, 8), (2, 0, 1)),
    "planes": Case("2d", [1.0, 0.5], [9.0, 0.7, 0.8], (3, 46, 20), (16, 16)),
}


def folder_for(case: Case, path: Path, folds: int = 1, scheme: tuple[str, ...] = ()) -> Path:
    said = plans(order=case.order)
    said["configurations"][case.configuration]["spacing"] = case.wanted
    if scheme:
        said["configurations"][case.configuration]["normalization_schemes"] = list(scheme)
    return folder_of(path, said, folds, case.configuration)


def logits_of(folder: Path) -> Network:
    """Open a network without activation and mirrored copies."""
    return open_network(folder, NetworkSettings(mirroring=False, architecture='{"activation": "none"}'))


def as_image(values: Any, case: Case) -> Image:
    size = tuple(case.spacing)
    return Image(values, "czyx", voxel_size=size, translation=(5, 1, 2), units=("micrometer",) * 3)


def smooth(shape: tuple[int, ...]) -> Any:
    """Noise that plateaus of the least and largest value end, where splines overshoot."""
    values = ndimage.gaussian_filter(image(*shape), (0, 0.7, 0.7, 0.7))
    return np.clip(values, 60, 150)


def forward(values: Any, order: tuple[int, ...]) -> Any:
    return np.transpose(values, (0, *(axis + 1 for axis in order)))


def backward(values: Any, order: tuple[int, ...]) -> Any:
    return np.transpose(values, (0, *(order.index(axis) + 1 for axis in range(3))))


@pytest.mark.parametrize("scheme", [(), ("ZScoreNormalization", "RescaleTo01Normalization")])
@pytest.mark.parametrize("name", CASES)
def test_an_image_is_prepared_and_resampled_alike(
    theirs: SimpleNamespace, tmp_path: Path, name: str, scheme: tuple[str, ...]
) -> None:
    case = CASES[name]
    folder = folder_for(case, tmp_path, scheme=scheme)
    values = smooth(case.shape)
    their = backward(prepared(theirs, predictor(theirs, folder), values, case.spacing), case.order)
    plan = drain(plan_prediction(as_image(values, case), logits_of(folder), RESAMPLED))
    assert plan.tiles.image.shape == their.shape[1:] != case.shape
    our = plan.prepared.read(Box.of_shape(plan.tiles.image.shape))
    np.testing.assert_allclose(our, their, atol=2e-6 * np.abs(their).max())


@pytest.mark.parametrize("name", CASES)
def test_logits_come_back_alike(theirs: SimpleNamespace, tmp_path: Path, name: str) -> None:
    case = CASES[name]
    folder = folder_for(case, tmp_path)
    predicting = predictor(theirs, folder)
    configuration = predicting.configuration_manager
    shown, network = as_image(smooth(case.shape), case), logits_of(folder)
    list(predict_to_store(shown, network, RESAMPLED, tmp_path / "out.ome.zarr"))
    store = open_prediction(tmp_path / "out.ome.zarr")
    spacing = [case.spacing[axis] for axis in case.order]
    wanted = configuration.spacing
    their = configuration.resampling_fn_probabilities(
        forward(np.asarray(store.view()), case.order),
        [case.shape[axis] for axis in case.order],
        wanted if len(wanted) == 3 else [spacing[0], *wanted],
        spacing,
    )
    our = store.onto(shown)
    assert our.shape == case.shape
    found = our.read(Box.of_shape(case.shape))
    np.testing.assert_allclose(found, backward(their, case.order), atol=2e-6 * np.abs(their).max())


@pytest.mark.parametrize("activation", ["softmax", "sigmoid"])
def test_probabilities_come_back_as_those_of_interpolated_logits(tmp_path: Path, activation: str) -> None:
    case = CASES["coarse along z"]
    folder = folder_for(case, tmp_path / "net")
    shown = as_image(smooth(case.shape), case)
    plain = logits_of(folder)
    settings = NetworkSettings(mirroring=False, architecture=f'{{"activation": "{activation}"}}')
    found = []
    for number, network in enumerate((plain, open_network(folder, settings))):
        path = tmp_path / f"{number}.ome.zarr"
        list(predict_to_store(shown, network, RESAMPLED, path))
        found.append(open_prediction(path).onto(shown).read(Box.of_shape(case.shape)))
    logits = torch.from_numpy(found[0])
    expected = logits.softmax(0) if activation == "softmax" else logits.sigmoid()
    np.testing.assert_allclose(found[1], expected.numpy(), atol=1e-5)


#: Largest difference of logits that is allowed, where the largest logit is 4.5.
BOUND = 2e-3


@pytest.mark.parametrize("name", CASES)
def test_two_folds_give_the_same_logits_and_labels_on_the_image(
    theirs: SimpleNamespace, tmp_path: Path, name: str, record_property: Any
) -> None:
    """Their patches are added up in float32; how far float16 is from that is recorded apart."""
    case = CASES[name]
    folder = folder_for(case, tmp_path, folds=2)
    values = smooth(case.shape)
    shown = as_image(values, case)
    settings = replace(RESAMPLED, core=case.core, halo=((0, 0),) * len(case.core))
    list(predict_to_store(shown, logits_of(folder), settings, tmp_path / "out.ome.zarr"))
    our = open_prediction(tmp_path / "out.ome.zarr").onto(shown).read(Box.of_shape(case.shape))

    exact, usual = (their_logits(make(theirs, folder), values, case) for make in (in_float32, predictor))
    bound = BOUND * max(1, np.abs(exact).max() / 4.5)
    difference, by_half = np.abs(our - exact).max(), np.abs(usual - exact).max()
    label = in_float32(theirs, folder).predict_single_npy_array(values, {"spacing": list(case.spacing)})
    differing = int((our.argmax(0) != label).sum())
    for key, value in (
        ("largest logit", np.abs(exact).max()),
        ("bound", bound),
        ("difference", difference),
        ("float16", by_half),
        ("labels", differing),
    ):
        record_property(key, float(value))
    assert difference <= bound
    # Where two logits are closer than they are computed, either label is right.
    first, second = np.sort(exact, axis=0)[-2:]
    unsure = second - first <= 2 * bound
    assert not ((our.argmax(0) != label) & ~unsure).any()
    assert unsure.mean() < 0.02


def their_logits(predicting: Any, values: Any, case: Case) -> Any:
    """Return logits on the voxels of the image, as nnU-Net has them before they become labels."""
    about: dict[str, Any] = {"spacing": list(case.spacing)}
    manager, configuration = predicting.plans_manager, predicting.configuration_manager
    work = configuration.preprocessor_class(verbose=False)
    data = work.run_case_npy(values, None, about, manager, configuration, predicting.dataset_json)[0]
    logits = predicting.predict_logits_from_preprocessed_data(torch.from_numpy(data))
    spacing = [case.spacing[axis] for axis in case.order]
    wanted = configuration.spacing
    back = configuration.resampling_fn_probabilities(
        logits,
        about["shape_after_cropping_and_before_resampling"],
        wanted if len(wanted) == 3 else [spacing[0], *wanted],
        spacing,
    )
    return backward(np.asarray(back, np.float32), case.order)


def test_what_the_store_says_of_it(tmp_path: Path) -> None:
    case = CASES["isotropic"]
    network = logits_of(folder_for(case, tmp_path / "net"))
    shown = as_image(smooth(case.shape), case)
    list(predict_to_store(shown, network, RESAMPLED, tmp_path / "out.ome.zarr"))
    about = open_prediction(tmp_path / "out.ome.zarr").provenance
    said = {"order": 3, "coarse_order": 0, "coarse_apart": None, "voxel_size": [1.0, 1.0, 1.0]}
    assert about["resampling"] == about["identity"]["resampling"] == said
