"""What is painted on a large array takes room and time for itself, not for the array."""

import tracemalloc
from dataclasses import dataclass

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from skimage.measure import label as connected

from napari_tileseg.labels import read_targets
from napari_tileseg.labels.painted import connect, cut_labels, find_painted
from napari_tileseg.labels.sparse_array import SparseArray
from napari_tileseg.settings import LabelSettings
from napari_tileseg.tiling import Box
from napari_tileseg.training.data.dataset import split_strokes
from napari_tileseg.training.data.patch_source import Sampler

STROKES = LabelSettings(labels_kind="strokes")


def scattered(shape: tuple[int, ...], seed: int, share: float, values: int = 2) -> np.ndarray:
    """Voxels of a few values at random places."""
    rng = np.random.default_rng(seed)
    return (rng.integers(1, values + 1, shape) * (rng.random(shape) < share)).astype(np.int16)


@dataclass
class Stored:
    """An array that is read by slicing only, and says its chunks."""

    data: np.ndarray
    chunks: tuple

    @property
    def shape(self) -> tuple[int, ...]:
        return self.data.shape

    @property
    def dtype(self) -> np.dtype:
        return self.data.dtype

    def __getitem__(self, key: tuple[slice, ...]) -> np.ndarray:
        return self.data[key].copy()


def sparse(data: np.ndarray) -> SparseArray:
    """The same, kept in chunks."""
    kept = SparseArray(data.shape, (3,) * data.ndim, data.dtype)
    kept[...] = data
    return kept


@pytest.mark.parametrize(
    "kept_as",
    [np.asarray, sparse, lambda data: Stored(data, (2, 3, 4)), lambda data: Stored(data, ((2, 5),) * 3)],
)
def test_all_that_is_painted_is_found_wherever_it_is_kept(kept_as) -> None:
    data = scattered((7, 7, 9), 0, 0.2)
    found = find_painted(kept_as(data), at_once=50)
    np.testing.assert_array_equal(found, data)
    np.testing.assert_array_equal(found.places, np.flatnonzero(data))
    np.testing.assert_array_equal(found.voxels(), np.argwhere(data))


@given(data=st.data(), ndim=st.integers(1, 4), seed=st.integers(0, 20))
def test_any_box_of_it_is_that_of_the_whole(data, ndim, seed) -> None:
    shape = tuple(data.draw(st.integers(1, 6)) for _ in range(ndim))
    whole = scattered(shape, seed, 0.3)
    start = [data.draw(st.integers(0, n)) for n in shape]
    key = tuple(slice(a, data.draw(st.integers(a, n))) for a, n in zip(start, shape, strict=True))
    np.testing.assert_array_equal(find_painted(whole)[key], whole[key])


@given(
    shape=st.lists(st.integers(1, 9), min_size=1, max_size=3),
    seed=st.integers(0, 50),
    share=st.floats(0, 1),
)
def test_connected_are_voxels_of_one_value_that_touch_at_a_corner_at_least(shape, seed, share) -> None:
    whole = scattered(tuple(shape), seed, share)
    painted = find_painted(whole)
    ours = connect(painted)
    theirs = connected(whole, connectivity=whole.ndim).reshape(-1)[painted.places]
    pairs = np.unique(np.stack([ours, theirs]), axis=1)
    assert pairs.shape[1] == len(np.unique(theirs)) == ours.max(initial=0)
    # Numbered in the order of their first voxels.
    assert (np.diff(np.unique(ours, return_index=True)[1]) > 0).all()


def painted_volume(side: int) -> SparseArray:
    """A cube with a few strokes, far apart."""
    labels = SparseArray((side,) * 3, (1, 256, 256), np.uint8)
    for number in range(8):
        z, y = (number * side) // 8, (number * number * side) // 64
        labels[z, y, y : y + 100] = number % 2 + 1
    return labels


def peak(side: int) -> int:
    """Bytes that reading, splitting, hashing and drawing took at most."""
    labels = painted_volume(side)
    tracemalloc.start()
    try:
        targets = read_targets(labels, ("a",), STROKES, labels.shape)
        split = split_strokes(targets, 0.2)
        assert targets.sha256() != split.training.sha256()
        sampler = Sampler([split.training], [labels.shape], (32, 64, 64))
        for seed in range(5):
            _, box = sampler.draw((32, 64, 64), [((0, 0),) * 3], np.random.default_rng(seed))
            assert (cut_labels(split.training.index, box, box, -1) >= 0).any()
            assert cut_labels(split.training.strokes, box, box, 0).any()
        assert Box.of_shape(labels.shape).size == side**3
        return tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()


def test_memory_follows_what_is_painted_and_not_the_volume() -> None:
    small, large = peak(256), peak(4096)
    assert large < 2**23
    assert large < 1.5 * small
