"""Quantiles of a mostly empty image make little of its content, which is said with what to do."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from napari_tileseg._progress import drain
from napari_tileseg.engine.choice import route_of
from napari_tileseg.images.image import Image
from napari_tileseg.nets import Network
from napari_tileseg.prediction import lay_plan, measure_plan, predict_to_store
from napari_tileseg.prediction.events import Noted
from napari_tileseg.prediction.input.content import ContentSearch, find_content
from napari_tileseg.prediction.input.contrast import TELLING
from napari_tileseg.prediction.plan.plan import Plan
from napari_tileseg.settings import PredictSettings
from napari_tileseg.tiling import Box

SHAPE = (160, 200)
CONTENT = ((40, 88), (64, 120))


def picture(shape: tuple[int, int] = SHAPE) -> np.ndarray:
    """Return textured content with few bright spots, in the middle of what is dark."""
    random = np.random.default_rng(0)
    values = random.normal(100, 3, shape)
    inside = tuple(slice(*each) for each in CONTENT)
    values[inside] += 900 * random.random(values[inside].shape) ** 30
    values[inside] += 20
    return values.astype(np.float32)


VOXELS = picture()
IMAGE = Image(VOXELS, "yx", name="cells")


@pytest.fixture
def network(make_network: Callable[..., Network]) -> Network:
    return make_network(ndim=2)


def measured(network: Network, image: Image = IMAGE, **how: Any) -> Plan:
    settings = PredictSettings(core=(64, 64), **how)
    return drain(measure_plan(lay_plan(image, network, settings, route_of(network, "auto"))))


def spread(values: np.ndarray) -> float:
    low, high = np.percentile(values, [1, 99.8])
    return float(high - low)


def test_content_that_the_whole_image_makes_little_of_is_said_with_the_cure(network: Network) -> None:
    found = measured(network).contrast
    assert found is not None
    assert found.box.contains(Box(*zip(*CONTENT, strict=True)))
    assert found.ratio == pytest.approx(spread(VOXELS[found.box.slices]) / spread(VOXELS), rel=1e-5)
    assert found.ratio >= TELLING
    assert f"{found.ratio:.1f} times as far apart" in found.sentence
    assert "set intensities to region" in found.sentence
    assert measured(network, intensities="region").contrast is None


def test_nothing_is_said_of_an_image_full_of_content(network: Network) -> None:
    inside = tuple(slice(a, b) for a, b in CONTENT)
    assert measured(network, Image(VOXELS[inside], "yx")).contrast is None


@pytest.mark.parametrize(
    "how",
    [{"intensities": "image"}, {"normalize": "zero_mean"}, {"normalize": "range", "range": (0.0, 900.0)}],
)
def test_nothing_is_said_where_somebody_chose_or_nothing_is_clipped(
    network: Network, how: dict[str, Any]
) -> None:
    assert measured(network, **how).contrast is None


def test_statistics_of_the_whole_image_leave_its_intensities_and_that_is_said(
    make_network: Callable[..., Network],
) -> None:
    network = make_network(ndim=2, norm="instance")
    assert measured(network, statistics="whole").contrast is not None
    assert measured(network, statistics="region").contrast is None, "intensities are those of the region"


def test_of_several_images_nothing_is_said(network: Network) -> None:
    assert measured(network, Image(np.stack([VOXELS, VOXELS]), "tyx")).contrast is None


class Counted:
    """An image that counts the voxels that are read of it."""

    def __init__(self, values: np.ndarray) -> None:
        self.values, self.shape, self.dtype, self.read = values, values.shape, values.dtype, 0

    def __getitem__(self, key: Any) -> np.ndarray:
        part = self.values[key]
        self.read += part.size
        return part


def test_the_image_is_read_no_more_often_for_it(network: Network) -> None:
    counts = []
    for how in ({}, {"intensities": "image"}):
        data = Counted((VOXELS * 10).astype(np.uint16))
        plan = measured(network, Image(data, "yx"), **how)
        counts.append(data.read - (plan.contrast.box.size if plan.contrast else 0))
    assert counts[0] == counts[1]


def test_the_shell_is_told_once(network: Network, tmp_path: Path) -> None:
    events = list(predict_to_store(IMAGE, network, PredictSettings(core=(64, 64)), tmp_path / "a.ome.zarr"))
    said = [event for event in events if isinstance(event, Noted) and "mostly empty" in event.message]
    assert len(said) == 1
    assert said[0].warning


@pytest.mark.parametrize("step", [1, 2, 3])
@pytest.mark.parametrize("start", [(0, 0), (3, 5)])
def test_a_rougher_search_finds_about_the_same(step: int, start: tuple[int, int]) -> None:
    within = Box(start, SHAPE)
    exact = drain(find_content(IMAGE, within, 0, (22, 22)))
    search = ContentSearch(within, 1, 0, (22, 22), step)
    for a in range(start[0], SHAPE[0], 37):
        for b in range(start[1], SHAPE[1], 41):
            part = Box((a, b), (min(a + 37, SHAPE[0]), min(b + 41, SHAPE[1])))
            search.add(VOXELS[None][(slice(None), *part.slices)], part)
    found = search.content
    assert exact.box is not None
    assert found.box is not None
    assert found.box.contains(Box(*zip(*CONTENT, strict=True)))
    for one, other in zip(found.box.start + found.box.stop, exact.box.start + exact.box.stop, strict=True):
        assert abs(one - other) <= (0 if step == 1 else 8 * step)
