"""Statistics are gathered once of an image in a file: again, of a box, lazily, and after a kill."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import zarr

from napari_tileseg._app_dirs import cache_folder
from napari_tileseg._progress import drain
from napari_tileseg.engine.passes.gathering import Passes
from napari_tileseg.errors import DeviceError
from napari_tileseg.images import open_image
from napari_tileseg.images.image import Image
from napari_tileseg.nets import Network
from napari_tileseg.prediction import plan_prediction, predict, predict_to_store
from napari_tileseg.settings import PredictSettings

SHAPE = (70, 86)
RANDOM = np.random.default_rng(0)
VOXELS = (RANDOM.random(SHAPE) + np.linspace(0, 3, SHAPE[0])[:, None]).astype(np.float32)
HOW: dict[str, Any] = {"core": (16, 32), "dtype": "float64", "normalize": "none", "statistics": "whole"}


class Killed(BaseException):
    """Stands for the end of the process."""


@pytest.fixture(autouse=True)
def home(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    monkeypatch.setenv("TILESEG_HOME", str(tmp_path / "home"))
    return cache_folder() / "statistics"


@pytest.fixture
def network(make_network: Callable[..., Network]) -> Network:
    return make_network(ndim=2, norm="instance")


@pytest.fixture
def image(tmp_path: Path) -> Image:
    return saved(tmp_path / "image.npy", VOXELS)


@pytest.fixture
def levels(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """The levels that are swept."""
    swept: list[int] = []
    sweep = Passes.sweep

    def told(self: Passes, level: int, *args: Any) -> Any:
        swept.append(level)
        return sweep(self, level, *args)

    monkeypatch.setattr(Passes, "sweep", told)
    return swept


def saved(path: Path, voxels: np.ndarray) -> Image:
    np.save(path, voxels)
    return open_image(path)


def run(network: Network, path: Path, image: Image, **how: Any) -> np.ndarray:
    for _ in predict_to_store(image, network, PredictSettings(**{**HOW, **how}), path):
        pass
    return np.asarray(zarr.open_group(path, mode="r")["0"][...])


def test_an_image_is_gathered_of_once(
    network: Network, image: Image, levels: list[int], tmp_path: Path
) -> None:
    whole = run(network, tmp_path / "a.ome.zarr", image)
    assert levels
    levels.clear()
    again = run(network, tmp_path / "b.ome.zarr", image)
    box = run(network, tmp_path / "c.ome.zarr", image, box=((16, 48), (32, 64)))
    lazy = predict(image, network, PredictSettings(**HOW)).compute(scheduler="synchronous")
    assert levels == []
    np.testing.assert_allclose(again, whole, rtol=0, atol=1e-12)
    np.testing.assert_allclose(box, whole[:, 16:48, 32:64], rtol=0, atol=1e-12)
    np.testing.assert_allclose(lazy, whole, rtol=0, atol=1e-12)


@pytest.mark.parametrize("change", ["image", "network", "setting", "memory", "damage"])
def test_of_anything_else_is_gathered_anew(
    network: Network,
    make_network: Callable[..., Network],
    image: Image,
    levels: list[int],
    tmp_path: Path,
    home: Path,
    change: str,
) -> None:
    drain(plan_prediction(image, network, PredictSettings(**HOW)))
    (entry,) = home.iterdir()
    levels.clear()
    how = dict(HOW)
    if change == "image":
        voxels = VOXELS.copy()
        voxels[33, 40] += 5
        image = saved(tmp_path / "image.npy", voxels)
    elif change == "network":
        network = make_network(ndim=2, norm="group")
    elif change == "setting":
        how["padding"] = "zero"
    elif change == "memory":
        image = Image(VOXELS, "yx")
    else:
        entry.write_text(entry.read_text().replace('"numbers": {', '"numbers": {"99": [[1.0]], ', 1))
    drain(plan_prediction(image, network, PredictSettings(**how)))
    assert levels


@pytest.mark.parametrize("memory", [1e-6, 1.0], ids=["nothing kept", "maps kept"])
def test_a_run_that_was_killed_goes_on_with_the_layer_it_was_at(
    network: Network,
    image: Image,
    levels: list[int],
    tmp_path: Path,
    home: Path,
    monkeypatch: pytest.MonkeyPatch,
    memory: float,
) -> None:
    expected = run(network, tmp_path / "a.ome.zarr", image, memory=memory)
    numbers = dict(zarr.open_group(tmp_path / "a.ome.zarr", mode="r").attrs)["tileseg"]["statistics"]
    (entry,) = home.iterdir()
    entry.unlink()
    told = Passes.sweep

    def killed(self: Passes, level: int, *args: Any) -> Any:
        if level == 2:
            # Where it is asked for the first slab of that pass.
            yield 0.0
            raise Killed
        return (yield from told(self, level, *args))

    monkeypatch.setattr(Passes, "sweep", killed)
    with pytest.raises(Killed):
        run(network, tmp_path / "b.ome.zarr", image, memory=memory)
    monkeypatch.setattr(Passes, "sweep", told)
    levels.clear()
    result = run(network, tmp_path / "b.ome.zarr", image, memory=memory)
    np.testing.assert_array_equal(result, expected)
    after = dict(zarr.open_group(tmp_path / "b.ome.zarr", mode="r").attrs)["tileseg"]["statistics"]
    assert after == numbers
    # Where maps were kept, those that have to be there again are swept again.
    assert memory == 1.0 or min(levels) == 2


def test_entries_are_bounded_in_number(
    network: Network, tmp_path: Path, home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("napari_tileseg.prediction.plan.numbers.kept_numbers.MOST_ENTRIES", 2)
    for number in range(4):
        one = saved(tmp_path / f"{number}.npy", VOXELS + number)
        drain(plan_prediction(one, network, PredictSettings(**HOW)))
    assert len(list(home.iterdir())) == 2


def test_too_little_scratch_says_what_it_takes_without(
    network: Network, image: Image, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    how = PredictSettings(**HOW, memory=1e-6, scratch=1.0, scratch_folder=str(tmp_path / "none"))
    with pytest.raises(DeviceError, match=r"there is none at .*none\. Make it"):
        drain(plan_prediction(image, network, how))
    usage = type("Usage", (), {"free": 1000})
    monkeypatch.setattr(
        "napari_tileseg.prediction.plan.numbers.gather_statistics.disk_usage", lambda _: usage
    )
    how = PredictSettings(**HOW, memory=1e-6, scratch=1.0, scratch_folder=str(tmp_path))
    with pytest.raises(DeviceError, match=r"1 KB are free.* leave scratch out: then it takes \d\.\d passes"):
        drain(plan_prediction(image, network, how))
