"""Strokes for training and strokes for validation."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from napari_tileseg.errors import SettingsError
from napari_tileseg.labels import Targets, read_targets
from napari_tileseg.settings import LabelSettings
from napari_tileseg.training.data.dataset import split_strokes

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


@given(seed=st.integers(0, 50), part=st.floats(0.01, 0.9))
def test_whole_strokes_are_held_out_of_each_class(seed: int, part: float) -> None:
    labels = painted(seed)
    targets = read_targets(labels, CLASSES, STROKES, labels.shape)
    split = split_strokes(targets, part, seed)
    assert split.held_out is not None
    both = np.stack([split.training.index, split.held_out.index])
    np.testing.assert_array_equal(both.max(axis=0), targets.index)
    assert not (both >= 0).all(axis=0).any()
    assert not np.intersect1d(split.training.strokes.values, split.held_out.strokes.values).size
    for number in range(3):
        strokes, held = (
            np.unique(each.strokes.values[each.index.values == number]) for each in (targets, split.held_out)
        )
        assert len(held) < len(strokes)
        assert len(held) >= (len(strokes) > 1)
    again = split_strokes(targets, part, seed)
    assert again.held_out.sha256() == split.held_out.sha256()


@st.composite
def strokes_and_more(draw) -> tuple[np.ndarray, np.ndarray]:
    """Labels with some strokes, and the same labels with more; no two strokes touch."""
    spots = draw(
        st.lists(st.tuples(st.integers(0, 9), st.integers(0, 9)), min_size=4, max_size=40, unique=True)
    )
    values = [1, 2, *draw(st.lists(st.integers(1, 3), min_size=len(spots) - 2, max_size=len(spots) - 2))]
    first = draw(st.integers(2, len(spots)))
    some, more = np.zeros((2, 20, 40), np.uint8)
    for number, ((y, x), value) in enumerate(zip(spots, values, strict=True)):
        length = draw(st.integers(1, 3))
        more[2 * y, 4 * x : 4 * x + length] = value
        if number < first:
            some[2 * y, 4 * x : 4 * x + length] = value
    return some, more


@given(drawn=strokes_and_more(), part=st.floats(0.01, 0.9), seed=st.integers(0, 9))
def test_painting_more_moves_no_stroke_to_the_other_side(drawn, part, seed) -> None:
    before, after = (
        split_strokes(read_targets(each, CLASSES, STROKES, each.shape), part, seed) for each in drawn
    )
    for number in range(3):
        for side in ("training", "held_out"):
            earlier = getattr(before, side)
            mine = earlier is not None and earlier.index.values == number
            # Where there is one stroke on a side, the least number may decide; of two, none changes sides.
            if earlier is not None and len(np.unique(earlier.strokes.values[mine])) > 1:
                later = getattr(after, side).index
                assert (np.asarray(later).reshape(-1)[earlier.index.places[mine]] == number).all()


def test_the_share_is_kept_to_and_the_same_in_every_process() -> None:
    labels = np.zeros((400, 8), np.uint8)
    labels[::2, 2:5] = np.arange(200)[:, None] % 2 + 1
    split = split_strokes(read_targets(labels, CLASSES, STROKES, labels.shape), 0.2)
    held = np.unique(split.held_out.voxels()[:, 0]) // 2
    assert 30 <= len(held) <= 50
    # Which ones follows from seed, class and first voxel alone.
    assert held[:6].tolist() == [8, 15, 17, 24, 40, 45]


def test_a_class_of_one_stroke_keeps_it_for_training_and_says_so() -> None:
    labels = np.zeros((9, 9), np.int32)
    labels[1, 1:5], labels[4, 1:5], labels[7, 1:5] = 1, 1, 2
    split = split_strokes(read_targets(labels, CLASSES, STROKES, labels.shape), 0.2)
    assert (split.training.index.values == 1).sum() == 4
    assert (split.held_out.index.values == 0).sum() == 4
    assert split.notes[0].startswith("axon has one stroke only")
    labels[1, 1:5] = 0
    lone = split_strokes(read_targets(labels, CLASSES, STROKES, labels.shape), 0.2)
    assert (lone.held_out, len(lone.notes)) == (None, 2)
    none = split_strokes(read_targets(labels, CLASSES, STROKES, labels.shape), 0.0)
    assert (none.held_out, none.notes) == (None, ())
    with pytest.raises(SettingsError, match="Only strokes are split"):
        split_strokes(Targets(CLASSES, np.zeros((2, 2), np.int8)), 0.2)
