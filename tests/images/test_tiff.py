"""TIFF of each kind: plain, ImageJ, OME, pyramids, compressed, cut off."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tifffile

from napari_tileseg.errors import ImageError
from napari_tileseg.images import list_levels, open_image
from napari_tileseg.settings import ImageSettings
from napari_tileseg.tiling import Box

VOLUME = np.random.default_rng(0).integers(0, 4000, (7, 40, 48), dtype=np.uint16)
BOX = Box((2, 3, 17), (6, 35, 48))


@pytest.mark.parametrize(
    "options",
    [
        {},
        {"compression": "zlib"},
        {"compression": "lzw", "tile": (16, 16)},
        {"compression": "zstd", "predictor": True},
        {"byteorder": ">"},
        {"bigtiff": True},
        {"imagej": True},
        {"ome": True},
    ],
    ids=str,
)
def test_any_box_is_that_of_the_array(tmp_path: Path, options: dict[str, Any]) -> None:
    path = tmp_path / "volume.tif"
    axes = {"metadata": {"axes": "ZYX"}} if "ome" in options or "imagej" in options else {}
    tifffile.imwrite(path, VOLUME, **options, **axes)

    image = open_image(path)

    assert (image.axes, image.shape, image.dtype) == ("zyx", VOLUME.shape, np.uint16)
    np.testing.assert_array_equal(image.read(BOX)[0], VOLUME[BOX.slices])


def test_imagej_says_its_voxel_size(tmp_path: Path) -> None:
    path = tmp_path / "imagej.tif"
    about = {"axes": "TZCYX", "spacing": 1.75, "unit": "um", "finterval": 30.0}
    movie = VOLUME[:6].reshape(1, 3, 2, 40, 48).repeat(2, axis=0)
    tifffile.imwrite(path, movie, imagej=True, resolution=(4.0, 2.0), metadata=about)

    image = open_image(path)

    assert (image.axes, image.shape) == ("tzcyx", (2, 3, 40, 48))
    assert image.voxel_size == (30.0, 1.75, 0.5, 0.25)
    assert image.units == ("second", "micrometer", "micrometer", "micrometer")
    channel = image.with_channels((1,)).read(Box.of_shape(image.shape))
    np.testing.assert_array_equal(channel[0], movie[:, :, 1])


def test_ome_says_voxel_size_units_and_channels(tmp_path: Path) -> None:
    path = tmp_path / "image.ome.tif"
    about = {
        "axes": "CYX",
        "PhysicalSizeX": 130.0,
        "PhysicalSizeXUnit": "nm",
        "PhysicalSizeY": 0.2,
        "Channel": {"Name": ["DNA", "wall"]},
    }
    tifffile.imwrite(path, VOLUME[:2], metadata=about)

    image = open_image(path)

    assert (image.axes, image.channel_names) == ("cyx", ("DNA", "wall"))
    assert (image.voxel_size, image.units) == ((0.2, 130.0), ("micrometer", "nanometer"))


def test_pyramid_levels_cover_the_same_extent(tmp_path: Path) -> None:
    path = tmp_path / "pyramid.ome.tif"
    about = {"axes": "YX", "PhysicalSizeX": 0.5, "PhysicalSizeY": 0.5}
    with tifffile.TiffWriter(path) as writer:
        writer.write(VOLUME[0, :32, :32], subifds=1, tile=(16, 16), metadata=about)
        writer.write(VOLUME[0, :32:2, :32:2], subfiletype=1, tile=(16, 16))

    image = open_image(path, ImageSettings(level=1))

    assert list_levels(path) == ((32, 32), (16, 16))
    assert (image.voxel_size, image.translation) == ((1.0, 1.0), (0.25, 0.25))
    np.testing.assert_array_equal(image.read(Box((3, 4), (9, 16)))[0], VOLUME[0, 6:18:2, 8:32:2])
    with pytest.raises(ImageError, match=r"levels 0 \(32 x 32\), 1 \(16 x 16\); got level 2"):
        open_image(path, ImageSettings(level=2))


@pytest.mark.parametrize(
    ("unit", "density", "size", "name"),
    [
        ("CENTIMETER", 20000.0, 5e-5, "centimeter"),
        ("INCH", 25400.0, 1 / 25400, "inch"),
        ("INCH", 72.0, 1.0, "pixel"),
        ("NONE", 4.0, 1.0, "pixel"),
    ],
)
def test_resolution_tags_count_unless_they_are_those_of_a_screen(
    tmp_path: Path, unit: str, density: float, size: float, name: str
) -> None:
    path = tmp_path / "plain.tif"
    tifffile.imwrite(path, VOLUME[0], resolution=(density, density), resolutionunit=unit)

    image = open_image(path)

    assert image.voxel_size == pytest.approx((size, size))
    assert image.units == (name, name)


def test_colours_are_channels_and_bits_are_bool(tmp_path: Path) -> None:
    colours = VOLUME[:3].transpose(1, 2, 0).astype(np.uint8)
    tifffile.imwrite(tmp_path / "rgb.tif", colours, photometric="rgb")
    tifffile.imwrite(tmp_path / "mask.tif", VOLUME[0] > 2000)

    rgb, mask = open_image(tmp_path / "rgb.tif"), open_image(tmp_path / "mask.tif")

    assert (rgb.axes, rgb.shape, mask.dtype) == ("yxc", (40, 48), np.bool_)
    np.testing.assert_array_equal(rgb.read(Box.of_shape(rgb.shape)), np.moveaxis(colours, -1, 0))
    np.testing.assert_array_equal(mask.read(Box.of_shape(mask.shape))[0], VOLUME[0] > 2000)


@pytest.mark.parametrize("options", [{}, {"metadata": None}, {"compression": "zlib"}], ids=str)
def test_stack_that_was_written_page_by_page_is_opened_whole(tmp_path: Path, options: dict[str, Any]) -> None:
    with tifffile.TiffWriter(tmp_path / "pages.tif") as writer:
        for plane in VOLUME:
            writer.write(plane, contiguous=False, **options)

    image = open_image(tmp_path / "pages.tif")

    assert image.shape == VOLUME.shape
    np.testing.assert_array_equal(image.read(BOX)[0], VOLUME[BOX.slices])


@pytest.mark.parametrize("options", [{"truncate": True}, {}], ids=str)
def test_first_of_several_volumes_is_opened(tmp_path: Path, options: dict[str, Any]) -> None:
    with tifffile.TiffWriter(tmp_path / "volumes.tif") as writer:
        for volume in (VOLUME, VOLUME[::-1]):
            writer.write(volume, contiguous=False, **options)

    image = open_image(tmp_path / "volumes.tif")

    np.testing.assert_array_equal(image.read(Box.of_shape(image.shape))[0], VOLUME)


def test_channels_of_colours_are_refused(tmp_path: Path) -> None:
    colours = np.zeros((2, 20, 24, 3), np.uint8)
    tifffile.imwrite(tmp_path / "colours.ome.tif", colours, photometric="rgb", metadata={"axes": "CYXS"})
    with pytest.raises(ImageError, match=r"one channel axis; its axes are CYXS"):
        open_image(tmp_path / "colours.ome.tif")


@pytest.mark.parametrize("options", [{}, {"compression": "zlib"}, {"ome": True}, {"imagej": True}], ids=str)
@pytest.mark.parametrize("kept", [0.0, 0.001, 0.01, 0.5, 0.95])
def test_a_file_that_is_cut_off_is_refused(tmp_path: Path, options: dict[str, Any], kept: float) -> None:
    path = tmp_path / "cut.tif"
    axes = {"metadata": {"axes": "ZYX"}} if "ome" in options or "imagej" in options else {}
    tifffile.imwrite(path, VOLUME, **options, **axes)
    whole = path.read_bytes()
    path.write_bytes(whole[: int(len(whole) * kept)])

    with pytest.raises(ImageError, match="cut"):
        open_image(path)


def test_real_volume_is_as_tifffile_reads_it(data_dir: Path) -> None:
    path = data_dir / "bbbc050_mouse_embryo_3d" / "images" / "train_Emb01_t301.tif"

    image = open_image(path, ImageSettings(voxel_size=(1.75, 0.8, 0.8)))

    assert (image.axes, image.voxel_size, image.units) == ("zyx", (1.75, 0.8, 0.8), ("micrometer",) * 3)
    np.testing.assert_array_equal(image.read(Box.of_shape(image.shape))[0], tifffile.imread(path))


def test_real_compressed_pictures_are_as_tifffile_reads_them(data_dir: Path) -> None:
    for path in sorted((data_dir / "dsb2018_nuclei_2d" / "images").glob("*.tif"))[:5]:
        image = open_image(path)
        np.testing.assert_array_equal(image.read(Box.of_shape(image.shape))[0], tifffile.imread(path))
