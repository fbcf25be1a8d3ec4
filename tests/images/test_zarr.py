"""OME-Zarr images of each version, plain zarr arrays, and metadata that does not hold."""

import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import zarr

from napari_tileseg.errors import ImageError
from napari_tileseg.images import list_levels, open_image
from napari_tileseg.settings import ImageSettings
from napari_tileseg.tiling import Box

VOLUME = np.arange(2 * 3 * 4 * 6, dtype=np.uint16).reshape(2, 3, 4, 6)
AXES = [
    {"name": "c", "type": "channel"},
    {"name": "z", "type": "space", "unit": "nanometer"},
    {"name": "y", "type": "space", "unit": "micrometer"},
    {"name": "x", "type": "space", "unit": "micrometer"},
]


def transformations(scale: list[float], translation: list[float]) -> list[dict[str, Any]]:
    return [{"type": "scale", "scale": scale}, {"type": "translation", "translation": translation}]


def multiscale() -> dict[str, Any]:
    return {
        "axes": AXES,
        "name": "embryo",
        "datasets": [
            {"path": "0", "coordinateTransformations": transformations([1, 500, 0.5, 0.5], [0, 10, 2, 3])},
            {"path": "1", "coordinateTransformations": transformations([1, 500, 1, 1], [0, 10, 2.25, 3.25])},
        ],
        "coordinateTransformations": transformations([1, 2, 2, 2], [0, 1, 1, 1]),
    }


def write_omezarr(path: Path, version: str, levels: tuple[str, ...] = ("0", "1")) -> Path:
    """Write the volume by hand, as the specification of a version says."""
    about = {"multiscales": [multiscale()], "omero": {"channels": [{"label": "DNA"}, {"label": "wall"}]}}
    attributes = {"ome": about | {"version": version}} if version == "0.5" else about
    group = zarr.create_group(path, zarr_format=3 if version == "0.5" else 2, attributes=attributes)
    for level in levels:
        group.create_array(
            level, data=VOLUME if level == "0" else VOLUME[:, :, ::2, ::2], chunks=(1, 2, 2, 2)
        )
    return path


@pytest.mark.parametrize("version", ["0.4", "0.5"])
def test_omezarr_is_placed_as_both_of_its_transformations_say(tmp_path: Path, version: str) -> None:
    image = open_image(write_omezarr(tmp_path / "image.zarr", version))

    np.testing.assert_array_equal(image.read(Box.of_shape(image.shape)), VOLUME)
    assert (image.axes, image.name, image.channel_names) == ("czyx", "embryo", ("DNA", "wall"))
    assert image.voxel_size == (1000, 1, 1)
    assert image.translation == (21, 5, 7)
    assert image.units == ("nanometer", "micrometer", "micrometer")


def test_level_is_that_of_the_metadata(tmp_path: Path) -> None:
    path = write_omezarr(tmp_path / "image.zarr", "0.4")

    image = open_image(path, ImageSettings(level=1, channel=(1,)))

    assert list_levels(path) == ((2, 3, 4, 6), (2, 3, 2, 3))
    np.testing.assert_array_equal(image.read(Box.of_shape(image.shape))[0], VOLUME[1, :, ::2, ::2])
    assert image.voxel_size == (1000, 2, 2)


@pytest.mark.parametrize("version", ["0.4", "0.5"])
def test_missing_level_is_named_with_those_present(tmp_path: Path, version: str) -> None:
    path = write_omezarr(tmp_path / "image.zarr", version, levels=("1",))

    assert list_levels(path) == ((), (2, 3, 2, 3))
    with pytest.raises(ImageError, match=r"level 0 at path '0', which is missing.*1 \(path '1'.*--level 1"):
        open_image(path)
    assert open_image(path, ImageSettings(level=1)).shape == (3, 2, 3)


@pytest.mark.filterwarnings("ignore:Consolidated metadata is currently not part:UserWarning")
def test_consolidated_metadata_does_not_hide_a_missing_level(tmp_path: Path) -> None:
    path = write_omezarr(tmp_path / "image.zarr", "0.5")
    zarr.consolidate_metadata(path)
    shutil.rmtree(path / "0")

    with pytest.raises(ImageError, match="level 0 at path '0', which is missing"):
        open_image(path)


def test_level_out_of_range_lists_the_levels(tmp_path: Path) -> None:
    path = write_omezarr(tmp_path / "image.zarr", "0.5", levels=("1",))

    with pytest.raises(ImageError, match=r"levels 0 \(missing\), 1 \(2 x 3 x 2 x 3\); got level 2"):
        open_image(path, ImageSettings(level=2))


def test_plain_array_is_opened_with_the_axes_it_names(tmp_path: Path) -> None:
    zarr.create_array(tmp_path / "a.zarr", data=VOLUME[0], dimension_names=["x", "y", "z"])
    zarr.create_array(tmp_path / "b.zarr", data=VOLUME[0].astype(">f4"), zarr_format=2)

    turned, plain = open_image(tmp_path / "a.zarr"), open_image(tmp_path / "b.zarr")

    assert (turned.axes, turned.shape, plain.axes, plain.dtype) == ("zyx", (6, 4, 3), "zyx", np.float32)
    box = Box((1, 2, 0), (5, 4, 2))
    np.testing.assert_array_equal(turned.read(box)[0], VOLUME[0].T[box.slices])
    np.testing.assert_array_equal(plain.read(Box.of_shape(plain.shape))[0], VOLUME[0])


def test_group_of_other_things_lists_them(tmp_path: Path) -> None:
    group = zarr.create_group(tmp_path / "group.zarr")
    group.create_array("raw", data=VOLUME)

    with pytest.raises(ImageError, match=r"group of other things.*group.zarr/raw"):
        open_image(tmp_path / "group.zarr")
    assert open_image(tmp_path / "group.zarr" / "raw").axes == "czyx"


@pytest.mark.parametrize(
    "text", ["{", "[]", '{"zarr_format": 3, "node_type": "array"}', '{"zarr_format": 9}']
)
def test_damaged_metadata_is_an_error_of_the_image(tmp_path: Path, text: str) -> None:
    folder = tmp_path / "bad.zarr"
    folder.mkdir()
    (folder / "zarr.json").write_text(text)

    with pytest.raises(ImageError, match="metadata"):
        open_image(folder)


@pytest.mark.parametrize(
    "change",
    [{"datasets": []}, {"datasets": None}, {"datasets": 5}, {"datasets": [{"path": ["0"]}]}],
)
def test_multiscale_that_does_not_hold_is_refused(tmp_path: Path, change: dict[str, Any]) -> None:
    path = write_omezarr(tmp_path / "image.zarr", "0.4")
    (path / ".zattrs").write_text(json.dumps({"multiscales": [multiscale() | change]}))

    with pytest.raises(ImageError, match="should"):
        open_image(path)


def test_version_0_3_and_unknown_axes_are_guessed(tmp_path: Path) -> None:
    path = write_omezarr(tmp_path / "image.zarr", "0.4")
    datasets = [{"path": "0"}]
    for axes in (["c", "z", "y", "x"], None):
        (path / ".zattrs").write_text(json.dumps({"multiscales": [{"axes": axes, "datasets": datasets}]}))
        image = open_image(path)
        assert (image.axes, image.voxel_size, image.units) == ("czyx", (1, 1, 1), ("pixel",) * 3)


def test_complex_numbers_and_a_single_axis_are_refused(tmp_path: Path) -> None:
    zarr.create_array(tmp_path / "complex.zarr", data=VOLUME[0].astype(complex))
    zarr.create_array(tmp_path / "line.zarr", data=np.arange(4))

    with pytest.raises(ImageError, match="real numbers; it holds complex128"):
        open_image(tmp_path / "complex.zarr")
    with pytest.raises(ImageError, match="two to five axes"):
        open_image(tmp_path / "line.zarr")


def real_store(data_dir: Path) -> Path:
    return next((data_dir / "cardiomyocyte_omezarr_2d").glob("*.zarr"))


def test_real_omezarr_opens_with_labels_and_all_levels(data_dir: Path) -> None:
    store = real_store(data_dir)

    image, labels = open_image(store), open_image(store / "labels" / "nuclei", ImageSettings(level=2))

    assert list_levels(store) == ((3, 1, 1080, 1280), (3, 1, 540, 640), (3, 1, 270, 320))
    assert (image.axes, image.channel_names) == ("czyx", ("DAPI", "nanog", "Lamin B1"))
    assert image.voxel_size == (1.0, 0.65, 0.65)
    assert (labels.axes, labels.shape, labels.voxel_size) == ("zyx", (1, 270, 320), (1.0, 2.6, 2.6))
    assert labels.read(Box.of_shape(labels.shape)).max() > 0


def test_real_omezarr_that_lost_its_first_level_says_so(data_dir: Path, tmp_path: Path) -> None:
    store = tmp_path / "copy.zarr"
    shutil.copytree(real_store(data_dir), store, ignore=shutil.ignore_patterns("1", "labels"))

    with pytest.raises(ImageError, match=r"lists level 0 at path '1', which is missing.*1 \(path '2'"):
        open_image(store)


def test_more_voxels_than_can_be_counted_are_refused(tmp_path):
    zarr.create_array(tmp_path / "a.zarr", shape=(4, 4), chunks=(4, 4), dtype="u1")
    metadata = tmp_path / "a.zarr" / "zarr.json"
    metadata.write_text(
        metadata.read_text().replace('"shape": [\n    4,', '"shape": [\n    99999999999999999999,')
    )
    assert "99999999999999999999" in metadata.read_text()
    with pytest.raises(ImageError, match="more voxels than can be counted"):
        open_image(tmp_path / "a.zarr")
