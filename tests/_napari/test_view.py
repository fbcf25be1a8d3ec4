"""What is in view, on a viewer without a window."""

import numpy as np
import pytest
from napari.components import ViewerModel

from napari_tileseg._napari.images.layer_image import placement_of
from napari_tileseg._napari.view import box_drawn, box_in_view, deepened
from napari_tileseg.settings import ImageSettings
from napari_tileseg.tiling import Box

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


def drawn(viewer):
    return box_drawn(viewer, placement_of(viewer.layers[0], ImageSettings()), SHAPE)


def rectangle(z, y, x):
    """Corners of a rectangle, in the world."""
    return np.array([[z, y[a], x[b]] for a, b in ((0, 0), (0, 1), (1, 1), (1, 0))], dtype=float)


def test_the_box_around_what_is_drawn(viewer):
    assert drawn(viewer) is None
    viewer.add_shapes([rectangle(14, (20.2, 39.8), (30, 50)), rectangle(20, (60, 70), (90, 120))])
    assert drawn(viewer) == Box((7, 10, 30), (11, 61, 121))
    viewer.layers[-1].selected_data = {0}
    assert drawn(viewer) == Box((7, 10, 30), (8, 31, 51))


def test_shapes_without_the_axis_of_slices_are_in_the_current_one(viewer):
    viewer.dims.set_point(0, 14.0)
    viewer.add_shapes([rectangle(0, (20, 40), (30, 50))[:, 1:]])
    assert drawn(viewer) == Box((7, 10, 30), (8, 31, 51))


def test_the_selected_layer_counts_before_the_last(viewer):
    first = viewer.add_shapes([rectangle(14, (20, 40), (30, 50))])
    viewer.add_shapes([rectangle(14, (60, 70), (30, 50))])
    viewer.layers.selection.active = first
    assert drawn(viewer).start == (7, 10, 30)


@pytest.mark.parametrize(("at", "expected"), [(10, (6, 14)), (1, (0, 8)), (19, (12, 20))])
def test_a_flat_box_becomes_as_deep_as_a_tile(at, expected):
    box = deepened(Box((3, at, 30), (4, at + 1, 50)), (5, 20, 100), (8, 64))
    assert tuple(zip(box.start, box.stop, strict=True)) == ((3, 4), expected, (30, 50))
    box = deepened(Box((at, 30), (at + 1, 50)), (20, 100), (8, 64))
    assert tuple(zip(box.start, box.stop, strict=True)) == (expected, (30, 50))
