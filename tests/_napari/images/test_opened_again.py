"""Whatever image the panel accepts, a project gives it back: its voxels, in their order, at their place."""

from dataclasses import replace

import h5py
import imageio.v3 as imageio
import numpy as np
import pytest
import tifffile
import zarr
from napari.components import ViewerModel
from napari.layers._source import layer_source
from napari_builtins.io import napari_get_reader as napari_reader
from napari_ome_zarr import napari_get_reader as zarr_reader

from napari_tileseg._napari.image_layers import add_image
from napari_tileseg._napari.images.shown_image import ShownImage, shown_images
from napari_tileseg.errors import ImageError
from napari_tileseg.session.project.image_reference import refer, reopen_image
from napari_tileseg.session.project.project import Project, Result, latest_of, read_project, write_project
from napari_tileseg.settings import ImageSettings
from napari_tileseg.tiling import Box

RANDOM = np.random.default_rng(0)


def values(*shape, dtype="u2", most=4000):
    return RANDOM.integers(0, most, shape).astype(dtype)


def picture(colors, ending="png"):
    def make(folder):
        imageio.imwrite(folder / f"a.{ending}", values(40, 50, *colors, dtype="u1", most=255))
        return [folder / f"a.{ending}"]

    return make


def tiff(shape, axes, dtype="u2", **about):
    def make(folder):
        tifffile.imwrite(folder / "a.tif", values(*shape, dtype=dtype), metadata={"axes": axes}, **about)
        return [folder / "a.tif"]

    return make


def array(shape, dtype):
    def make(folder):
        np.save(folder / "a.npy", values(*shape, dtype=dtype))
        return [folder / "a.npy"]

    return make


def pyramid(axes, shape, levels=1):
    """Write an OME-Zarr, which readers open as one layer for each channel."""

    def make(folder):
        group = zarr.create_group(folder / "a.ome.zarr")
        voxels, datasets = values(*shape), []
        for level in range(levels):
            step = tuple(slice(None, None, 2**level if axis in "yx" else 1) for axis in axes)
            group.create_array(str(level), data=np.ascontiguousarray(voxels[step]))
            scale = [2.0**level * 0.5 if axis in "yx" else 1.0 for axis in axes]
            changes = [{"type": "scale", "scale": scale}]
            datasets.append({"path": str(level), "coordinateTransformations": changes})
        kinds = {"t": "time", "c": "channel"}
        named = [{"name": axis, "type": kinds.get(axis, "space")} for axis in axes]
        about = {"version": "0.5", "multiscales": [{"axes": named, "datasets": datasets}]}
        group.attrs["ome"] = about
        return [folder / "a.ome.zarr"]

    return make


KINDS = {
    "a grey picture": (picture(()), {}),
    "a picture of three colours": (picture((3,)), {}),
    "one colour of a picture": (picture((3,)), {"channel": (1,)}),
    "a picture with transparency": (picture((4,)), {"channel": (0,)}),
    "colours in another order": (picture((4,)), {"channel": (2, 0, 1)}),
    "a picture of a microscope in colours": (tiff((40, 50, 3), "YXS", photometric="rgb"), {}),
    "a volume": (tiff((6, 40, 50), "ZYX"), {}),
    "a volume with a thin side": (tiff((6, 40, 3), "ZYX", imagej=True), {}),
    "channels": (tiff((2, 40, 50), "CYX", imagej=True), {"axes": "cyx", "channel": (1,)}),
    "channels of a volume": (tiff((6, 2, 40, 50), "ZCYX", imagej=True), {"axes": "zcyx", "channel": (1, 0)}),
    "a time series": (tiff((5, 40, 50), "TYX", imagej=True), {"axes": "tyx"}),
    "time that is taken for depth": (tiff((5, 40, 50), "TYX", imagej=True), {"axes": "zyx"}),
    "volumes in time": (tiff((3, 4, 20, 30), "TZYX", imagej=True), {}),
    "real numbers": (tiff((40, 50), "YX", dtype="f4"), {}),
    "bytes in the other order": (tiff((40, 50), "YX", byteorder=">"), {}),
    "an array of labels": (array((40, 50), "i4"), {}),
    "a mask": (array((6, 40, 50), "?"), {}),
    "an array of four columns": (array((40, 4), "f8"), {"axes": "yx"}),
    "a flat pyramid": (pyramid("yx", (64, 96), 3), {}),
    "a coarse level": (pyramid("zyx", (4, 64, 96), 3), {"level": 1}),
}


def write(make, folder):
    (path,) = make(folder)
    viewer = ViewerModel()
    reader = zarr_reader if path.suffix == ".zarr" else napari_reader
    with layer_source(path=str(path)):
        for data, *about in reader(str(path))(str(path)):
            viewer.add_image(data, **about[0] if about else {})
    return viewer


def voxels(image):
    return image.read(Box.of_shape(image.shape))


def place(image):
    return image.grid_axes, image.voxel_size, image.translation, image.units, image.affine


def round_trip(image, settings, folder):
    """Through the file of a project, into another viewer, and through a second project."""
    reference = refer(image, settings)
    write_project(folder, Project(image=reference, results=(Result(name="r", path=folder / "r"),)))
    reopened = reopen_image(read_project(folder).image)
    np.testing.assert_array_equal(voxels(reopened), voxels(image))
    assert place(reopened) == place(image)
    viewer = ViewerModel()
    shown = ShownImage(add_image(viewer, reopened))
    settings = shown.settings_for(reopened)
    again = shown.image(settings)
    np.testing.assert_array_equal(voxels(again), voxels(image))
    np.testing.assert_allclose(again.voxel_size, image.voxel_size)
    np.testing.assert_allclose(again.translation, image.translation)
    second = refer(again, settings)
    assert (second.uri, second.fingerprint) == (reference.uri, reference.fingerprint)
    np.testing.assert_array_equal(voxels(reopen_image(second)), voxels(image))


@pytest.mark.parametrize("kind", KINDS)
def test_an_image_is_opened_again_as_it_was(kind, tmp_path):
    make, settings = KINDS[kind]
    viewer, settings = write(make, tmp_path), ImageSettings(**settings)
    layer = viewer.layers[0]
    layer.scale = np.linspace(0.5, 2, layer.ndim)
    layer.translate = np.arange(layer.ndim) + 3
    image = ShownImage((layer,)).image(settings)
    round_trip(image, settings, tmp_path)


def test_an_image_is_found_among_the_layers_by_its_voxels(tmp_path):
    viewer = write(pyramid("cyx", (3, 32, 48)), tmp_path)
    assert len(viewer.layers) == 3
    layer = ShownImage((viewer.layers[1],))
    reference = refer(layer.image(ImageSettings()), ImageSettings())
    assert reference.settings.channel == (1,)
    image = reopen_image(reference)
    found = [each.settings_for(image) for each in shown_images(viewer)]
    assert found == [None, ImageSettings(), None, ImageSettings(channel=(1,))]


def test_channels_of_a_project_come_back_as_layers_of_their_names(tmp_path):
    viewer = write(pyramid("czyx", (3, 4, 32, 48), 2), tmp_path)
    image = reopen_image(refer(ShownImage((viewer.layers[2],)).image(ImageSettings()), ImageSettings()))
    again = ViewerModel()
    added = add_image(again, replace(image, translation=(1.0, 2.0, 3.0)))
    assert [layer.name for layer in again.layers] == [f"a channel {number}" for number in range(3)]
    assert [each.name for each in shown_images(again)][-1] == "a.ome.zarr: 3 layers as channels"
    for layer, shown in zip(viewer.layers, added, strict=True):
        np.testing.assert_array_equal(np.asarray(shown.data), np.asarray(layer.data[0]))
        np.testing.assert_allclose(shown.translate, (1, 2, 3))
        np.testing.assert_allclose(shown.scale, (1, 0.5, 0.5))


def test_layers_of_one_image_are_joined_and_opened_again_in_their_order(tmp_path):
    viewer = write(pyramid("czyx", (3, 4, 32, 48), 2), tmp_path)
    joined = shown_images(viewer)[-1]
    assert joined.name == "a.ome.zarr: 3 layers as channels"
    assert (joined.axes, joined.levels) == ("czyx", ((3, 4, 32, 48), (3, 4, 16, 24)))
    for settings in (ImageSettings(), ImageSettings(channel=(2, 0)), ImageSettings(level=1, channel=(1, 1))):
        image = joined.image(settings)
        whole = np.stack([np.asarray(layer.data[settings.level]) for layer in viewer.layers])
        np.testing.assert_array_equal(voxels(image), whole[list(image.channel_indices)])
        round_trip(image, settings, tmp_path)


def test_channels_in_memory_are_joined_where_they_are_views_of_one_array():
    viewer = ViewerModel()
    data = values(2, 20, 30)
    viewer.add_image(data, channel_axis=0, name=["dna", "actin"])
    viewer.add_image(data[0].copy(), name="a copy")
    *_, joined = shown_images(viewer)
    assert len(shown_images(viewer)) == 4
    assert joined.channel_names == ("dna", "actin")
    np.testing.assert_array_equal(voxels(joined.image(ImageSettings(channel=(1, 0)))), data[::-1])


@pytest.mark.parametrize(
    "change", [{"scale": (2, 2)}, {"translate": (1, 0)}, {"data": np.zeros((5, 6), "u2")}]
)
def test_layers_that_differ_in_place_or_shape_are_not_joined(change):
    viewer = ViewerModel()
    viewer.add_image(values(2, 20, 30), channel_axis=0)
    for name, value in change.items():
        setattr(viewer.layers[1], name, value)
    assert len(shown_images(viewer)) == 2


def test_an_image_in_memory_is_said_to_be_so(tmp_path):
    viewer = ViewerModel()
    shown = ShownImage((viewer.add_image(values(20, 30), name="mine"),))
    reference = refer(shown.image(ImageSettings()), ImageSettings())
    write_project(tmp_path, Project(image=reference, results=(Result(name="r", path=tmp_path / "r"),)))
    with pytest.raises(ImageError, match="mine was only in memory"):
        reopen_image(read_project(tmp_path).image)


def test_an_hdf5_file_of_the_shell_is_shown_and_found_again(tmp_path):
    from napari_tileseg.images import open_image

    with h5py.File(tmp_path / "a.h5", "w") as file:
        file["raw"] = values(4, 20, 30)
    image = open_image(str(tmp_path / "a.h5"), ImageSettings(axes="zyx"))
    shown = ShownImage(add_image(ViewerModel(), image))
    round_trip(shown.image(ImageSettings()), ImageSettings(axes="zyx"), tmp_path)


def test_the_latest_result_is_that_of_the_image():
    names = ("a", "b")
    viewer = ViewerModel()
    images = [viewer.add_image(values(20, 30), name=name) for name in names]
    a, b = [refer(ShownImage((each,)).image(ImageSettings()), ImageSettings()) for each in images]
    results = [Result(name=str(n), path=each, image=each_image) for n, each, each_image in _listed(a, b)]
    assert latest_of(results, a) is results[2]
    assert latest_of(results, b) is results[1]
    assert latest_of(results, None) is results[2]
    assert latest_of(results[1:2], a) is None
    assert latest_of([Result(name="old", path=a)], a).name == "old"
    assert latest_of([], a) is None


def _listed(a, b):
    return ((n, n, image) for n, image in enumerate((a, b, a)))
