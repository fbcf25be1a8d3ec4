"""The part of an image where there is content, found from means and variances of small cells."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from scipy import ndimage

from napari_tileseg._progress import drain
from napari_tileseg.errors import NonFiniteError
from napari_tileseg.images.image import Image
from napari_tileseg.prediction.input.content import Content, find_content
from napari_tileseg.tiling import Box

SHAPE = (160, 240)
WHOLE = Box.of_shape(SHAPE)
BLOB = Box((60, 100), (100, 148))


def noise(shape: tuple[int, ...] = SHAPE, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).normal(100, 5, shape)


def with_blob(by: float, box: Box = BLOB) -> np.ndarray:
    values = noise()
    values[box.slices] += by
    return values


def content(values: np.ndarray, axes: str = "yx", margin: int = 0, within: Box | None = None) -> Any:
    image = Image(values, axes)
    within = within or Box.of_shape(image.shape)
    lead = within.ndim - 2
    return drain(find_content(image, within, lead, (margin, margin)))


def holds(found: Content, box: Box, slack: int) -> bool:
    """Return whether what was found is a box, up to some voxels on each side."""
    assert found.box is not None
    wide = box.grow(((slack, slack),) * box.ndim)
    return found.box.contains(box) and wide.contains(found.box) and not found.fills


@pytest.mark.parametrize("by", [60, -60], ids=["bright", "dark"])
def test_what_stands_out_is_found_whether_brighter_or_darker(by: float) -> None:
    assert holds(content(with_blob(by)), BLOB, 8)


def test_what_is_textured_stands_out_at_the_level_of_its_background() -> None:
    values = noise()
    values[BLOB.slices] += np.random.default_rng(1).normal(0, 40, BLOB.shape)
    assert holds(content(values), BLOB, 8)


def test_a_margin_is_a_quarter_at_most_and_stops_at_black_around_a_picture() -> None:
    # Scattered, so that there is background in the box around it.
    values = noise()
    for y, x in np.ndindex(4, 4):
        values[56 + 16 * y : 62 + 16 * y, 96 + 16 * x : 102 + 16 * x] += 90
    bare = content(values).box
    assert content(values, margin=4).box == bare.grow(((8, 8), (8, 8)))
    assert content(values, margin=500).box == bare.grow(((16, 16), (16, 16)))
    values[:, bare.stop[1] + 12 :] = 0
    assert content(values, margin=500).box == bare.grow(((16, 16), (16, 16)))
    values[:, bare.stop[1] + 5 :] = 0
    assert content(values, margin=500).box.stop[1] == bare.stop[1] + 8


def test_a_picture_on_black_is_content_where_nothing_stands_out_in_it() -> None:
    values = np.zeros(SHAPE)
    values[BLOB.slices] = noise(BLOB.shape)
    assert holds(content(values), BLOB, 8)


def test_a_hot_pixel_is_none() -> None:
    values = with_blob(60)
    values[10, 10] = 1e5
    assert holds(content(values), BLOB, 8)


def test_content_everywhere_fills_the_image() -> None:
    values = noise() + 60 * ndimage.gaussian_filter(noise(seed=1), 4)
    assert content(values) == Content(WHOLE, fills=True)


def test_a_texture_without_anything_apart_fills_the_image() -> None:
    values = ndimage.gaussian_filter(noise(), 1)
    assert content(values) == Content(WHOLE, fills=True)


@pytest.mark.parametrize(
    "values", [noise(), np.full(SHAPE, 7), np.random.default_rng(0).poisson(3, SHAPE)], ids=str
)
def test_noise_or_one_value_is_none(values: np.ndarray) -> None:
    assert content(values) == Content(None, constant=bool((values == values[0, 0]).all()))


def test_any_channel_counts() -> None:
    other = Box((8, 16), (40, 48))
    both = Box((8, 16), BLOB.stop)
    assert holds(content(np.stack([with_blob(60), with_blob(-60, other)]), "cyx"), both, 8)


def test_part_of_one_time_is_looked_at() -> None:
    within = Box((1, 40, 50), (2, 150, 230))
    found = content(np.stack([noise(), with_blob(60), noise()]), "tyx", within=within)
    assert (found.box.start[0], found.box.stop[0]) == (1, 2)
    assert holds(Content(Box(found.box.start[1:], found.box.stop[1:]), False), BLOB, 8)


def test_blocks_of_a_large_image_belong_together() -> None:
    shape, blob = (2100, 2100), Box((1980, 400), (2060, 900))
    values = np.random.default_rng(0).integers(10, 20, shape).astype(np.uint8)
    values[blob.slices] += 100
    assert holds(content(values), blob, 16)


def test_nan_is_refused_or_zero() -> None:
    values = with_blob(60)
    values[0, 0] = np.nan
    with pytest.raises(NonFiniteError, match=r"the first at 0,0"):
        content(values)
    image = Image(values, "yx")
    assert holds(drain(find_content(image, WHOLE, 0, (0, 0), zero=True)), BLOB, 8)
