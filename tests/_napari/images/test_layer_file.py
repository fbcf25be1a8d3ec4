"""Viewer and shell agree about a file, whichever reader opened it."""

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import h5py
import imageio.v3 as iio
import numpy as np
import pytest
import tifffile
import zarr
from napari.components import ViewerModel
from napari.layers import Image as ImageLayer
from napari.layers._source import layer_source
from npe2 import PluginManager

from napari_tileseg._napari.images.image_place import placement_over
from napari_tileseg._napari.images.layer_file import filed
from napari_tileseg._napari.images.layer_image import image_of
from napari_tileseg._napari.images.placement import axes_of
from napari_tileseg._progress import drain
from napari_tileseg.engine import WHOLE_TILES
from napari_tileseg.images import open_image
from napari_tileseg.images.units import voxel_size_in_micrometers
from napari_tileseg.prediction.plan.measuring import plan_prediction
from napari_tileseg.session.project.image_reference import refer
from napari_tileseg.settings import ImageSettings, PredictSettings
from napari_tileseg.tiling import Box

rng = np.random.default_rng(0)
VOXELS = rng.integers(0, 4000, (6, 2, 10, 12), dtype=np.uint16)


def imagej(axes: str, voxels: np.ndarray, **about: Any) -> Callable[[Path], str]:
    def write(folder: Path) -> str:
        about_all = {"axes": axes, "unit": "um", "spacing": 2.0, **about}
        tifffile.imwrite(folder / "a.tif", voxels, imagej=True, resolution=(4, 4), metadata=about_all)
        return str(folder / "a.tif")

    return write


def ome(axes: str, voxels: np.ndarray) -> Callable[[Path], str]:
    def write(folder: Path) -> str:
        about = {"axes": axes, "PhysicalSizeX": 0.25, "PhysicalSizeY": 0.25, "PhysicalSizeZ": 2.0}
        tifffile.imwrite(folder / "a.ome.tif", voxels, ome=True, metadata=about)
        return str(folder / "a.ome.tif")

    return write


def plain(folder: Path) -> str:
    tifffile.imwrite(folder / "a.tif", VOXELS[:, 0], photometric="minisblack")
    return str(folder / "a.tif")


def pyramid(folder: Path) -> str:
    voxels = rng.integers(0, 4000, (64, 64), dtype=np.uint16)
    with tifffile.TiffWriter(folder / "a.ome.tif", ome=True) as writer:
        writer.write(voxels, subifds=1, tile=(16, 16), metadata={"axes": "YX", "PhysicalSizeX": 0.5})
        writer.write(voxels[::2, ::2], subfiletype=1, tile=(16, 16))
    return str(folder / "a.ome.tif")


def unnamed(folder: Path) -> str:
    np.save(folder / "a.npy", VOXELS)
    return str(folder / "a.npy")


def volume(folder: Path) -> str:
    np.save(folder / "a.npy", VOXELS[:, 0])
    return str(folder / "a.npy")


def colours(folder: Path) -> str:
    iio.imwrite(folder / "a.png", rng.integers(0, 255, (40, 50, 4), dtype=np.uint8))
    return str(folder / "a.png")


def grey(folder: Path) -> str:
    iio.imwrite(folder / "a.png", rng.integers(0, 255, (40, 50), dtype=np.uint8))
    return str(folder / "a.png")


def named_zarr(folder: Path) -> str:
    zarr.create_array(
        folder / "a.zarr", data=VOXELS, dimension_names=["t", "z", "y", "x"], chunks=(2, 2, 5, 5)
    )
    return str(folder / "a.zarr")


FILES = {
    "imagej zcyx": imagej("ZCYX", VOXELS),
    "imagej tyx": imagej("TYX", VOXELS[:, 0]),
    "imagej zyx": imagej("ZYX", VOXELS[:, 0]),
    "imagej cyx": imagej("CYX", VOXELS[:3, 0]),
    "imagej tzyx": imagej("TZYX", VOXELS),
    "imagej of one channel": imagej("ZCYX", VOXELS[:, :1]),
    "imagej, cubic": imagej("TZYX", rng.integers(0, 9, (6, 6, 6, 6), dtype=np.uint16)),
    "ome czyx": ome("CZYX", VOXELS),
    "ome tcyx": ome("TCYX", VOXELS),
    "plain": plain,
    "pyramid": pyramid,
    "npy of four axes": unnamed,
    "npy of three axes": volume,
    "png in colour": colours,
    "png": grey,
    "zarr": named_zarr,
}


@pytest.fixture(scope="module", autouse=True)
def _readers() -> None:
    # Not by napari itself, which would add their commands to its menus, and can do so only once.
    PluginManager.instance().discover()


def opened(path: str) -> ImageLayer:
    (layer,) = ViewerModel().open(path, plugin="napari")
    return layer


@pytest.mark.parametrize("kind", FILES)
def test_viewer_and_shell_read_a_file_alike(tmp_path: Path, kind: str) -> None:
    path = FILES[kind](tmp_path)
    layer, wanted = opened(path), open_image(path)

    image = image_of(layer, ImageSettings())

    assert (image.grid_axes, image.shape) == (wanted.grid_axes, wanted.shape)
    assert (image.voxel_size, image.translation) == (wanted.voxel_size, wanted.translation)
    assert (image.units, image.uri) == (wanted.units, path)
    box = Box.of_shape(image.shape)
    np.testing.assert_array_equal(image.read(box), wanted.read(box))
    assert not [note for note in image.notes if "counts" in note]


@pytest.mark.parametrize("kind", FILES)
def test_the_file_of_a_layer_gives_the_same_image_again(tmp_path: Path, kind: str) -> None:
    path = FILES[kind](tmp_path)
    assert refer(image_of(opened(path), ImageSettings()), ImageSettings()).uri == path


def shown(data: Any, path: str, **options: Any) -> ImageLayer:
    """Give a layer as a reader of some plugin makes it."""
    with layer_source(path=path, reader_plugin="other"):
        return ImageLayer(data, **options)


@pytest.mark.parametrize("order", ["xyzt", "txyz", "ztyx", "tzyx"])
def test_axes_that_a_reader_has_turned_are_those_of_the_file(tmp_path: Path, order: str) -> None:
    path = imagej("TZYX", VOXELS)(tmp_path)
    layer = shown(VOXELS.transpose(["tzyx".index(axis) for axis in order]), path)

    found = filed(layer)

    assert found is not None
    assert axes_of(layer) == found.axes == order
    assert dict(zip(order, found.sizes, strict=True)) == {"t": 1.0, "z": 2.0, "y": 0.25, "x": 0.25}


def test_channel_that_a_reader_has_split_off_is_that_of_the_file(tmp_path: Path) -> None:
    path = imagej("ZCYX", VOXELS)(tmp_path)
    image = image_of(shown(VOXELS[:, 1], path), ImageSettings())
    assert (image.axes, voxel_size_in_micrometers(image)) == ("zyx", (2.0, 0.25, 0.25))


def test_layer_whose_voxels_are_others_is_not_the_file(tmp_path: Path) -> None:
    path = imagej("TYX", VOXELS[:, 0])(tmp_path)
    changed = VOXELS[:, 0] // 2
    for data in (changed, VOXELS[1:, 0], VOXELS[:, 0].astype(float)):
        layer = shown(data, path)
        assert filed(layer) is None
        assert image_of(layer, ImageSettings()).units == ("pixel",) * 3


def test_what_the_layer_says_counts_and_the_file_is_quoted(tmp_path: Path) -> None:
    path = imagej("TYX", VOXELS[:, 0])(tmp_path)
    layer = shown(VOXELS[:, 0], path, axis_labels=("z", "y", "x"), scale=(3, 1, 1), units=("um",) * 3)

    image = image_of(layer, ImageSettings())

    assert (image.axes, image.voxel_size) == ("zyx", (3.0, 1.0, 1.0))
    assert any("axes tyx" in note for note in image.notes)
    assert any("0.25 micrometer" in note and "3 micrometer" in note for note in image.notes)


def test_file_that_is_gone_or_of_no_format_of_ours_says_nothing(tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_text("text")
    for path in (tmp_path / "gone.tif", tmp_path / "a.txt", tmp_path):
        layer = shown(VOXELS, str(path))
        assert filed(layer) is None
        assert axes_of(layer) == "czyx"


def test_notes_of_the_file_are_those_of_the_layer(tmp_path: Path) -> None:
    path = imagej("ZYX", VOXELS[:, 0], unit="furlong")(tmp_path)
    assert any("furlong" in note for note in image_of(opened(path), ImageSettings()).notes)


def test_dataset_of_ilastik_is_recognised_by_its_place(tmp_path: Path) -> None:
    with h5py.File(tmp_path / "a.h5", "w") as file:
        file["raw"] = VOXELS
        tags = [{"key": key, "resolution": 0.5} for key in "tzyx"]
        file["raw"].attrs["axistags"] = json.dumps({"axes": tags})
    assert axes_of(shown(VOXELS, str(tmp_path / "a.h5"))) == "tzyx"


def test_results_lie_over_an_image_that_its_reader_shows_in_voxels(tmp_path: Path) -> None:
    path = imagej("ZYX", VOXELS[:, 0])(tmp_path)
    viewer, wanted = ViewerModel(), open_image(path)
    stored = replace(wanted, translation=(4.0, 0.5, 0.0))
    assert tuple(placement_over(viewer, stored).scale) == (2.0, 0.25, 0.25)

    viewer.open(path, plugin="napari")

    place = placement_over(viewer, stored)
    assert (tuple(place.scale), tuple(place.translate)) == ((1, 1, 1), (2, 2, 0))
    assert tuple(placement_over(viewer, replace(stored, uri="")).scale) == (2.0, 0.25, 0.25)


def test_voxel_size_of_the_file_is_held_against_the_network_s(
    tmp_path: Path, networks: dict[str, Any]
) -> None:
    voxels = rng.integers(0, 4000, (64, 64), dtype=np.uint16)
    image = image_of(opened(imagej("YX", voxels)(tmp_path)), ImageSettings())
    network = networks["batch"]
    wants = replace(network, spec=replace(network.spec, voxel_size=(2.0, 2.0)))

    plan = drain(plan_prediction(image, wants, PredictSettings(device="cpu"), route=WHOLE_TILES))

    assert any("0.25" in warning for warning in plan.tiles.warnings), plan.tiles.warnings
