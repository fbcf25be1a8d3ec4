"""Dice against labels, per class and as the median over images."""

import dask.array as da
import numpy as np
import pytest
import torch
from monai.metrics import compute_dice

from napari_tileseg.diagnosis import ImageQuality, compare_with_labels, summarize
from napari_tileseg.diagnosis.measures.quality import masks_on
from napari_tileseg.errors import ImageError, SettingsError
from napari_tileseg.images.image import Image
from napari_tileseg.images.resample import resampled
from napari_tileseg.labels import class_masks, classes_from_instances, instance_masks
from napari_tileseg.samples import cells_image
from napari_tileseg.tiling import Box

CLASSES = ("foreground", "boundary")


def test_dice_is_monais_lazily_and_not() -> None:
    labels = cells_image((96, 128)).labels
    masks = instance_masks(labels, CLASSES, labels.shape)
    rng = np.random.default_rng(0)
    usual, trained = (np.clip(masks * 0.6 + rng.random(masks.shape) * 0.5, 0, 1) for _ in range(2))
    found = compare_with_labels(masks, da.from_array(usual, chunks=(2, 40, 50)), trained)
    for predicted, dice in ((usual, found.dice_eval), (trained, found.dice_train)):
        mine, theirs = (torch.from_numpy(each).float()[None] for each in (predicted >= 0.5, masks))
        assert dice == pytest.approx(compute_dice(mine, theirs)[0].tolist(), abs=1e-6)
    assert found == compare_with_labels(masks, usual, trained)
    assert compare_with_labels(masks, usual).dice_train is None


def test_objects_give_the_classes_in_the_networks_order() -> None:
    labels = cells_image((64, 64)).labels
    foreground, boundary = classes_from_instances(labels)
    masks = instance_masks(labels, ("boundary", "background", "foreground"), (64, 64))
    np.testing.assert_array_equal(masks, [boundary, labels == 0, foreground])
    assert (masks.sum(axis=0) == 1).all()


def test_values_give_the_classes() -> None:
    labels = np.array([[0, 3], [7, 3]])
    masks = class_masks(labels, CLASSES, {"foreground": 3, "boundary": 7}, (2, 2))
    np.testing.assert_array_equal(masks, [labels == 3, labels == 7])


def test_the_median_over_images_and_empty_ones_apart() -> None:
    empty = compare_with_labels(np.zeros((2, 4), bool), np.zeros((2, 4)), np.zeros((2, 4)))
    assert empty == ImageQuality((1.0, 1.0), (1.0, 1.0), (True, True))
    images = [ImageQuality((0.2, 0.4), (0.1, 0.3), (False, False)), empty]
    images.append(ImageQuality((0.5, 0.9), (0.4, 0.8), (False, False)))
    quality = summarize(images, CLASSES)
    assert quality.images == 3
    assert quality.classes[0].dice_eval == 0.5
    assert quality.classes[1].dice_train == 0.8
    assert [each.empty_images for each in quality.classes] == [1, 1]
    assert quality.as_dict()["classes"][0]["name"] == "foreground"
    with pytest.raises(SettingsError, match="one labelled image or more"):
        summarize([], CLASSES)


@pytest.mark.parametrize(
    ("labels", "said"),
    [
        (np.zeros((3, 4), int), r"shape of the image, 4 x 4; they have 3 x 4"),
        (np.zeros((4, 4)), "whole numbers; they are float64"),
        (np.diag([0, 1, 2, 9]), "hold 0, 1, 2 only; they also hold 9"),
        (np.arange(16).reshape(4, 4), "3, 4, 5, 6, 7 and 8 more"),
    ],
)
def test_labels_that_do_not_fit_are_refused(labels: np.ndarray, said: str) -> None:
    with pytest.raises(ImageError, match=said):
        class_masks(labels, CLASSES, {"foreground": 1, "boundary": 2}, (4, 4))


def test_classes_without_labels_are_refused() -> None:
    labels = np.zeros((4, 4), int)
    with pytest.raises(SettingsError, match="boundary has none"):
        class_masks(labels, CLASSES, {"foreground": 1}, (4, 4))
    with pytest.raises(SettingsError, match="the network has membrane"):
        instance_masks(labels, ("foreground", "membrane"), (4, 4))
    with pytest.raises(ImageError, match="numbered from 1"):
        instance_masks(labels - 1, CLASSES, (4, 4))
    with pytest.raises(ImageError, match="should have one shape"):
        compare_with_labels(np.zeros((2, 4), bool), np.zeros((2, 5)))


@pytest.mark.parametrize("axes", ["yx", "zyx", "tyx"])
@pytest.mark.parametrize("size", [0.5, 0.7, 1.0, 1.3, 3.0])
def test_masks_follow_the_image_to_another_voxel_size(axes, size):
    shape = (3, 20, 31)[-len(axes) :]
    labels = Image(np.random.default_rng(0).integers(0, 2, shape).astype(np.uint8), axes, name="labels")
    spatial = [axis for axis in axes if axis != "t"]
    other = resampled(labels, [size if axis != "z" else 1.0 for axis in spatial], "nearest")
    expected = other.read(Box.of_shape(other.shape)).astype(bool)
    masks = np.asarray(labels.data, bool)[None]
    np.testing.assert_array_equal(masks_on(masks, labels, other), expected)
