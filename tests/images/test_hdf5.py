"""HDF5 datasets: which one is meant, its voxel size and axes."""

import json
from pathlib import Path

import h5py
import numpy as np
import pytest

from napari_tileseg.errors import ImageError
from napari_tileseg.images import open_image
from napari_tileseg.tiling import Box

VOLUME = np.random.default_rng(0).integers(0, 255, (6, 20, 24), dtype=np.uint8)


def write(path: Path, **datasets: np.ndarray) -> Path:
    with h5py.File(path, "w") as file:
        for name, values in datasets.items():
            file.create_dataset(name.replace("__", "/"), data=values, chunks=True, compression="gzip")
        file["version"] = 1
    return path


def test_dataset_is_read_at_plantseg_s_voxel_size(tmp_path: Path) -> None:
    path = write(tmp_path / "volume.h5", raw=VOLUME.astype(">u2"), volumes__label=VOLUME)
    with h5py.File(path, "a") as file:
        file["raw"].attrs["element_size_um"] = (0.25, 0.15, 0.1)

    image, label = open_image(f"{path}:/raw"), open_image(f"{path}:volumes/label")

    box = Box((1, 2, 3), (5, 20, 9))
    assert (image.axes, image.name, image.dtype) == ("zyx", "volume raw", np.uint16)
    assert (image.voxel_size, image.units) == ((0.25, 0.15, 0.1), ("micrometer",) * 3)
    assert (label.voxel_size, label.units) == ((1, 1, 1), ("pixel",) * 3)
    np.testing.assert_array_equal(image.read(box)[0], VOLUME[box.slices])
    np.testing.assert_array_equal(label.read(box)[0], VOLUME[box.slices])


def test_axes_are_those_of_ilastik_or_of_the_dimensions(tmp_path: Path) -> None:
    path = write(tmp_path / "volume.h5", tagged=VOLUME, labelled=VOLUME)
    with h5py.File(path, "a") as file:
        tags = {"axes": [{"key": "y"}, {"key": "x"}, {"key": "c"}]}
        file["tagged"].attrs["axistags"] = json.dumps(tags)
        for dimension, label in zip(file["labelled"].dims, "tyx", strict=True):
            dimension.label = label

    assert open_image(f"{path}:/tagged").axes == "yxc"
    assert open_image(f"{path}:/labelled").axes == "tyx"


def test_only_dataset_need_not_be_named(tmp_path: Path) -> None:
    assert open_image(write(tmp_path / "one.h5", deep__raw=VOLUME)).shape == VOLUME.shape


def test_dataset_that_is_not_there_is_answered_with_those_that_are(tmp_path: Path) -> None:
    path = write(tmp_path / "volume.h5", raw=VOLUME, label=VOLUME)

    for name in (f"{path}:/prediction", path):
        with pytest.raises(ImageError, match=r"datasets /label \(6 x 20 x 24\), /raw \(6 x 20 x 24\).*none"):
            open_image(name)
    with pytest.raises(ImageError, match="holds none"):
        open_image(write(tmp_path / "none.h5"))


def test_file_that_is_cut_off_is_refused(tmp_path: Path) -> None:
    path = write(tmp_path / "volume.h5", raw=VOLUME)
    path.write_bytes(path.read_bytes()[:1500])

    with pytest.raises(ImageError, match="complete HDF5"):
        open_image(path)


def test_real_datasets_open_with_their_voxel_size(data_dir: Path) -> None:
    ovule = open_image(f"{data_dir}/gonuclear_ovule_nuclei_3d/1135_mini.h5:/raw")
    cells = open_image(f"{data_dir}/plantseg_ovule_cells_3d/sample_ovule.h5:/label")

    assert (ovule.shape, ovule.voxel_size) == (
        (100, 100, 100),
        pytest.approx((0.284, 0.127, 0.127), abs=1e-3),
    )
    assert (cells.shape, cells.voxel_size) == ((32, 128, 128), (0.235, 0.15, 0.15))
    assert cells.read(Box.of_shape(cells.shape)).max() > 100
