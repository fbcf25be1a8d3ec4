"""Placement is what napari itself computes, for any layer."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from napari.layers import Image as ImageLayer

from napari_tileseg._napari.image_layers import layer_options
from napari_tileseg._napari.images.layer_image import image_of, placement_beside, placement_of
from napari_tileseg._napari.images.placement import Placement, axes_of
from napari_tileseg.images.image import Image
from napari_tileseg.settings import ImageSettings

# napari says so of the layers that are turned out of the slice on purpose here.
pytestmark = pytest.mark.filterwarnings("ignore:Non-orthogonal slicing:UserWarning")


def turned_layer(seed: int, channel: bool = False) -> ImageLayer:
    """Make a layer with every kind of transform there is."""
    rng = np.random.default_rng(seed)
    affine = np.eye(4)
    affine[:3] += rng.normal(0, 0.2, (3, 4))
    image = Image(
        data=np.zeros((2, 5, 6, 7) if channel else (5, 6, 7), np.uint8),
        axes="czyx" if channel else "zyx",
        voxel_size=tuple(rng.uniform(0.3, 2, 3)),
        translation=tuple(rng.normal(0, 5, 3)),
        units=("micrometer",) * 3,
        affine=tuple(map(tuple, affine)),
    )
    layer = ImageLayer(image.data, **layer_options(image))
    if not channel:
        layer.rotate = tuple(rng.uniform(-40, 40, 3))
        layer.shear = rng.uniform(-0.3, 0.3, 3)
    return layer


@given(st.integers(0, 1000), st.lists(st.integers(0, 4), min_size=3, max_size=3))
@settings(max_examples=20)
def test_voxels_lie_where_napari_puts_them(seed, voxel):
    layer = turned_layer(seed)
    placement = Placement.of_layer(layer, (0, 1, 2))
    world = placement.to_world @ np.append(voxel, 1.0)
    np.testing.assert_allclose(world[:-1], layer.data_to_world(voxel), atol=1e-9)


@given(st.integers(0, 1000))
@settings(max_examples=20)
def test_a_result_carries_all_spatial_metadata_exactly(seed):
    layer = turned_layer(seed)
    result = ImageLayer(np.zeros((5, 6, 7)), **Placement.of_layer(layer, (0, 1, 2)).as_layer())
    for name in ("scale", "translate", "rotate", "shear"):
        np.testing.assert_allclose(getattr(result, name), getattr(layer, name), atol=1e-12, err_msg=name)
    np.testing.assert_array_equal(result.affine.affine_matrix, layer.affine.affine_matrix)
    assert (result.units, result.axis_labels) == (layer.units, layer.axis_labels)


@given(st.integers(0, 1000))
@settings(max_examples=20)
def test_an_image_says_the_same_place_as_its_layer(seed):
    layer = turned_layer(seed)
    image = image_of(layer, ImageSettings())
    voxel = np.array([1.0, 2.0, 3.0])
    placed = np.append(voxel * image.voxel_size + image.translation, 1.0)
    world = np.asarray(image.affine) @ placed
    np.testing.assert_allclose(world[:-1], layer.data_to_world(voxel), atol=1e-9)


def test_a_channel_axis_is_left_out():
    layer = turned_layer(3, channel=True)
    placement = placement_of(layer, ImageSettings(axes="czyx"))
    world = placement.to_world @ (1, 2, 3, 1)
    np.testing.assert_allclose(world[:-1], layer.data_to_world((0, 1, 2, 3))[1:], atol=1e-9)
    assert placement.world_axes == (-3, -2, -1)
    assert placement.axis_labels == ("z", "y", "x")


def test_a_level_lies_where_napari_draws_it():
    data = [np.zeros((8, 64, 64)), np.zeros((8, 32, 32)), np.zeros((8, 16, 16))]
    layer = ImageLayer(data, scale=(2, 0.5, 0.5), translate=(1, 2, 3), multiscale=True)
    image = image_of(layer, ImageSettings(level=2))
    assert image.shape == (8, 16, 16)
    assert image.voxel_size == (2.0, 2.0, 2.0)
    assert image.translation == (1.0, 2.0, 3.0)


def test_a_box_of_a_turned_image_is_shifted_along_its_own_axes():
    layer = turned_layer(5)
    image = image_of(layer, ImageSettings())
    start = tuple(t + 2 * s for t, s in zip(image.translation, image.voxel_size, strict=True))
    part = Image(
        data=np.zeros((3, 3, 3)),
        axes="zyx",
        voxel_size=image.voxel_size,
        translation=start,
        units=image.units,
    )
    placement = placement_beside(placement_of(layer, ImageSettings()), image, part)
    np.testing.assert_allclose(placement.to_world[:-1, -1], layer.data_to_world((2, 2, 2)), atol=1e-9)


@pytest.mark.parametrize(
    ("shape", "labels", "rgb", "axes"),
    [
        ((4, 4), None, False, "yx"),
        ((4, 4, 4), None, False, "zyx"),
        ((4, 4, 4), ("time", "y", "x"), False, "tyx"),
        ((2, 4, 4, 4), ("c", "z", "y", "x"), False, "czyx"),
        ((2, 4, 4, 4), None, False, "czyx"),
        ((40, 40, 3), None, True, "yxc"),
        ((4, 4), ("a", "b"), False, "yx"),
    ],
)
def test_axes_are_named_by_labels_or_by_the_usual_order(shape, labels, rgb, axes):
    layer = ImageLayer(np.zeros(shape, np.uint8), axis_labels=labels, rgb=rgb)
    assert axes_of(layer) == axes
