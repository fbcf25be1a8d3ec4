"""Statistics of a sample: drawn once for all tiles, said how sure, and the same for whoever asks again."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import zarr

from napari_tileseg._progress import drain
from napari_tileseg.errors import StoreError
from napari_tileseg.images.image import Image
from napari_tileseg.nets import Network
from napari_tileseg.prediction import plan_prediction, predict, predict_to_store
from napari_tileseg.prediction.events import Noted, TileDone
from napari_tileseg.settings import PredictSettings

SIDE = 1024
RANDOM = np.random.default_rng(0)
#: Even enough for a sample, and brighter below.
IMAGE = Image((RANDOM.random((SIDE, SIDE)) * np.linspace(1, 2, SIDE)[:, None]).astype(np.float32), "yx")
#: One tile of it.
HOW: dict[str, Any] = {
    "core": (64, 128),
    "box": ((512, 640), (256, 384)),
    "normalize": "none",
    "statistics": "sample",
    "sample_error": 0.2,
}


@pytest.fixture
def network(make_network: Callable[..., Network]) -> Network:
    return make_network(ndim=2, norm="instance")


def run(network: Network, path: Path, image: Image = IMAGE, **how: Any) -> tuple[np.ndarray, list[str]]:
    events = list(predict_to_store(image, network, PredictSettings(**{**HOW, **how}), path))
    notes = [event.message for event in events if isinstance(event, Noted)]
    return np.asarray(zarr.open_group(path, mode="r")["0"][...]), notes


def said(path: Path) -> dict[str, Any]:
    return dict(zarr.open_group(path, mode="r").attrs)["tileseg"]["statistics"]


def test_a_sample_is_near_the_whole_image_and_says_how_near(network: Network, tmp_path: Path) -> None:
    whole, _ = run(network, tmp_path / "a.ome.zarr", statistics="whole", sample_error=0.02)
    result, notes = run(network, tmp_path / "b.ome.zarr")
    about = said(tmp_path / "b.ome.zarr")["sample"]
    assert about["of"] == 64
    assert 24 <= about["parts"] <= 32
    assert 0 < max(about["errors"].values()) <= 0.2
    assert f"Statistics are those of {about['parts']} of 64 parts" in notes[-1]
    furthest = np.percentile(np.abs(result - whole), 99.9)
    assert 0 < furthest < 3 * about["difference"] < 0.1


def test_a_run_that_was_stopped_goes_on_with_its_sample(network: Network, tmp_path: Path) -> None:
    whole, notes = run(network, tmp_path / "a.ome.zarr")
    work = predict_to_store(IMAGE, network, PredictSettings(**HOW), tmp_path / "b.ome.zarr")
    next(event for event in work if isinstance(event, TileDone))
    work.close()
    before = said(tmp_path / "b.ome.zarr")
    result, again = run(network, tmp_path / "b.ome.zarr")
    np.testing.assert_array_equal(result, whole)
    assert said(tmp_path / "b.ome.zarr") == before == said(tmp_path / "a.ome.zarr")
    assert again[-1] == notes[-1]
    with pytest.raises(StoreError, match="sample_seed was 0 and now is 1"):
        run(network, tmp_path / "b.ome.zarr", sample_seed=1)


def test_another_seed_draws_other_parts(network: Network) -> None:
    plans = [drain(plan_prediction(IMAGE, network, PredictSettings(**HOW, sample_seed=n))) for n in (0, 1)]
    first, second = (plan.statistics.gathered.values for plan in plans)
    assert first.keys() == second.keys()
    assert first != second


def test_a_lazy_array_has_the_same_sample(network: Network, tmp_path: Path) -> None:
    result, _ = run(network, tmp_path / "a.ome.zarr")
    lazy = predict(IMAGE, network, PredictSettings(**HOW))
    np.testing.assert_allclose(lazy.blocks[0, 1, 0].compute(), result[:, 64:128], rtol=0, atol=1e-6)


def test_a_small_image_is_taken_as_a_whole(network: Network, tmp_path: Path) -> None:
    image = Image(IMAGE.data[:200, :200], "yx")
    how = {"box": None, "core": (64, 64)}
    whole, _ = run(network, tmp_path / "a.ome.zarr", image, **how, statistics="whole", sample_error=0.02)
    result, notes = run(network, tmp_path / "b.ome.zarr", image, **how)
    np.testing.assert_array_equal(result, whole)
    assert "those of the whole image: parts of it would have been too many" in notes[-1]
    about = said(tmp_path / "b.ome.zarr")["sample"]
    assert about["parts"] == about["of"]
    again, _ = run(network, tmp_path / "b.ome.zarr", image, **how)
    np.testing.assert_array_equal(again, whole)


def test_a_sample_is_of_the_image_and_not_of_a_region(network: Network) -> None:
    without, within = (
        drain(plan_prediction(IMAGE, network, PredictSettings(**HOW, region=region)))
        for region in (None, ((0, 64), (0, 64)))
    )
    assert without.statistics.gathered.values == within.statistics.gathered.values
