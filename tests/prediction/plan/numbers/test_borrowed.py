"""Numbers of one image for another: those of a prediction with the same network."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import zarr

from napari_tileseg.engine.passes.gathering import Passes
from napari_tileseg.errors import SettingsError, StoreError, TilesegError
from napari_tileseg.images.image import Image
from napari_tileseg.nets import Network
from napari_tileseg.prediction import predict, predict_to_store
from napari_tileseg.prediction.events import Noted, TileDone
from napari_tileseg.settings import PredictSettings

SHAPE = (48, 64)
RANDOM = np.random.default_rng(0)
CONTROL = Image((RANDOM.random(SHAPE) + np.linspace(0, 3, SHAPE[0])[:, None]).astype(np.float32), "yx")
TREATED = Image((CONTROL.data * 2 + 1).astype(np.float32), "yx")
HOW: dict[str, Any] = {"core": (16, 32), "dtype": "float64", "normalize": "zero_mean"}


@pytest.fixture
def network(make_network: Callable[..., Network]) -> Network:
    return make_network(ndim=2, norm="instance")


@pytest.fixture
def control(network: Network, tmp_path: Path) -> Path:
    path = tmp_path / "control.ome.zarr"
    run(network, path, CONTROL, statistics="whole")
    return path


def events(network: Network, path: Path, image: Image, **how: Any) -> Any:
    return predict_to_store(image, network, PredictSettings(**{**HOW, **how}), path)


def run(network: Network, path: Path, image: Image = TREATED, **how: Any) -> np.ndarray:
    list(events(network, path, image, **how))
    return np.asarray(zarr.open_group(path, mode="r")["0"][...])


def about(path: Path) -> dict[str, Any]:
    return dict(zarr.open_group(path, mode="r").attrs)["tileseg"]


def change(path: Path, alter: Callable[[dict[str, Any]], None]) -> None:
    text = json.loads((path / "zarr.json").read_text())
    alter(text["attributes"]["tileseg"])
    (path / "zarr.json").write_text(json.dumps(text))


def no_sweep(*_: Any) -> Any:
    raise AssertionError("nothing is to be gathered")


def test_another_image_takes_statistics_and_intensities_and_gathers_nothing(
    network: Network, control: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Passes, "sweep", no_sweep)
    how = {"statistics": "result", "result": str(control)}
    told = list(events(network, tmp_path / "a.ome.zarr", TREATED, **how))
    assert any(
        isinstance(each, Noted) and each.message == "Statistics are those of control.ome.zarr."
        for each in told
    )
    ours, theirs = about(tmp_path / "a.ome.zarr"), about(control)
    assert ours["statistics"]["numbers"] == theirs["statistics"]["numbers"]
    assert ours["normalization"]["offset"] == theirs["normalization"]["offset"]
    assert ours["normalization"]["origin"] == "control.ome.zarr"
    result = np.asarray(zarr.open_group(tmp_path / "a.ome.zarr", mode="r")["0"][...])
    lazy = predict(TREATED, network, PredictSettings(**HOW, **how)).compute(scheduler="synchronous")
    np.testing.assert_allclose(lazy, result, rtol=0, atol=1e-12)
    # On the control itself they change nothing.
    again = run(network, tmp_path / "b.ome.zarr", CONTROL, **how)
    former = np.asarray(zarr.open_group(control, mode="r")["0"][...])
    np.testing.assert_allclose(again, former, rtol=0, atol=1e-12)


def test_intensities_can_stay_those_of_the_image(network: Network, control: Path, tmp_path: Path) -> None:
    run(network, tmp_path / "a.ome.zarr", statistics="result", result=str(control), intensities="image")
    found = about(tmp_path / "a.ome.zarr")
    np.testing.assert_allclose(found["normalization"]["offset"], TREATED.data.mean(), rtol=1e-6)
    assert found["statistics"]["of"] == "control.ome.zarr"


def test_a_result_that_was_begun_goes_on_with_its_own_numbers(
    network: Network, control: Path, tmp_path: Path
) -> None:
    how = {"statistics": "result", "result": str(control)}
    expected = run(network, tmp_path / "a.ome.zarr", **how)
    work = events(network, tmp_path / "b.ome.zarr", TREATED, **how)
    next(each for each in work if isinstance(each, TileDone))
    work.close()

    def other(attributes: dict[str, Any]) -> None:
        for numbers in attributes["statistics"]["numbers"].values():
            numbers[0] = [value + 1 for value in numbers[0]]

    change(control, other)
    np.testing.assert_array_equal(run(network, tmp_path / "b.ome.zarr", **how), expected)


def nan(attributes: dict[str, Any]) -> None:
    attributes["statistics"]["numbers"]["99"] = [[float("nan")]]


def negative(attributes: dict[str, Any]) -> None:
    next(iter(attributes["statistics"]["numbers"].values()))[1][0] = -1.0


def too_many(attributes: dict[str, Any]) -> None:
    next(iter(attributes["statistics"]["numbers"].values()))[0].append(0.0)


def none_at_all(attributes: dict[str, Any]) -> None:
    del attributes["statistics"]


def words(attributes: dict[str, Any]) -> None:
    attributes["network"] = "instance"


def of_another_network(attributes: dict[str, Any]) -> None:
    attributes["network"]["sha256"] = "0" * 64


def resampled(attributes: dict[str, Any]) -> None:
    attributes["settings"]["resample"] = True


@pytest.mark.parametrize(
    ("alter", "kind", "message"),
    [
        (nan, StoreError, "control.ome.zarr should be a prediction that is whole"),
        (negative, StoreError, "its statistics are not those of its network"),
        (too_many, StoreError, "its statistics are not those of its network"),
        (none_at_all, SettingsError, "was predicted with statistics of each tile"),
        (words, StoreError, "control.ome.zarr should be a prediction that is whole"),
        (of_another_network, SettingsError, "is of another network than"),
        (resampled, SettingsError, "was predicted at the network's voxel size"),
    ],
)
def test_what_does_not_fit_is_refused_with_the_reason(
    network: Network,
    control: Path,
    tmp_path: Path,
    alter: Callable[[dict[str, Any]], None],
    kind: type[TilesegError],
    message: str,
) -> None:
    change(control, alter)
    with pytest.raises(kind, match=message):
        run(network, tmp_path / "a.ome.zarr", statistics="result", result=str(control))


@pytest.mark.parametrize(
    ("how", "message"),
    [
        ({"result": None}, "name it in result"),
        ({"result": "nowhere.ome.zarr"}, "there is none at nowhere.ome.zarr"),
        ({"normalize": "quantiles"}, "were prepared in another way"),
    ],
)
def test_settings_that_ask_for_what_is_not_there_are_refused(
    network: Network, control: Path, tmp_path: Path, how: dict[str, Any], message: str
) -> None:
    with pytest.raises(TilesegError, match=message):
        run(network, tmp_path / "a.ome.zarr", **{"statistics": "result", "result": str(control), **how})
