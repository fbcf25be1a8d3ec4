"""Results as layers of a viewer without a window, and read back from their store."""

from pathlib import Path

import numpy as np
import pytest
from napari.components import ViewerModel
from napari.layers import Image as ImageLayer
from npe2 import PluginManifest

import napari_tileseg
from napari_tileseg._napari.files.reader import get_reader
from napari_tileseg._napari.files.samples import cells, nuclei
from napari_tileseg._napari.image_layers import add_image, image_layers, layer_options
from napari_tileseg._napari.images.layer_image import image_of, placement_of, placement_of_image
from napari_tileseg._napari.results.result_layers import ResultLayers
from napari_tileseg.images.image import Image
from napari_tileseg.nets import open_network
from napari_tileseg.prediction import open_prediction, predict_to_store
from napari_tileseg.prediction.events import TileDone
from napari_tileseg.samples import cells_image
from napari_tileseg.settings import ImageSettings, PredictSettings
from napari_tileseg.tiling import Box


@pytest.fixture(scope="module")
def network():
    return open_network("sample:cells_2d_batch_renorm")


@pytest.fixture
def layer():
    layer = ImageLayer(
        cells_image((192, 160)).image,
        name="cells",
        scale=(0.5, 0.25),
        translate=(3, 4),
        shear=(0.2,),
        units="micrometer",
        axis_labels=("y", "x"),
    )
    layer.rotate = 30
    return layer


@pytest.fixture
def path(tmp_path):
    return tmp_path / "p.ome.zarr"


def test_layers_fill_tile_by_tile(layer, network, path):
    viewer = ViewerModel()
    viewer.add_layer(layer)
    everything, shown, layers, grid = Box.of_shape((192, 160)), [], None, None
    for event in predict_to_store(
        image_of(layer, ImageSettings()), network, PredictSettings(core=(64, 64)), path
    ):
        if not isinstance(event, TileDone):
            continue
        if layers is None:
            store = open_prediction(path)
            grid = store.grid
            placement = placement_of(layer, ImageSettings())
            layers = ResultLayers(viewer, "result", store, placement, "sigmoid")
            layers.show_probabilities(True)
        layers.tile_written(grid.placed(event.tile))
        assert layers.refresh(everything)
        shown.append(int(np.isfinite(viewer.layers[1]._slice.image.raw).sum()))
    assert not layers.refresh(everything)
    assert shown == sorted(set(shown))
    assert shown[-1] == 192 * 160
    np.testing.assert_array_equal(np.asarray(viewer.layers[2].data), open_prediction(path).view()[1])


def test_tiles_out_of_view_are_not_drawn(layer, network, path):
    list(predict_to_store(image_of(layer, ImageSettings()), network, PredictSettings(), path))
    layers = ResultLayers(
        ViewerModel(), "result", open_prediction(path), placement_of(layer, ImageSettings()), "sigmoid"
    )
    layers.tile_written(Box((0, 0), (64, 64)))
    assert not layers.refresh(Box((100, 100), (120, 120)))


def test_the_reader_puts_a_box_of_a_turned_image_where_it_was(layer, network, path):
    settings = PredictSettings(core=(32, 32), box=((32, 96), (64, 160)))
    list(predict_to_store(image_of(layer, ImageSettings()), network, settings, path))
    read = get_reader(str(path))
    made = [ImageLayer(data, **options) for data, options, _ in read(str(path))]
    by = "(cells 2D, BatchRenorm)"
    assert [x.name for x in made] == [f"foreground of cells {by}", f"boundary of cells {by}"]
    for voxel in ((0, 0), (5, 7), (63, 95)):
        there = layer.data_to_world((voxel[0] + 32, voxel[1] + 64))
        np.testing.assert_allclose(made[0].data_to_world(voxel), there, atol=1e-9)
    assert made[0].units == layer.units
    assert made[0].axis_labels == layer.axis_labels


def test_the_reader_leaves_everything_else_alone(tmp_path):
    (tmp_path / "a.zarr").mkdir()
    (tmp_path / "b.zarr").mkdir()
    (tmp_path / "b.zarr" / "zarr.json").write_text('{"attributes": {"ome": {}}}')
    (tmp_path / "c.tif").write_bytes(b"II*")
    for name in ("a.zarr", "b.zarr", "c.tif", "missing.zarr"):
        assert get_reader(str(tmp_path / name)) is None
    assert get_reader([str(tmp_path / "a.zarr")]) is None


def test_results_are_not_offered_as_images(layer, network, path):
    viewer = ViewerModel()
    viewer.add_layer(layer)
    list(predict_to_store(image_of(layer, ImageSettings()), network, PredictSettings(), path))
    for data, options, _ in get_reader(str(path))(str(path)):
        viewer.add_image(data, **options)
    assert image_layers(viewer) == [layer]


def test_labels_decide_by_the_networks_activation(layer, network, path):
    viewer = ViewerModel()
    list(predict_to_store(image_of(layer, ImageSettings()), network, PredictSettings(), path))
    store = open_prediction(path)
    layers = ResultLayers(viewer, "r", store, placement_of(layer, ImageSettings()), "sigmoid")
    layers.show_labels(True)
    values = store.view()[...]
    expected = np.where(values.max(0) >= 0.5, values.argmax(0) + 1, 0)
    np.testing.assert_array_equal(np.asarray(viewer.layers[0].data), expected)
    layers.show_labels(False)
    assert not viewer.layers[0].visible


def test_an_image_with_channels_is_shown_at_its_place():
    viewer = ViewerModel()
    image = Image(
        data=np.zeros((4, 2, 5, 6)),
        axes="tcyx",
        voxel_size=(2, 0.5, 0.5),
        translation=(1, 2, 3),
        units=("second", "micrometer", "micrometer"),
    )
    (layer,) = add_image(viewer, image)
    np.testing.assert_array_equal(layer.data_to_world((1, 0, 1, 1)), (3, 0, 2.5, 3.5))
    assert layer.axis_labels == ("t", "c", "y", "x")
    again = image_of(layer, ImageSettings())
    assert (again.axes, again.voxel_size, again.translation) == ("tcyx", (2, 0.5, 0.5), (1, 2, 3))
    assert layer_options(image)["units"][1] == "pixel"
    assert placement_of_image(image).world_axes == (-3, -2, -1)


@pytest.mark.parametrize("sample", [nuclei, cells])
def test_samples_have_labels_at_the_same_place(sample):
    (image, about, kind), (labels, labelled, other) = sample()
    assert (kind, other) == ("image", "labels")
    assert image.shape == labels.shape
    assert about["scale"] == labelled["scale"]
    assert labels.max() > 5


def test_the_manifest_names_what_exists():
    manifest = PluginManifest.from_file(Path(napari_tileseg.__file__).with_name("napari.yaml"))
    manifest.validate_imports()
    names = [widget.display_name for widget in manifest.contributions.widgets]
    assert names == ["Predict", "Diagnose", "Fine-tune"]
    assert len(manifest.contributions.sample_data) == 2
