"""OME-Zarr images open in a viewer with our own reader: lazily, at their place, with levels and labels."""

from pathlib import Path
from typing import Any

import dask.array as da
import numpy as np
import pytest
import zarr
from click.testing import CliRunner
from napari.components import ViewerModel
from napari.layers import Image, Labels
from npe2 import PluginManager

from napari_tileseg._napari.files.reader import get_reader
from napari_tileseg._napari.images.layer_image import image_of
from napari_tileseg.cli import main
from napari_tileseg.errors import ImageError
from napari_tileseg.images import open_image
from napari_tileseg.settings import ImageSettings

VOXELS = np.random.default_rng(0).integers(0, 4000, (2, 3, 6, 16, 20), dtype=np.uint16)
UNITS = {"t": "second", "z": "nanometer", "y": "micrometer", "x": "micrometer"}
SIZES = {"t": 5.0, "z": 900.0, "y": 0.5, "x": 0.25}


@pytest.fixture(scope="module", autouse=True)
def _readers() -> None:
    # Not by napari itself, which would add their commands to its menus, and can do so only once.
    PluginManager.instance().discover()


def about(letters: str, version: str, **more: Any) -> dict[str, Any]:
    types = {"t": "time", "c": "channel"}
    axes = [
        {"name": a, "type": types.get(a, "space")} | ({"unit": UNITS[a]} if a in UNITS else {})
        for a in letters
    ]
    datasets = []
    for level in (1, 2):
        scale = [SIZES.get(a, 1.0) * (level if a in "yx" else 1) for a in letters]
        steps = [
            {"type": "scale", "scale": scale},
            {"type": "translation", "translation": [10.0 * (a not in "tc") for a in letters]},
        ]
        if version == "0.6":
            steps = [{"type": "sequence", "transformations": steps, "output": {"name": "world"}}]
        datasets.append({"path": str(level), "coordinateTransformations": steps})
    systems = {"coordinateSystems": [{"name": "world", "axes": axes}]} if version == "0.6" else {"axes": axes}
    return {"version": version, "multiscales": [{"name": "brain", "datasets": datasets, **systems}], **more}


def write(path: Path, letters: str = "zyx", version: str = "0.5", **more: Any) -> Path:
    """Write an image of two levels."""
    voxels = VOXELS[tuple(slice(None) if a in letters else 0 for a in "tczyx")]
    attributes = about(letters, version, **more)
    old = version == "0.4"
    group = zarr.create_group(
        path, zarr_format=2 if old else 3, attributes=attributes if old else {"ome": attributes}
    )
    for level in (1, 2):
        chunks = tuple(max(1, n // 2) for n in voxels[..., ::level, ::level].shape)
        group.create_array(str(level), data=voxels[..., ::level, ::level], chunks=chunks)
    return path


def opened(path: Path) -> list[Any]:
    return ViewerModel().open(str(path), plugin="napari-tileseg")


@pytest.mark.parametrize("version", ["0.4", "0.5", "0.6"])
@pytest.mark.parametrize("letters", ["yx", "zyx", "tzyx"])
def test_image_lies_where_its_file_says_with_its_levels(tmp_path: Path, letters: str, version: str) -> None:
    (layer,) = opened(write(tmp_path / "a.zarr", letters, version))

    assert isinstance(layer, Image)
    assert layer.multiscale
    assert [level.shape[-1] for level in layer.data] == [20, 10]
    assert all(isinstance(level, da.Array) for level in layer.data)
    assert layer.name == "brain"
    assert layer.axis_labels == tuple(letters)
    assert tuple(layer.scale) == tuple(SIZES[a] for a in letters)
    assert tuple(layer.translate) == tuple(10.0 * (a != "t") for a in letters)
    assert tuple(map(str, layer.units)) == tuple(UNITS[a] for a in letters)
    expected = VOXELS[tuple(slice(None) if a in letters else 0 for a in "tczyx")]
    np.testing.assert_array_equal(np.asarray(layer.data[0]), expected)


@pytest.mark.parametrize("letters", ["cyx", "czyx", "tczyx"])
def test_each_channel_is_a_layer_under_its_name(tmp_path: Path, letters: str) -> None:
    omero = {"channels": [{"label": "DNA"}, {"label": "wall"}, {"label": "actin"}]}
    layers = opened(write(tmp_path / "a.zarr", letters, omero=omero))

    assert [layer.name for layer in layers] == ["brain DNA", "brain wall", "brain actin"]
    for channel, layer in enumerate(layers):
        grid = letters.replace("c", "")
        assert tuple(layer.scale) == tuple(SIZES[a] for a in grid)
        voxels = VOXELS[tuple(channel if a == "c" else slice(None) if a in letters else 0 for a in "tczyx")]
        np.testing.assert_array_equal(np.asarray(layer.data[0]), voxels)


def test_labels_of_an_image_are_hidden_layers_of_labels(tmp_path: Path) -> None:
    path = write(tmp_path / "a.zarr")
    zarr.create_group(path / "labels", attributes={"ome": {"labels": ["cells", "gone", "../..", 5]}})
    write(path / "labels" / "cells", **{"image-label": {}})

    image, labels = opened(path)
    (alone,) = opened(path / "labels" / "cells")

    assert (type(image), type(labels), type(alone)) == (Image, Labels, Labels)
    assert (image.visible, labels.visible, alone.visible) == (True, False, True)
    assert tuple(labels.scale) == tuple(image.scale)


@pytest.mark.parametrize("version", ["0.4", "0.5", "0.6"])
def test_viewer_and_shell_read_it_alike(tmp_path: Path, version: str) -> None:
    path = write(tmp_path / "a.zarr", "tzyx", version)
    (layer,) = opened(path)

    for level in (0, 1):
        image, wanted = (
            image_of(layer, ImageSettings(level=level)),
            open_image(path, ImageSettings(level=level)),
        )
        assert (image.axes, image.voxel_size, image.units) == (wanted.axes, wanted.voxel_size, wanted.units)
    assert image_of(layer, ImageSettings()).notes == ()


@pytest.mark.parametrize("kind", ["nuclei", "cells"])
def test_the_sample_of_the_shell_opens(tmp_path: Path, kind: str) -> None:
    shape = "8,32,32" if kind == "nuclei" else "64,64"
    path = tmp_path / f"{kind}.ome.zarr"
    made = CliRunner().invoke(main, ["sample", str(path), "--kind", kind, "--shape", shape])
    assert made.exit_code == 0, made.output

    image, labels = opened(path)

    assert (type(image), type(labels)) == (Image, Labels)
    assert set(map(str, image.units)) == {"micrometer"}


def test_levels_of_one_shape_are_one_level(tmp_path: Path) -> None:
    path = write(tmp_path / "a.zarr")
    group = zarr.open_group(path)
    del group["2"]
    group.create_array("2", data=np.asarray(group["1"]))

    (layer,) = opened(path)
    assert not layer.multiscale


def test_what_is_no_omezarr_is_left_to_other_readers(tmp_path: Path) -> None:
    zarr.create_array(tmp_path / "plain.zarr", data=VOXELS)
    (tmp_path / "damaged.zarr").mkdir()
    (tmp_path / "damaged.zarr" / "zarr.json").write_text("[" * 5000)
    for path in (tmp_path / "plain.zarr", tmp_path / "damaged.zarr", tmp_path / "gone.zarr", tmp_path):
        assert get_reader(str(path)) is None
    assert get_reader([str(tmp_path)]) is None


def test_version_that_is_not_known_is_refused_in_words(tmp_path: Path) -> None:
    path = write(tmp_path / "a.zarr")
    zarr.open_group(path).attrs["ome"] = about("zyx", "0.9")
    with pytest.raises(ImageError, match=r"OME-Zarr 0\.9"):
        get_reader(str(path))(str(path))
