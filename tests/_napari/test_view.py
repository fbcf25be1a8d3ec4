"""What is in view, on a viewer without a window."""

import numpy as np
import pytest
from napari.components import ViewerModel

from napari_tileseg._napari.images.layer_image import placement_of
from napari_tileseg._napari.view import box_in_view
from napari_tileseg.settings import ImageSettings

SHAPE = (20, 100, 200)


@pytest.fixture
def viewer():
    viewer = ViewerModel()
    viewer.add_image(np.zeros(SHAPE), scale=(2, 1, 1), translate=(0, 10, 0))
    viewer.canvas.size = (100, 100)
    return viewer


def in_view(viewer):
    return box_in_view(viewer, placement_of(viewer.layers[0], ImageSettings()), SHAPE)


def test_nothing_is_in_view_where_all_layers_of_so_many_axes_are_gone(viewer):
    placement = placement_of(viewer.layers[0], ImageSettings())
    viewer.layers.clear()
    assert box_in_view(viewer, placement, SHAPE).size == 0


def test_the_slice_and_what_the_camera_spans(viewer):
    viewer.dims.set_point(0, 14.0)
    viewer.scene.camera.center = (60.0, 100.0)
    viewer.scene.camera.zoom = 5.0
    box = in_view(viewer)
    assert (box.start, box.stop) == ((7, 40, 90), (8, 61, 111))


def test_permuted_axes(viewer):
    viewer.dims.order = (1, 0, 2)
    viewer.dims.set_point(1, 35.0)
    viewer.scene.camera.zoom = 200.0
    viewer.scene.camera.center = (20.0, 50.0)
    box = in_view(viewer)
    assert (box.start, box.stop) == ((10, 25, 50), (11, 26, 51))


def test_everything_when_zoomed_out(viewer):
    viewer.scene.camera.zoom = 0.1
    assert in_view(viewer).shape == (1, 100, 200)


def test_all_slices_in_3d(viewer):
    viewer.dims.ndisplay = 3
    viewer.scene.camera.zoom = 0.1
    assert in_view(viewer).shape == SHAPE


def test_nothing_when_looking_elsewhere(viewer):
    viewer.scene.camera.center = (1e4, 1e4)
    viewer.scene.camera.zoom = 5.0
    assert in_view(viewer).size == 0


def test_a_layer_of_fewer_axes_than_the_viewer(viewer):
    viewer.add_image(np.zeros((3, *SHAPE)))
    viewer.dims.set_point(1, 14.0)
    viewer.scene.camera.zoom = 0.1
    assert in_view(viewer).start == (7, 0, 0)
