"""The fingerprint of an image follows its content, not its place."""

from dataclasses import replace
from pathlib import Path

import dask.array as da
import numpy as np
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
