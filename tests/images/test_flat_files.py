"""NumPy files, single pictures and folders of slices."""

from pathlib import Path

import imageio.v3 as iio
import numpy as np
import pytest
import tifffile

from napari_tileseg.errors import ImageError
from napari_tileseg.images import open_image
from napari_tileseg.images.image import Image
from napari_tileseg.tiling import Box

VOLUME = np.random.default_rng(0).integers(0, 255, (12, 20, 24), dtype=np.uint8)


def whole(image: Image) -> np.ndarray:
    return image.read(Box.of_shape(image.shape))


@pytest.mark.parametrize("dtype", ["?", "i1", ">i2", "<u4", ">f4", "f8", "f2"])
def test_numpy_file_of_any_type_and_order(tmp_path: Path, dtype: str) -> None:
    array = np.asfortranarray(VOLUME.astype(dtype))
    np.save(tmp_path / "array.npy", array)

    image = open_image(tmp_path / "array.npy")

    assert image.dtype == np.dtype(dtype).newbyteorder("=")
    np.testing.assert_array_equal(whole(image)[0], array)


def test_archive_is_opened_by_name_unless_it_holds_one_array(tmp_path: Path) -> None:
    np.savez(tmp_path / "two.npz", raw=VOLUME, label=VOLUME[0])
    np.savez_compressed(tmp_path / "one.npz", VOLUME)

    assert open_image(f"{tmp_path}/two.npz:label").axes == "yx"
    np.testing.assert_array_equal(whole(open_image(tmp_path / "one.npz"))[0], VOLUME)
    for name in ("two.npz", "two.npz:mask"):
        with pytest.raises(ImageError, match=r"arrays raw, label.*two.npz:raw"):
            open_image(f"{tmp_path}/{name}")


@pytest.mark.parametrize(
    ("array", "message"),
    [
        (np.array([["a", 1]], dtype=object), "NumPy file of numbers"),
        (np.zeros((2, 2), complex), "real numbers; it holds complex128"),
        (np.zeros((2, 2), [("a", "u1")]), "real numbers"),
        (np.zeros((0, 4)), "empty"),
        (np.zeros(4), "two to five axes"),
        (np.zeros((1,) * 6), "two to five axes"),
    ],
    ids=["object", "complex", "fields", "empty", "one axis", "six axes"],
)
def test_array_that_is_no_image_is_refused(tmp_path: Path, array: np.ndarray, message: str) -> None:
    np.save(tmp_path / "array.npy", array, allow_pickle=True)
    with pytest.raises(ImageError, match=message):
        open_image(tmp_path / "array.npy")


@pytest.mark.parametrize(
    ("shape", "names"),
    [
        ((9, 7), ()),
        ((9, 7, 2), ("intensity", "alpha")),
        ((9, 7, 3), ("red", "green", "blue")),
        ((9, 7, 4), ("red", "green", "blue", "alpha")),
    ],
)
def test_picture_keeps_colours_and_alpha_as_channels(
    tmp_path: Path, shape: tuple[int, ...], names: tuple[str, ...]
) -> None:
    array = np.random.default_rng(1).integers(0, 255, shape, dtype=np.uint8)
    iio.imwrite(tmp_path / "picture.png", array)

    image = open_image(tmp_path / "picture.png")

    assert (image.axes, image.channel_names) == ("yxc"[: len(shape)], names)
    np.testing.assert_array_equal(whole(image), np.moveaxis(array, -1, 0) if names else array[np.newaxis])


def test_deep_pictures_and_jpeg(tmp_path: Path) -> None:
    deep = VOLUME[0].astype(np.uint16) * 200
    iio.imwrite(tmp_path / "deep.png", deep)
    iio.imwrite(tmp_path / "photo.jpg", np.full((16, 16, 3), 90, np.uint8))

    np.testing.assert_array_equal(whole(open_image(tmp_path / "deep.png"))[0], deep)
    assert open_image(tmp_path / "photo.jpg").channel_names == ("red", "green", "blue")


@pytest.mark.parametrize("ending", ["png", "tif", "bmp"])
def test_slices_are_stacked_in_the_order_of_their_numbers(tmp_path: Path, ending: str) -> None:
    for index, plane in enumerate(VOLUME):
        iio.imwrite(tmp_path / f"slice{index}.{ending}", plane)
    (tmp_path / "notes.txt").write_text("not a slice")
    (tmp_path / ".slice0.png").write_text("not one either")

    image = open_image(tmp_path)

    assert (image.axes, image.shape) == ("zyx", VOLUME.shape)
    box = Box((2, 3, 5), (11, 20, 9))
    np.testing.assert_array_equal(image.read(box)[0], VOLUME[box.slices])


def test_slices_in_colour_have_a_channel_axis(tmp_path: Path) -> None:
    colours = np.random.default_rng(1).integers(0, 255, (3, 9, 7, 3), dtype=np.uint8)
    for index, plane in enumerate(colours):
        iio.imwrite(tmp_path / f"{index}.png", plane)

    image = open_image(tmp_path)

    assert (image.axes, image.channel_names) == ("zyxc", ("red", "green", "blue"))
    np.testing.assert_array_equal(whole(image), np.moveaxis(colours, -1, 0))


def test_slices_that_do_not_fit_are_named(tmp_path: Path) -> None:
    iio.imwrite(tmp_path / "a1.png", VOLUME[0])
    iio.imwrite(tmp_path / "a2.png", VOLUME[0, :10])
    with pytest.raises(ImageError, match=r"a1.png has 20 x 24 of uint8, a2.png has 10 x 24 of uint8"):
        open_image(tmp_path)
    tifffile.imwrite(tmp_path / "a2.png", VOLUME[0].astype(np.uint16))
    with pytest.raises(ImageError, match=r"a2.png has 20 x 24 of uint16"):
        open_image(tmp_path)


def test_folder_of_volumes_or_of_other_things_is_refused(tmp_path: Path) -> None:
    tifffile.imwrite(tmp_path / "volume.tif", VOLUME)
    with pytest.raises(ImageError, match=r"one slice.*volume.tif has the shape 12 x 20 x 24"):
        open_image(tmp_path)
    (tmp_path / "volume.tif").write_text("text")
    with pytest.raises(ImageError, match="as its name says"):
        open_image(tmp_path)


def test_real_pictures_open_with_and_without_alpha(data_dir: Path) -> None:
    kinds = set()
    for path in sorted((data_dir / "axondeepseg_sem_2d").glob("sub-*/micr/*.png")):
        image, array = open_image(path), iio.imread(path)
        np.testing.assert_array_equal(whole(image), np.moveaxis(np.atleast_3d(array), -1, 0))
        kinds.add((image.axes, image.channel_names))
    assert kinds == {("yx", ()), ("yxc", ("intensity", "alpha"))}
