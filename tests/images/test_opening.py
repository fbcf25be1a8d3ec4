"""What is common to all formats: paths, axes, voxel size, and files that are none of them."""

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from napari_tileseg.errors import ImageError, SettingsError
from napari_tileseg.images import list_levels, open_image
from napari_tileseg.images.units import voxel_size_in_micrometers
from napari_tileseg.settings import ImageSettings
from napari_tileseg.tiling import Box


@given(st.permutations("tczyx"), st.integers(2, 5))
def test_axes_in_any_order_are_read_in_the_field_s_order(
    tmp_path_factory: pytest.TempPathFactory, order: list[str], ndim: int
) -> None:
    axes = "".join(letter for letter in order if letter in "yxzct"[:ndim])
    sizes = {"t": 2, "c": 3, "z": 4, "y": 5, "x": 6}
    array = np.arange(np.prod([sizes[a] for a in axes])).reshape([sizes[a] for a in axes])
    path = tmp_path_factory.mktemp("axes") / "array.npy"
    np.save(path, array)

    image = open_image(path, ImageSettings(axes=axes))

    expected = np.transpose(array, [axes.index(a) for a in "ctzyx" if a in axes])
    expected = expected if "c" in axes else expected[np.newaxis]
    box = Box((1,) * len(image.shape), image.shape)
    assert image.grid_axes == "".join(a for a in "tzyx" if a in axes)
    np.testing.assert_array_equal(image.read(box), expected[(slice(None), *box.slices)])


@pytest.mark.parametrize(("ndim", "axes"), [(2, "yx"), (3, "zyx"), (4, "czyx"), (5, "tczyx")])
def test_axes_of_which_nothing_is_said(tmp_path: Path, ndim: int, axes: str) -> None:
    np.save(tmp_path / "array.npy", np.zeros((2,) * ndim))
    assert open_image(tmp_path / "array.npy").axes == axes


@pytest.mark.parametrize("axes", ["yx", "zyy", "zyq", "czt", "zyxc", ""])
def test_axes_that_do_not_fit_are_refused(tmp_path: Path, axes: str) -> None:
    np.save(tmp_path / "array.npy", np.zeros((2, 3, 4)))
    with pytest.raises(SettingsError, match=r"3 axes, of lengths 2 x 3 x 4.*'zyx'"):
        open_image(tmp_path / "array.npy", ImageSettings(axes=axes))


def test_voxel_size_is_given_for_each_axis_of_space(tmp_path: Path) -> None:
    np.save(tmp_path / "movie.npy", np.zeros((2, 3, 4, 5)))
    settings = ImageSettings(axes="tzyx", voxel_size=(1.5, 0.5, 0.25))

    image = open_image(tmp_path / "movie.npy", settings)

    assert image.voxel_size == (1.0, 1.5, 0.5, 0.25)
    assert image.units == ("pixel", "micrometer", "micrometer", "micrometer")
    assert voxel_size_in_micrometers(image) == (1.5, 0.5, 0.25)
    with pytest.raises(SettingsError, match="3 entries"):
        open_image(tmp_path / "movie.npy", ImageSettings(axes="tzyx", voxel_size=(1.0, 1.0)))


def test_channels_are_checked(tmp_path: Path) -> None:
    np.save(tmp_path / "array.npy", np.arange(24).reshape(2, 3, 2, 2))
    settings = ImageSettings(axes="zcyx", channel=(2, 0))

    image = open_image(tmp_path / "array.npy", settings)

    assert image.read(Box.of_shape(image.shape))[:, 0, 0, 0].tolist() == [8, 0]
    with pytest.raises(ImageError, match="channels 0 to 2"):
        open_image(tmp_path / "array.npy", ImageSettings(axes="zcyx", channel=(3,)))
    with pytest.raises(ImageError, match="one or more"):
        image.with_channels(())


def test_level_of_an_image_without_levels(tmp_path: Path) -> None:
    np.save(tmp_path / "array.npy", np.zeros((2, 3)))
    assert list_levels(tmp_path / "array.npy") == ((2, 3),)
    with pytest.raises(ImageError, match=r"levels 0 \(2 x 3\); got level 1"):
        open_image(tmp_path / "array.npy", ImageSettings(level=1))


def test_relative_path_becomes_absolute(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    np.save(tmp_path / "array.npy", np.zeros((2, 3)))
    monkeypatch.chdir(tmp_path)
    assert open_image("array.npy").uri == str(tmp_path / "array.npy")


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("notes.txt", b"not an image", "no known format. Known formats: OME-Zarr; a zarr array; TIFF"),
        ("empty.tif", b"", "empty file"),
        ("cut.tif", b"II*\0", "TIFF"),
        ("cut.npy", b"\x93NUMPY\1\0", "complete NumPy file"),
        ("cut.png", b"\x89PNG\r\n\x1a\n", "complete PNG"),
        ("cut.jpg", b"\xff\xd8\xff", "complete PNG"),
        ("cut.h5", b"\x89HDF\r\n\x1a\n", "complete HDF5"),
        ("cut.npz", b"PK\3\4", "no known format"),
    ],
)
def test_file_that_cannot_be_opened_is_named_with_the_reason(
    tmp_path: Path, name: str, content: bytes, message: str
) -> None:
    (tmp_path / name).write_bytes(content)
    with pytest.raises(ImageError, match=message) as caught:
        open_image(tmp_path / name)
    assert name in str(caught.value)


def test_paths_that_lead_nowhere(tmp_path: Path) -> None:
    np.save(tmp_path / "array.npy", np.zeros((2, 3)))
    for path, message in {
        tmp_path / "absent.tif": "no such file",
        "s3://bucket/image.zarr": "path on this machine",
        f"{tmp_path}/array.npy:/raw": "Leave out what follows the colon",
        tmp_path: "holds none of these",
    }.items():
        with pytest.raises(ImageError, match=message):
            open_image(path)


def test_file_that_the_system_does_not_let_us_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    np.save(tmp_path / "array.npy", np.zeros((2, 3)))

    def refuse(*_: object, **__: object) -> None:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr("os.open", refuse)
    with pytest.raises(ImageError, match=r"array.npy should be an image; .*Permission denied.*permissions"):
        open_image(tmp_path / "array.npy")
