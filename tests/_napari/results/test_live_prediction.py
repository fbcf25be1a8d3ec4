"""A prediction in training stands in for the stored one, and gives its place back."""

import numpy as np
import pytest
from napari.components import ViewerModel
from napari.layers import Image as ImageLayer

from napari_tileseg._napari.images.layer_image import image_of, placement_of
from napari_tileseg._napari.results.live_prediction import LivePrediction
from napari_tileseg._napari.results.result_layers import class_options
from napari_tileseg.labels.sparse_array import SparseArray
from napari_tileseg.settings import ImageSettings

CLASSES = ("foreground", "background")


@pytest.fixture
def viewer():
    viewer = ViewerModel()
    viewer.add_layer(ImageLayer(np.zeros((20, 30)), name="cells", scale=(0.5, 0.5)))
    viewer.add_layer(ImageLayer(np.zeros((20, 30)), **class_options("cells", "foreground", 0)))
    viewer.add_labels(np.zeros((20, 30), np.uint8), name="strokes")
    return viewer


@pytest.fixture
def arrays():
    return [SparseArray((2, 20, 30), (1, 8, 8), np.float32, fill=np.nan) for _ in range(2)]


@pytest.fixture
def live(viewer, arrays):
    live = LivePrediction(viewer)
    layer = viewer.layers["cells"]
    assert image_of(layer, ImageSettings()).shape == (20, 30)
    live.open(*arrays, "cells", CLASSES, placement_of(layer, ImageSettings()))
    return live


def test_it_lies_between_images_and_labels_and_leaves_the_selection(viewer, live):
    names = [layer.name for layer in viewer.layers]
    assert names == [
        "cells",
        "foreground of cells",
        "live foreground of cells",
        "live background of cells",
        "strokes",
    ]
    assert viewer.layers.selection.active.name == "strokes"
    assert not viewer.layers["live background of cells"].visible
    np.testing.assert_array_equal(viewer.layers["live foreground of cells"].scale, (0.5, 0.5))
    assert live.layers


def test_the_stored_one_goes_when_something_comes_and_returns_at_the_end(viewer, live, arrays):
    stored = viewer.layers["foreground of cells"]
    assert stored.visible
    arrays[1][0, :8, :8] = 0.75
    live.refresh()
    assert not stored.visible
    live.show(False)
    assert stored.visible
    live.show(True)
    live.remove()
    assert stored.visible
    assert [layer.name for layer in viewer.layers] == ["cells", "foreground of cells", "strokes"]


def test_one_can_look_back(viewer, live, arrays):
    arrays[0][0, :8, :8] = 0.25
    arrays[1][0, :8, :8] = 0.75
    data = viewer.layers["live foreground of cells"].data
    assert data[0, 0] == 0.75
    live.show_before(True)
    assert data[0, 0] == 0.25
    assert np.isnan(data[10, 10])
    live.show_before(False)
    assert data[0, 0] == 0.75


def test_what_was_predicted_already_is_shown_at_once_when_it_is_opened_again(viewer, live, arrays):
    stored = viewer.layers["foreground of cells"]
    arrays[1][0, :8, :8] = 0.75
    live.remove()
    assert stored.visible
    layer = viewer.layers["cells"]
    live.open(*arrays, "cells", CLASSES, placement_of(layer, ImageSettings()))
    assert not stored.visible


def test_it_takes_the_place_of_the_stored_one_when_it_is_shown_again(viewer, live, arrays):
    live.show(False)
    arrays[1][0, :8, :8] = 0.75
    live.refresh()
    assert viewer.layers["foreground of cells"].visible
    live.show(True)
    assert not viewer.layers["foreground of cells"].visible


def test_what_the_user_does_to_a_live_layer_stays_also_in_the_next_training(viewer, live, arrays):
    foreground, background = live.layers
    foreground.name, foreground.colormap, foreground.visible = "mine background", "viridis", False
    background.visible, background.opacity = True, 0.25
    live.show(False)
    live.show(True)
    assert (foreground.visible, background.visible) == (False, True)
    live.remove()
    layer = viewer.layers["cells"]
    live.open(*arrays, "cells", CLASSES, placement_of(layer, ImageSettings()))
    assert [each.visible for each in live.layers] == [False, True]
    assert (live.layers[0].colormap.name, live.layers[1].opacity) == ("viridis", 0.25)
    del viewer.layers[live.layers[1].name]
    live.show(False)
    live.show(True)
    assert len(live.layers) == 1


def test_stored_layers_that_the_user_hid_stay_hidden_after_a_training(viewer, live, arrays):
    stored = viewer.layers["foreground of cells"]
    stored.visible = False
    arrays[1][0, :8, :8] = 0.75
    live.refresh()
    live.show(False)
    live.remove()
    assert not stored.visible
