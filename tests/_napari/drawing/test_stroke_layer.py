"""Layers to paint on lie where the image does, and every change of them is known."""

import colorsys
from itertools import combinations

import numpy as np
import pytest
from napari.components import ViewerModel
from napari.layers import Image as ImageLayer

from napari_tileseg._napari.drawing.stroke_layer import PaintWatch, add_stroke_layer
from napari_tileseg._napari.images.image_place import placement_in
from napari_tileseg._napari.images.layer_image import image_of, placement_of_image
from napari_tileseg._napari.results.result_layers import class_options
from napari_tileseg.images.image import Image
from napari_tileseg.labels.sparse_array import SparseArray
from napari_tileseg.session.painting.class_colors import stroke_classes
from napari_tileseg.session.painting.record import StrokeClass
from napari_tileseg.settings import ImageSettings

CLASSES = (
    StrokeClass(value=1, name="foreground", color=(255, 0, 255)),
    StrokeClass(value=2, name="background", color=(200, 200, 200)),
)
SHAPE = (6, 40, 50)


@pytest.fixture
def viewer():
    viewer = ViewerModel()
    angle = np.deg2rad(30)
    turn = np.array([[1, 0, 0], [0, np.cos(angle), -np.sin(angle)], [0, np.sin(angle), np.cos(angle)]])
    layer = ImageLayer(
        [np.zeros(SHAPE, np.uint8), np.zeros((6, 20, 25), np.uint8)],
        name="image",
        multiscale=True,
        scale=(2, 0.5, 0.5),
        translate=(10, -3, 7),
        rotate=turn,
        shear=(0.1, 0, 0.2),
        affine=np.diag([1, 2, 2, 1.0]),
        units=("micrometer",) * 3,
        axis_labels=("z", "y", "x"),
    )
    viewer.add_layer(layer)
    return viewer


def new_layer(viewer, level=0):
    image = image_of(viewer.layers[0], ImageSettings(level=level))
    array = SparseArray(image.shape, (4, 16, 16), np.uint8)
    return add_stroke_layer(viewer, array, CLASSES, placement_in(viewer, image), "strokes")


@pytest.mark.parametrize("level", [0, 1])
def test_it_is_aligned_with_the_image_at_its_level(viewer, level):
    image, layer = viewer.layers[0], new_layer(viewer, level)
    assert not layer.multiscale
    assert (layer.units, layer.axis_labels) == (image.units, image.axis_labels)
    factors = np.array([1, 1, 1] if level == 0 else [1, 2, 2])
    corner = np.array([3, 12, 9])
    np.testing.assert_allclose(layer.data_to_world(corner), image.data_to_world(corner * factors))


def test_it_is_ready_to_paint_and_knows_its_classes(viewer):
    layer = new_layer(viewer)
    assert viewer.layers.selection.active is layer
    assert (layer.mode, layer.selected_label, layer.brush_size) == ("paint", 1, 3)
    np.testing.assert_allclose(layer.get_color(1), (1, 0, 1, 1))
    assert layer.get_color(0) is None
    assert list(layer.features["class"]) == ["not labelled", "foreground", "background"]


def every_way_to_paint(layer):
    yield lambda: layer.paint((2, 10, 10), 1)
    yield lambda: layer.paint((2, 14, 10), 2)
    yield lambda: layer.fill((2, 14, 10), 1)
    yield lambda: layer.paint_polygon(np.array([(3, 5, 5), (3, 5, 20), (3, 20, 20), (3, 20, 5)]), 2)
    yield layer.undo
    yield layer.undo
    yield layer.redo
    yield lambda: layer.data_setitem((np.array([0, 1]), np.array([0, 30]), np.array([49, 0])), 2)
    yield layer.undo


def test_all_that_is_painted_on_a_sparse_array_is_told_and_equals_numpy(viewer):
    sparse = new_layer(viewer)
    plain = viewer.add_labels(np.zeros(SHAPE, np.uint8))
    plain.brush_size = sparse.brush_size
    viewer.dims.set_point(0, sparse.data_to_world((3, 0, 0))[0])
    told = np.zeros(SHAPE, bool)

    def tell(box):
        told[box.slices] = True

    sparse.data.changed = tell
    for do, same in zip(every_way_to_paint(sparse), every_way_to_paint(plain), strict=True):
        before = np.asarray(sparse.data)
        told[:] = False
        do()
        same()
        np.testing.assert_array_equal(np.asarray(sparse.data), plain.data)
        assert told[before != np.asarray(sparse.data)].all()
    assert plain.data.any()


@pytest.fixture
def watched():
    """Show a plain layer, and note all that its watch tells."""
    viewer = ViewerModel()
    layer = viewer.add_labels(np.zeros(SHAPE, np.uint8))
    boxes, calls = [], []
    watch = PaintWatch(
        layer, boxes.append, lambda: calls.append("maybe changed"), lambda: calls.append("replaced")
    )
    return viewer, layer, watch, boxes, calls


def test_what_is_painted_on_a_plain_layer_is_followed(watched):
    _, layer, watch, boxes, calls = watched
    for do in (*every_way_to_paint(layer), layer.redo, layer.undo, layer.undo):
        before = layer.data.copy()
        boxes.clear()
        do()
        told = np.zeros(SHAPE, bool)
        for box in boxes:
            told[box.slices] = True
        assert (before != layer.data).any()
        assert told[before != layer.data].all()
    assert calls == []
    layer.data = np.ones(SHAPE, np.uint8)
    assert calls == ["replaced"]
    watch.close()
    boxes.clear()
    layer.paint((2, 10, 10), 2)
    assert not boxes


def test_looking_at_other_slices_reports_nothing(watched):
    viewer, layer, _, boxes, calls = watched
    layer.paint((2, 10, 10), 1)
    boxes.clear()
    for plane in range(SHAPE[0]):
        viewer.dims.set_point(0, plane)
    viewer.dims.ndisplay = 3
    viewer.dims.ndisplay = 2
    assert (boxes, calls) == ([], [])


def test_what_others_change_in_memory_is_reported_as_possibly_changed(watched):
    viewer, layer, _, _, calls = watched
    viewer.dims.set_point(0, 3)
    layer.data[3, 4, 5] = 2
    layer.refresh()
    assert calls == ["maybe changed"]


def test_background_is_not_painted_over_the_image():
    classes = (StrokeClass(value=0, name="background", color=(200, 200, 200)), *CLASSES[:1])
    place = placement_of_image(Image(np.zeros(SHAPE, np.uint8), "zyx"))
    layer = add_stroke_layer(ViewerModel(), np.zeros(SHAPE, np.uint8), classes, place, "classes")
    assert layer.get_color(0) is None
    assert layer.selected_label == 1
    assert list(layer.features["class"]) == ["background", "foreground"]


def hue_and_saturation(color):
    hue, saturation, _ = colorsys.rgb_to_hsv(*(part / 255 for part in color))
    return hue, saturation


@pytest.mark.parametrize("number", range(6))
def test_a_stroke_is_seen_on_its_own_class(number):
    names = tuple("abcdef")
    stroke = next(each for each in stroke_classes(names) if each.name == names[number])
    shown = ImageLayer(np.zeros((4, 4)), **class_options("cells", names[number], number))
    # Additive layers are darker where the class is less likely, but of the same hue.
    prediction = tuple(255 * shown.colormap.colors[-1][:3])
    (stroke_hue, _), (hue, _) = hue_and_saturation(stroke.color), hue_and_saturation(prediction)
    apart = abs(stroke_hue - hue)
    assert min(apart, 1 - apart) > 0.15 or hue_and_saturation(stroke.color)[1] < 0.4
    assert np.abs(np.subtract(stroke.color, prediction)).max() > 100


def test_strokes_of_different_classes_differ():
    colors = [each.color for each in stroke_classes(tuple("abcdef"))]
    apart = [np.abs(np.subtract(a, b)).sum() for a, b in combinations(colors, 2)]
    assert min(apart) > 100
