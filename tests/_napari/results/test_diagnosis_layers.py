"""Heatmaps, outlines of tiles and the way to a voxel, on a viewer without a window."""

import numpy as np
import pytest
import zarr
from napari.components import ViewerModel

from napari_tileseg._napari.centring import centre_on
from napari_tileseg._napari.drawing.tile_outlines import TileOutlines, box_lines
from napari_tileseg._napari.image_layers import image_layers
from napari_tileseg._napari.images.image_place import placement_in
from napari_tileseg._napari.images.layer_image import image_of, placement_of
from napari_tileseg._napari.results.heatmap_layers import HeatmapLayers
from napari_tileseg._napari.view import box_in_view
from napari_tileseg.settings import ImageSettings
from napari_tileseg.tiling import Box

SHAPE = (20, 100, 200)


@pytest.fixture
def viewer():
    viewer = ViewerModel()
    values = np.zeros(SHAPE)
    place = {"scale": (2, 1, 0.5), "translate": (0, 10, 3), "units": "micrometer"}
    viewer.add_image(values, name="cells", axis_labels=("z", "y", "x"), **place)
    viewer.canvas.size = (100, 100)
    return viewer


@pytest.fixture
def placement(viewer):
    return placement_of(viewer.layers[0], ImageSettings())


def test_an_image_is_found_at_its_layer_whatever_that_is_called(viewer):
    image = image_of(viewer.layers[0], ImageSettings())
    viewer.layers[0].name = "renamed"
    viewer.add_image(np.zeros(SHAPE))
    found = placement_in(viewer, image)
    np.testing.assert_array_equal(found.translate, (0, 10, 3))
    assert found.axis_labels == ("z", "y", "x")
    viewer.layers.clear()
    np.testing.assert_allclose(placement_in(viewer, image).to_world, found.to_world)


def test_a_level_and_a_channel_have_their_place():
    viewer = ViewerModel()
    levels = [np.zeros((2, 40, 60)), np.zeros((2, 20, 30))]
    viewer.add_image(levels, multiscale=True, axis_labels=("c", "y", "x"), scale=(1, 2, 3))
    image = image_of(viewer.layers[0], ImageSettings(level=1))
    found = placement_in(viewer, image)
    np.testing.assert_array_equal(found.scale, (4, 6))
    assert found.world_axes == (-2, -1)


@pytest.mark.parametrize("ndisplay", [2, 3])
@pytest.mark.parametrize("order", [(0, 1, 2), (1, 0, 2)])
def test_a_voxel_comes_to_the_middle_of_the_view(viewer, placement, ndisplay, order):
    viewer.dims.ndisplay = ndisplay
    viewer.dims.order = order
    viewer.scene.camera.zoom = 30.0
    centre_on(viewer, placement, (7, 60, 150))
    world = (placement.to_world @ (7, 60, 150, 1))[:-1]
    displayed = list(viewer.dims.displayed)
    np.testing.assert_allclose(viewer.scene.camera.center[-len(displayed) :], world[displayed])
    assert box_in_view(viewer, placement, SHAPE).contains(Box((7, 60, 150), (8, 61, 151)))
    assert viewer.scene.camera.zoom == 30.0


def test_edges_of_a_box_in_a_slice_and_in_space():
    box = Box((2, 4), (6, 10))
    lines = box_lines(box, (3, 5), (0, 1))
    ends = {tuple(map(tuple, (line[0], line[0] + line[1]))) for line in lines}
    corners = [(1.5, 3.5), (1.5, 9.5), (5.5, 3.5), (5.5, 9.5)]
    assert ends == {(corners[a], corners[b]) for a, b in ((0, 1), (2, 3), (0, 2), (1, 3))}
    assert len(box_lines(Box((0, 0, 0), (1, 1, 1)), (0, 0, 0), (0, 1, 2))) == 12
    flat = box_lines(Box((0, 0, 0), (9, 9, 9)), (4, 0, 0), (1, 2))
    assert set(flat[:, 0, 0]) == {4.0}


def test_outlines_replace_each_other_and_leave_the_selection(viewer, placement):
    outlines = TileOutlines(viewer)
    selected = set(viewer.layers.selection)
    boxes = (Box((0, 0, 0), (20, 40, 40)), Box((0, 20, 0), (20, 60, 40)))
    for _ in range(2):
        outlines.show(boxes, (5, 30, 20), placement)
    assert len(viewer.layers) == 2
    assert len(viewer.layers[-1].data) == 8 + 2
    np.testing.assert_allclose(viewer.layers[-1].data[-2:].mean(axis=0)[0], (5, 30, 20), atol=20)
    np.testing.assert_array_equal(viewer.layers[-1].translate, viewer.layers[0].translate)
    assert set(viewer.layers.selection) == selected
    viewer.layers.pop()
    outlines.hide()
    assert len(viewer.layers) == 1


def test_heatmaps_lie_on_the_image_and_one_class_shows(viewer, placement, tmp_path):
    array = zarr.create_array(tmp_path / "map", shape=(2, *SHAPE), dtype="float32", fill_value=np.nan)
    array[1, 5, 10:20, 10:20] = 0.5
    heatmap = HeatmapLayers(viewer)
    for _ in range(2):
        heatmap.open(tmp_path / "map", "cells", ("a", "b"), placement, largest=0.5, first="b")
    assert [layer.name for layer in viewer.layers] == ["cells", "a mismatch of cells", "b mismatch of cells"]
    assert [layer.visible for layer in heatmap.layers] == [False, True]
    layer = viewer.layers["b mismatch of cells"]
    assert layer.contrast_limits == [0.0, 0.5]
    assert float(np.nanmax(layer.data[5])) == 0.5
    assert layer.units == viewer.layers["cells"].units
    np.testing.assert_array_equal(layer.affine.affine_matrix, viewer.layers["cells"].affine.affine_matrix)
    assert image_layers(viewer) == [viewer.layers["cells"]]


def test_heatmaps_may_be_renamed_and_deleted(viewer, placement, tmp_path):
    zarr.create_array(tmp_path / "map", shape=(2, *SHAPE), dtype="float32", fill_value=np.nan)
    heatmap = HeatmapLayers(viewer)
    heatmap.open(tmp_path / "map", "cells", ("a", "b"), placement, largest=1e-6, first="b")
    assert viewer.layers[-1].contrast_limits == [0.0, 0.05]
    viewer.layers[-1].name = "mine"
    del viewer.layers["a mismatch of cells"]
    heatmap.show(False)
    assert not viewer.layers["mine"].visible
    heatmap.show(True, "b")
    assert viewer.layers["mine"].visible
    heatmap.remove()
    assert [layer.name for layer in viewer.layers] == ["cells"]


def test_what_the_user_does_to_heatmaps_stays(viewer, placement, tmp_path):
    for name in ("map", "earlier"):
        zarr.create_array(tmp_path / name, shape=(3, *SHAPE), dtype="float32", fill_value=np.nan)
    heatmap = HeatmapLayers(viewer)

    def open_map(name, first):
        heatmap.open(tmp_path / name, "cells", ("a", "b", "c"), placement, largest=0.5, first=first)

    open_map("map", "b")
    a, b, c = heatmap.layers
    b.visible, b.name, b.colormap, b.opacity = False, "mine", "viridis", 0.5
    a.visible = True
    del viewer.layers[c.name]
    heatmap.show(True, "b")
    open_map("map", "b")
    assert heatmap.layers == [a, b]
    assert (a.visible, b.visible, b.name) == (True, False, "mine")
    heatmap.show(True, "a")
    heatmap.show(False)
    assert not a.visible
    heatmap.show(True, "a")
    assert a.visible
    open_map("earlier", "c")
    assert [layer.visible for layer in heatmap.layers] == [False, False, True]
    assert (heatmap.layers[1].colormap.name, heatmap.layers[1].opacity) == ("viridis", 0.5)
    assert heatmap.layers[2].contrast_limits == [0.0, 0.5]
