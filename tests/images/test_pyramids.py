"""TIFF pyramids of each layout: every level opens, and equals what was written."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tifffile

from napari_tileseg.images import list_levels, open_image
from napari_tileseg.settings import ImageSettings
from napari_tileseg.tiling import Box

PLANE = np.random.default_rng(0).integers(0, 250, (128, 160), dtype=np.uint16)
VOLUME = np.stack([PLANE, PLANE[::-1], PLANE[:, ::-1]])
Levels = list[np.ndarray]
ENCODINGS: dict[str, dict[str, Any]] = {
    "tiles": {"tile": (32, 32)},
    "deflated tiles": {"tile": (32, 32), "compression": "zlib"},
    "zstd tiles": {"tile": (32, 32), "compression": "zstd", "predictor": True},
    "lzw strips": {"rowsperstrip": 32, "compression": "lzw"},
    "packed strips": {"compression": "packbits"},
    "strips": {},
}


def halved(array: np.ndarray) -> Levels:
    return [array[..., :: 2**k, :: 2**k] for k in range(3)]


def sub_pages(path: Path, levels: Levels, **options: Any) -> None:
    with tifffile.TiffWriter(path) as writer:
        writer.write(levels[0], subifds=len(levels) - 1, **options)
        for level in levels[1:]:
            writer.write(level, subfiletype=1, **options)


def ome_sub_pages(path: Path, levels: Levels, **options: Any) -> None:
    axes = "ZYX" if levels[0].ndim == 3 else "YX"
    with tifffile.TiffWriter(path, ome=True) as writer:
        writer.write(levels[0], subifds=len(levels) - 1, metadata={"axes": axes}, **options)
        for level in levels[1:]:
            writer.write(level, subfiletype=1, **options)


def following_pages(path: Path, levels: Levels, **options: Any) -> None:
    """Write overviews as pages of their own, as in a cloud-optimized GeoTIFF."""
    with tifffile.TiffWriter(path) as writer:
        for number, level in enumerate(levels):
            writer.write(level, subfiletype=int(number > 0), metadata=None, **options)


def scanned_slide(path: Path, levels: Levels, **options: Any) -> None:
    """Write pages as a slide scanner does: the image, a thumbnail in strips, the levels, a label."""
    about = {"description": "Aperio Image Library v11.2.1 |AppMag = 20", "metadata": None}
    with tifffile.TiffWriter(path) as writer:
        writer.write(levels[0], **about, **options)
        writer.write(levels[-1][:12, :12], rowsperstrip=12, **about)
        for level in levels[1:]:
            writer.write(level, **about, **options)
        writer.write(levels[-1][:10, :12], subfiletype=1, rowsperstrip=10, **about)


LAYOUTS = [sub_pages, ome_sub_pages, following_pages, scanned_slide]


@pytest.mark.parametrize("encoding", ENCODINGS)
@pytest.mark.parametrize("write", LAYOUTS)
def test_every_level_is_what_was_written(tmp_path: Path, write: Callable[..., None], encoding: str) -> None:
    if write is scanned_slide and "tiles" not in encoding:
        pytest.skip("slides are tiled")
    levels = halved(PLANE)
    path = tmp_path / "pyramid.tif"
    write(path, levels, **ENCODINGS[encoding])

    assert list_levels(path) == tuple(level.shape for level in levels)
    for number, level in enumerate(levels):
        image = open_image(path, ImageSettings(level=number))
        assert image.voxel_size == (2.0**number, 2.0**number)
        np.testing.assert_array_equal(image.read(Box.of_shape(image.shape))[0], level)


@pytest.mark.parametrize("encoding", ENCODINGS)
@pytest.mark.parametrize("write", [ome_sub_pages, sub_pages])
def test_every_level_of_a_volume_is_what_was_written(
    tmp_path: Path, write: Callable[..., None], encoding: str
) -> None:
    levels = halved(VOLUME)
    path = tmp_path / "pyramid.tif"
    write(path, levels, photometric="minisblack", **ENCODINGS[encoding])

    for number, level in enumerate(levels):
        image = open_image(path, ImageSettings(level=number))
        assert image.axes == "zyx"
        np.testing.assert_array_equal(image.read(Box.of_shape(image.shape))[0], level)


@pytest.mark.parametrize("compression", ["jpeg", "webp", "jpeg2000"])
def test_colours_of_a_pyramid_are_read_at_the_finest_level(tmp_path: Path, compression: str) -> None:
    colours = np.stack([PLANE, PLANE[::-1], PLANE[:, ::-1]], axis=-1).astype(np.uint8)
    levels = [colours, colours[::2, ::2]]
    path = tmp_path / "pyramid.tif"
    sub_pages(path, levels, tile=(32, 32), compression=compression, photometric="rgb")

    image = open_image(path)

    assert (image.axes, image.shape) == ("yxc", PLANE.shape)
    expected = tifffile.imread(path, level=0)
    np.testing.assert_array_equal(image.read(Box.of_shape(image.shape)), np.moveaxis(expected, -1, 0))
