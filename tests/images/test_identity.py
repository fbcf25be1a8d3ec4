"""The fingerprint of an image follows its content, not its place."""

from dataclasses import replace
from pathlib import Path

import dask.array as da
import numpy as np
import pytest
import zarr

from napari_tileseg.images import fingerprint, open_image
from napari_tileseg.images.image import Image

VOLUME = np.random.default_rng(0).integers(0, 4000, (24, 60, 70), dtype=np.uint16)


class Counted:
    """An array that counts the voxels that are read of it."""

    shape, dtype = (2000, 3000, 4000), np.dtype("u1")

    def __init__(self) -> None:
        self.read = 0

    def __getitem__(self, key: tuple[slice, ...]) -> np.ndarray:
        values = np.zeros([part.stop - part.start for part in key], np.uint8)
        self.read += values.size
        return values


def test_container_byte_order_and_path_do_not_count(tmp_path: Path) -> None:
    np.save(tmp_path / "swapped.npy", VOLUME.astype(">u2"))
    zarr.create_array(tmp_path / "chunked.zarr", data=VOLUME, chunks=(5, 7, 11))
    images = [
        Image(VOLUME, "zyx"),
        Image(np.asfortranarray(VOLUME), "zyx", name="other"),
        Image(da.from_array(VOLUME, chunks=13), "zyx"),
        open_image(tmp_path / "swapped.npy"),
        open_image(tmp_path / "chunked.zarr"),
    ]
    assert len({fingerprint(image) for image in images}) == 1


def test_voxels_shape_type_axes_channels_and_placement_count() -> None:
    image = Image(VOLUME, "zyx")
    other = VOLUME.copy()
    other[-1, -1, -1] += 1
    images = [
        image,
        replace(image, data=other),
        replace(image, data=VOLUME.astype(np.int16)),
        replace(image, data=VOLUME[:, :, :-1]),
        replace(image, data=VOLUME, axes="tyx"),
        replace(image, data=VOLUME, axes="cyx", voxel_size=(), translation=(), units=()),
        replace(image, voxel_size=(2.0, 1.0, 1.0)),
        replace(image, translation=(0.0, 1.0, 0.0)),
    ]
    assert len({fingerprint(each) for each in images}) == len(images)


def test_a_change_of_contrast_anywhere_is_seen_in_a_larger_part() -> None:
    large = np.zeros((64, 64, 64), np.uint8)
    changed = large.copy()
    changed[20:44, 20:44, 20:44] = 1
    assert fingerprint(Image(large, "zyx")) != fingerprint(Image(changed, "zyx"))


def test_little_is_read_of_a_large_image() -> None:
    source = Counted()
    fingerprint(Image(source, "zyx"))
    assert 0 < source.read <= 34 * 16**3


#: Images by shape, type, axes and channels, and the fingerprints that stores and projects know them by.
KNOWN = [
    ((90, 70), "u1", "yx", None, "09a771c0719bcb754fa3610291f66df560902ea5b754292df515d3c2875eb964"),
    ((60, 50, 40), "<u2", "zyx", None, "a917980b3b20ab9a6b74853894ce62440815307fee9cafad72c21e358a554e62"),
    ((60, 50, 40), ">u2", "zyx", None, "a917980b3b20ab9a6b74853894ce62440815307fee9cafad72c21e358a554e62"),
    (
        (3, 40, 45, 50),
        ">i4",
        "czyx",
        (2, 0),
        "052d6f86466381f84bf133126fd4d853fab6f153d9128c470dac975930f84580",
    ),
    (
        (20, 2, 35, 60),
        "<f4",
        "tcyx",
        None,
        "2ba1a48fa75360e37c20d3bfbf73aefa118f747f516e949f307cad8771c839fc",
    ),
    (
        (20, 3, 18, 35, 40),
        "u1",
        "tczyx",
        (1,),
        "ad76db349583ae027216de3ebd6ce217c5dac2b8521e08716b5e1a607061fe7c",
    ),
]
#: Chunks along each axis of an image of that shape.
LAYOUTS = {
    "cubes": lambda shape: tuple(min(n, 32) for n in shape),
    "pages": lambda shape: (1,) * (len(shape) - 2) + shape[-2:],
    "rows": lambda shape: (1,) * (len(shape) - 1) + shape[-1:],
    "uneven": lambda shape: tuple(min(n, 7 + 4 * axis) for axis, n in enumerate(shape)),
    "one": lambda shape: shape,
}


@pytest.mark.parametrize("layout", LAYOUTS.values(), ids=LAYOUTS.keys())
@pytest.mark.parametrize(("shape", "dtype", "axes", "channels", "known"), KNOWN)
def test_each_chunk_is_read_once_for_a_value_that_stays(
    chunked, shape, dtype, axes, channels, known, layout
) -> None:
    voxels = (np.arange(np.prod(shape)) * 7919 % 251).reshape(shape).astype(dtype)
    source = chunked(voxels, layout(shape))
    assert fingerprint(Image(source, axes, channels=channels)) == known
    assert set(source.decoded.values()) == {1}
    assert source.total <= voxels.nbytes
