"""From what values of labels mean to the class of each voxel."""

import sys

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from skimage.measure import label as connected

from napari_tileseg.errors import ImageError, SettingsError
from napari_tileseg.labels import Targets, classes_from_instances, read_targets, value_meanings
from napari_tileseg.settings import LabelSettings

CLASSES = ("soma", "axon")
STROKES = LabelSettings(labels_kind="strokes")


def painted(seed: int = 0, shape: tuple[int, ...] = (9, 20, 24), values: int = 3) -> np.ndarray:
    """Short lines of the values from 1 on, each in one slice."""
    rng = np.random.default_rng(seed)
    labels = np.zeros(shape, np.uint8)
    for value in range(1, values + 1):
        for _ in range(4):
            z, y, x = (int(rng.integers(n - 6)) if n > 6 else 0 for n in shape)
            labels[z, y, x : x + 5] = value
    return labels


def test_strokes_are_classes_where_painted_and_nothing_elsewhere() -> None:
    labels = painted()
    targets = read_targets(labels, CLASSES, STROKES, labels.shape)
    expected = np.choose(labels, [-1, 0, 1, 2])
    np.testing.assert_array_equal(targets.index, expected)
    assert targets.index.dtype == np.int8
    assert targets.names == ("soma", "axon", "background")
    np.testing.assert_array_equal(targets.masks(), [labels == 1, labels == 2])


@given(seed=st.integers(0, 50))
def test_strokes_are_connected_voxels_of_one_value(seed: int) -> None:
    labels = painted(seed)
    targets = read_targets(labels, CLASSES, STROKES, labels.shape)
    theirs = connected(labels, connectivity=labels.ndim)
    ours = np.asarray(targets.strokes)
    np.testing.assert_array_equal(ours > 0, theirs > 0)
    pairs = np.unique(np.stack([ours[ours > 0], theirs[ours > 0]]), axis=1)
    assert pairs.shape[1] == theirs.max() == ours.max()


def test_a_map_says_what_values_mean() -> None:
    labels = np.array([[0, 127, 127], [255, 9, 0]])
    settings = LabelSettings(labels_kind="strokes", map=((127, "axon"), (255, "soma"), (9, "background")))
    targets = read_targets(labels, CLASSES, settings, labels.shape)
    np.testing.assert_array_equal(targets.index, [[-1, 1, 1], [0, 2, -1]])


def test_dense_classes_say_something_of_every_voxel() -> None:
    labels = np.array([[0, 1, 2], [2, 7, 0]])
    settings = LabelSettings(labels_kind="classes", map=((1, "soma"), (2, "axon"), (7, "axon")))
    targets = read_targets(labels, CLASSES, settings, labels.shape)
    np.testing.assert_array_equal(targets.index, [[2, 0, 1], [1, 1, 2]])
    assert targets.strokes is None
    own = read_targets(
        labels,
        ("soma", "background"),
        LabelSettings(labels_kind="classes", map=((1, "soma"), (2, "background"), (7, "background"))),
        labels.shape,
    )
    np.testing.assert_array_equal(own.index, [[1, 0, 1], [1, 1, 1]])


def test_instances_become_boundary_foreground_and_background() -> None:
    labels = np.zeros((12, 12), int)
    labels[2:8, 2:8], labels[8:11, 2:8] = 4, 9
    settings = LabelSettings(labels_kind="instances")
    targets = read_targets(labels, ("boundary", "foreground"), settings, labels.shape)
    foreground, boundary = classes_from_instances(labels)
    np.testing.assert_array_equal(targets.masks(), [boundary, foreground])
    assert (targets.index[labels == 0] == 2).all()


def test_default_values_follow_the_networks_order() -> None:
    with_background = ("background", "nucleus")
    assert value_meanings(with_background, STROKES) == {1: "background", 2: "nucleus"}
    classes = LabelSettings(labels_kind="classes")
    assert value_meanings(CLASSES, classes) == {0: "background", 1: "soma", 2: "axon"}
    assert value_meanings(with_background, classes) == {0: "background", 1: "nucleus"}


@pytest.mark.parametrize(
    ("labels", "settings", "error", "said"),
    [
        (np.ones((4, 4), int), LabelSettings(), SettingsError, "strokes .* classes .* instances"),
        (np.ones((4, 5), int), STROKES, ImageError, r"shape of the image, 4 x 4; they have 4 x 5"),
        (np.ones((4, 4)), STROKES, ImageError, "whole numbers; they are float64"),
        (np.zeros((4, 4), int), STROKES, ImageError, "no stroke"),
        (np.eye(4, dtype=int), STROKES, ImageError, "All strokes are soma.*axon, background"),
        (np.diag([0, 1, 2, 9]), STROKES, ImageError, "0, 1, 2, 3 only; they also hold 9"),
        (np.diag([0, 1, 2, -1]), STROKES, ImageError, "also hold -1"),
        (
            np.eye(4, dtype=int),
            LabelSettings(labels_kind="strokes", map=((1, "som"),)),
            SettingsError,
            "got som",
        ),
        (
            np.eye(4, dtype=int),
            LabelSettings(labels_kind="strokes", map=((0, "soma"), (1, "axon"))),
            SettingsError,
            "0 is not labelled",
        ),
        (
            np.eye(4, dtype=int),
            LabelSettings(labels_kind="classes", map=((1, "soma"), (1, "axon"))),
            SettingsError,
            "1 has more",
        ),
        (
            np.eye(4, dtype=int),
            LabelSettings(labels_kind="instances", map=((1, "soma"),)),
            SettingsError,
            "Leave it out",
        ),
        (np.eye(4, dtype=int), LabelSettings(labels_kind="instances"), SettingsError, "the network has soma"),
    ],
)
def test_labels_that_mean_nothing_are_refused(labels, settings, error, said) -> None:
    with pytest.raises(error, match=said):
        read_targets(labels, CLASSES, settings, (4, 4))


def test_the_hash_tells_what_is_labelled() -> None:
    labels = painted()
    one, same = (read_targets(labels, CLASSES, STROKES, labels.shape) for _ in range(2))
    assert one.sha256() == same.sha256()
    labels[0, 0, 0] = 2
    assert read_targets(labels, CLASSES, STROKES, labels.shape).sha256() != one.sha256()


@pytest.mark.parametrize("kind", ["strokes", "classes"])
def test_labels_that_are_painted_on_meanwhile_are_read_as_they_were(kind, monkeypatch):
    labels = np.zeros((12, 14), np.uint8)
    labels[2:5, 3:6], labels[8, 4:9] = 1, 2
    settings = LabelSettings(labels_kind=kind)
    before = read_targets(labels.copy(), CLASSES, settings, labels.shape)

    def painted_after(function):
        def run(*args, **kwargs):
            found = function(*args, **kwargs)
            labels[...] = 9
            return found

        return run

    for place in ("numpy.nonzero", "napari_tileseg.labels.targets.check_values"):
        module, name = place.rsplit(".", 1)
        monkeypatch.setattr(place, painted_after(getattr(sys.modules[module], name)))
    after = read_targets(labels, CLASSES, settings, labels.shape)
    np.testing.assert_array_equal(np.asarray(after.index), np.asarray(before.index))
    assert (labels == 9).all()


@given(seed=st.integers(0, 99), cell=st.tuples(st.integers(1, 5), st.integers(2, 30), st.integers(2, 30)))
def test_boxes_are_around_what_each_part_has_of_the_labels(seed: int, cell: tuple[int, ...]) -> None:
    labels = painted(seed)
    strokes = read_targets(labels, CLASSES, STROKES, labels.shape)
    dense = Targets(CLASSES, np.asarray(strokes.index))
    boxes = list(strokes.boxes(cell))
    assert boxes == list(dense.boxes(cell))
    counted = np.zeros(labels.shape, int)
    for box in boxes:
        inside = labels[box.slices] > 0
        counted[box.slices] += inside
        for axis in range(3):
            planes = inside.any(axis=tuple({0, 1, 2} - {axis}))
            assert planes[0], "no plane at a side is empty"
            assert planes[-1]
        assert {tuple(a // n for a, n in zip(box.start, cell, strict=True))} == {
            tuple((b - 1) // n for b, n in zip(box.stop, cell, strict=True))
        }
    np.testing.assert_array_equal(counted, labels > 0)
