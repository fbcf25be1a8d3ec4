"""A region gives intensities and statistics their numbers: as it is named, or where there is content."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import zarr

from napari_tileseg._progress import drain
from napari_tileseg.errors import ImageError, SettingsError
from napari_tileseg.images.image import Image
from napari_tileseg.nets import Network
from napari_tileseg.prediction import lay_plan, measure_plan, predict, predict_to_store
from napari_tileseg.prediction.events import Noted, TileDone
from napari_tileseg.settings import PredictSettings
from napari_tileseg.tiling import Box

from .small_content import CONTENT, SHAPE, picture

HOW: dict[str, Any] = {"core": (32, 64), "dtype": "float64"}


VOXELS = picture()
IMAGE = Image(VOXELS, "yx", name="cells")


@pytest.fixture
def network(make_network: Callable[..., Network]) -> Network:
    return make_network(ndim=2, norm="instance")


def settings(**how: Any) -> PredictSettings:
    return PredictSettings(**{**HOW, **how})


def measured(network: Network, image: Image = IMAGE, **how: Any) -> Any:
    return drain(measure_plan(laid(network, image, **how)))


def laid(network: Network, image: Image = IMAGE, **how: Any) -> Any:
    from napari_tileseg.engine.choice import route_of

    return lay_plan(image, network, settings(**how), route_of(network, "auto"))


def test_content_is_suggested_and_found_when_the_plan_is_measured(network: Network) -> None:
    plan = laid(network, statistics="region")
    assert plan.region.box is None
    assert "found before anything is computed" in plan.region.sentence
    plan = drain(measure_plan(plan))
    inside = Box(*zip(*CONTENT, strict=True))
    assert plan.region.box.contains(inside)
    assert plan.region.box.size < Box.of_shape(SHAPE).size / 2
    assert plan.statistics.box == plan.region.box == plan.normalization.region
    assert f"Region: {plan.region.box}, where there is content" in plan.region.sentence
    values = VOXELS[plan.region.box.slices]
    np.testing.assert_allclose(plan.normalization.offset, np.percentile(values, 1), rtol=1e-5)
    assert f"of the region {plan.region.box}" in plan.normalization.sentence


def test_numbers_are_those_of_the_same_region_named(network: Network) -> None:
    suggested = measured(network, statistics="region")
    box = suggested.region.box
    ends = tuple(zip(box.start, box.stop, strict=True))
    named = measured(network, statistics="region", region=ends)
    assert named.statistics.gathered == suggested.statistics.gathered
    assert named.normalization == suggested.normalization
    assert named.region.sentence == f"Region: {box}, as you set it."


def test_intensities_of_the_whole_image_can_be_had_with_statistics_of_a_region(network: Network) -> None:
    plan = measured(network, statistics="region", intensities="image")
    assert plan.normalization.region is None
    np.testing.assert_allclose(plan.normalization.offset, np.percentile(VOXELS, 1), rtol=1e-5)
    assert plan.statistics.box == plan.region.box != Box.of_shape(SHAPE)


def test_any_network_can_have_intensities_of_a_region(make_network: Callable[..., Network]) -> None:
    batch = make_network(ndim=2)
    plan = measured(batch, intensities="region", normalize="zero_mean")
    values = VOXELS[plan.region.box.slices].astype(np.float64)
    np.testing.assert_allclose(plan.normalization.offset, values.mean(), rtol=1e-6)
    np.testing.assert_allclose(plan.normalization.scale, values.std(), rtol=1e-6)
    assert measured(batch, intensities="region", normalize="range", range=(0, 1)).region is None


def test_content_that_fills_the_image_is_said(network: Network) -> None:
    full = Image(VOXELS[tuple(slice(a - 4, b + 4) for a, b in CONTENT)], "yx", name="full")
    plan = measured(network, full, statistics="region")
    assert plan.region.box == plan.region.within
    assert "all that was searched, as content fills most of it" in plan.region.sentence


def test_a_region_without_content_is_refused_and_the_suggested_one_named(network: Network) -> None:
    box = measured(network, statistics="region").region.box
    with pytest.raises(ImageError, match=rf"0:24,0:40 of cells is noise. There is content in {box}"):
        measured(network, statistics="region", region=((0, 24), (0, 40)))
    values = VOXELS.copy()
    values[50:60, 90:100] = 180
    with pytest.raises(ImageError, match=rf"50:60,90:100 of cells is one value. There is content in {box}"):
        measured(
            network, Image(values, "yx", name="cells"), statistics="region", region=((50, 60), (90, 100))
        )
    empty = Image(np.random.default_rng(0).normal(100, 3, SHAPE), "yx", name="empty")
    for how in ({}, {"region": ((0, 24), (0, 40))}):
        with pytest.raises(ImageError, match=r"none was found in .* of empty.* of the whole image instead"):
            measured(network, empty, statistics="region", **how)


@pytest.mark.parametrize(
    ("how", "message"),
    [
        ({"region": ((0, 97), (0, 8))}, "region should lie in the image of 96 x 160"),
        ({"region": ((0, 8),)}, "region needs one entry for each axis of the network"),
    ],
)
def test_a_region_that_cannot_be_is_refused_before_voxels_are_read(
    network: Network, how: dict[str, Any], message: str
) -> None:
    with pytest.raises(SettingsError, match=message):
        laid(network, statistics="region", **how)


def test_a_region_that_nothing_uses_is_noted(network: Network) -> None:
    notes = laid(network, statistics="whole", region=CONTENT).tiles.notes
    assert any("region is not used" in note for note in notes)


def test_one_time_gives_all_times_their_numbers(network: Network) -> None:
    series = Image(np.stack([VOXELS, VOXELS + 40, VOXELS * 2]), "tyx")
    with pytest.raises(SettingsError, match=r"there are 3 in .*Name one of them in region, such as 0:1,0:96"):
        laid(network, series, statistics="region")
    plan = measured(network, series, statistics="region", region=((1, 2), (32, 72), (72, 128)))
    alone = measured(network, Image(VOXELS + 40, "yx"), statistics="region", region=((32, 72), (72, 128)))
    assert plan.statistics.gathered.values == alone.statistics.gathered.values
    assert plan.normalization.offset == alone.normalization.offset


def test_a_store_says_the_region_and_goes_on_with_it(network: Network, tmp_path: Path) -> None:
    path = tmp_path / "a.ome.zarr"
    work = predict_to_store(IMAGE, network, settings(statistics="region"), path)
    events = []
    for event in work:
        events.append(event)
        if isinstance(event, TileDone):
            break
    work.close()
    about = dict(zarr.open_group(path, mode="r").attrs)["tileseg"]
    said = next(e.message for e in events if isinstance(e, Noted) and e.message.startswith("Region"))
    box = Box(*map(tuple, about["region"]["box"]))
    assert str(box) in said
    assert about["region"]["suggested"]
    list(predict_to_store(IMAGE, network, settings(statistics="region"), path))
    assert dict(zarr.open_group(path, mode="r").attrs)["tileseg"]["statistics"] == about["statistics"]
    lazy = predict(IMAGE, network, settings(statistics="region"))
    values = zarr.open_group(path, mode="r")["0"][...]
    np.testing.assert_allclose(lazy.compute(scheduler="synchronous"), values, rtol=0, atol=1e-12)
