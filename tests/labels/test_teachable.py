"""Labels from which nothing can be learned."""

import numpy as np
import pytest

from napari_tileseg.errors import ImageError
from napari_tileseg.labels import Targets, check_inside, check_teachable, read_targets
from napari_tileseg.settings import LabelSettings
from napari_tileseg.tiling import Box

SHAPE = (12, 16)
INSTANCES = LabelSettings(labels_kind="instances")
CLASSES = LabelSettings(labels_kind="classes")
STROKES = LabelSettings(labels_kind="strokes")


def at(value, *places, fill=0):
    """Labels with a value at some boxes."""
    labels = np.full(SHAPE, fill, np.uint8)
    for place in places:
        labels[place] = value
    return labels


def taught(labels, settings, classes=("foreground", "boundary")):
    targets = read_targets(labels, classes, settings, SHAPE)
    check_teachable([targets])
    return targets


@pytest.mark.parametrize(
    ("labels", "settings", "classes", "said"),
    [
        (at(0), INSTANCES, ("foreground", "boundary"), "hold no object"),
        (at(0).astype(bool), INSTANCES, ("foreground",), "hold no object"),
        (at(0), CLASSES, ("soma", "axon"), "hold no object"),
        (
            at(255, fill=255),
            LabelSettings(labels_kind="classes", map=((1, "soma"), (255, "background"))),
            ("soma",),
            "hold no object",
        ),
        (at(0), CLASSES, ("background", "soma"), "hold no object"),
        (at(5, fill=5), INSTANCES, ("foreground", "boundary"), "All that is labelled is foreground"),
        (at(2, fill=2), CLASSES, ("soma", "axon"), "All that is labelled is axon.*soma, background"),
        (at(1, fill=1), INSTANCES, ("background", "foreground"), "is foreground: nothing shows what is not"),
        (at(0), STROKES, ("soma", "axon"), "hold no stroke"),
        (at(3, (5, slice(2, 9))), STROKES, ("soma", "axon"), "All strokes are background"),
        (at(1, (5, slice(2, 9)), (8, slice(2, 9))), STROKES, ("soma",), "All strokes are soma"),
        (at(40, (5, slice(2, 9))), STROKES, ("soma",), "they hold 40, and none .* right labels"),
        (at(7, (2, 2)), CLASSES, ("soma",), "they hold 7, and none"),
        (at(200, (2, 2), fill=100), CLASSES, ("soma", "axon"), "they hold 100, 200, and none"),
    ],
)
def test_labels_that_teach_nothing_are_refused_in_words_of_what_is_missing(labels, settings, classes, said):
    with pytest.raises(ImageError, match=said):
        taught(labels, settings, classes)


@pytest.mark.parametrize(
    ("labels", "settings", "classes"),
    [
        (at(1, (slice(3, 7), slice(3, 7))), INSTANCES, ("foreground", "boundary")),
        (at(1, (5, 5)), INSTANCES, ("boundary",)),
        (at(1, (slice(0, 6), slice(None)), fill=2), CLASSES, ("soma", "axon")),
        (at(1, (0, 0)), CLASSES, ("soma",)),
        (at(1, (0, 0)) + at(3, (9, 9)), STROKES, ("soma", "axon")),
    ],
)
def test_a_little_is_enough(labels, settings, classes):
    taught(labels, settings, classes)


def test_of_several_images_one_may_be_empty_but_not_all():
    empty = read_targets(at(0), ("foreground", "boundary"), INSTANCES, SHAPE)
    some = read_targets(at(1, (slice(3, 7), slice(3, 7))), ("foreground", "boundary"), INSTANCES, SHAPE)
    check_teachable([empty, some])
    with pytest.raises(ImageError, match="hold no object"):
        check_teachable([empty, empty])


def test_targets_of_which_every_voxel_is_to_be_ignored_are_refused():
    with pytest.raises(ImageError, match="no voxel is labelled"):
        check_teachable([Targets(("soma",), np.full(SHAPE, -1, np.int8))])


@pytest.mark.parametrize("settings", [STROKES, INSTANCES, CLASSES])
@pytest.mark.parametrize(("box", "inside"), [(((0, 4), (0, 16)), False), (((4, 12), (2, 4)), True)])
def test_strokes_outside_of_the_box_are_refused(settings, box, inside):
    labels = at(1, (6, slice(2, 9))) + at(2, (9, slice(2, 9)))
    targets = read_targets(labels, ("foreground", "boundary"), settings, SHAPE)
    where = Box(*(tuple(side) for side in zip(*box, strict=True)))
    if inside or settings is not STROKES:
        # Where every voxel is labelled, each part of an image says something.
        check_inside(targets, where)
        return
    with pytest.raises(ImageError, match=r"outside of the box 0:4, 0:16"):
        check_inside(targets, where)
