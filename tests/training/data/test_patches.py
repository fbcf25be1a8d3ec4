"""Where patches lie, what they hold, and how they are seen in another way."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from napari_tileseg.errors import SettingsError
from napari_tileseg.labels.painted import cut_labels
from napari_tileseg.tiling import Box, Lattice
from napari_tileseg.training.data.augmentation import move, relight, turnable
from napari_tileseg.training.data.block_cache import BlockCache
from napari_tileseg.training.data.patch_source import Sampler
from napari_tileseg.training.data.patches import (
    VOXELS,
    choose_patch,
    context_of,
    counting,
    smaller_patch,
)

LATTICE = Lattice((4, 4, 4), ((22, 22),) * 3, ((22, 22),) * 3, (8, 8, 8), fixed=False, lead=0)


@given(
    room=st.tuples(*[st.integers(2, 100)] * 3),
    size=st.tuples(*[st.floats(0.1, 5)] * 3),
    lead=st.integers(0, 1),
)
def test_a_patch_is_a_shape_that_the_network_takes_and_the_image_has(room, size, lead) -> None:
    room = tuple(4 * n for n in room)
    own = 3 - lead
    halo = ((0, 0),) * lead + ((22, 22),) * own
    lattice = Lattice((1,) * lead + (4,) * own, None, halo, (1,) * lead + (8,) * own, False, lead)
    patch = choose_patch(lattice, room, size)
    assert all(8 <= n <= most and n % 4 == 0 for n, most in zip(patch[lead:], room[lead:], strict=True))
    assert patch[:lead] == (1,) * lead
    assert np.prod(patch) <= 8 * VOXELS[3 - lead]


def test_a_patch_is_about_as_long_as_wide() -> None:
    patch = choose_patch(LATTICE, (400, 400, 400), (2.0, 0.5, 0.5))
    assert patch == (20, 80, 80)
    assert choose_patch(LATTICE, (8, 400, 400), (1.0, 1.0, 1.0)) == (8, 128, 128)
    assert choose_patch(LATTICE, (8, 400, 400), (1.0, 1.0, 1.0), (16, 32, 32)) == (8, 32, 32)
    fixed = Lattice((4, 4), None, ((2, 2),) * 2, (16, 16), fixed=True, lead=0)
    assert choose_patch(fixed, (64, 64), (1.0, 1.0)) == (16, 16)


@pytest.mark.parametrize("asked", [(16, 32), (16, 32, 30), (4, 32, 32), (1, 16, 32, 32)])
def test_other_patches_are_refused(asked) -> None:
    with pytest.raises(SettingsError, match="multiples of"):
        choose_patch(LATTICE, (40, 400, 400), (1.0, 1.0, 1.0), asked)


def test_patches_are_halved_until_they_cannot_be() -> None:
    patch, seen = (16, 32, 32), []
    while patch:
        seen.append(patch)
        patch = smaller_patch(patch, LATTICE)
    assert seen[1] == (16, 16, 32)
    assert seen[-1] == (8, 8, 8)


@given(start=st.integers(0, 60), length=st.integers(8, 40))
def test_only_voxels_with_their_context_count_but_at_the_images_border(start, length) -> None:
    box = Box((start,), (start + length,))
    context = context_of(box.shape, ((5, 30),), dense=False)
    assert context == ((min(5, length // 4), length // 4),)
    part = counting(box, context, (100,))
    assert part.start[0] == (0 if start == 0 else start + context[0][0])
    assert part.stop[0] == (100 if start + length == 100 else start + length - context[0][1])
    values = np.arange(70)
    cut = cut_labels(values, box, part, -1)
    inside = np.arange(start, start + length)
    kept = (inside >= part.start[0]) & (inside < part.stop[0]) & (inside < 70)
    np.testing.assert_array_equal(cut, np.where(kept, inside, -1))


@pytest.mark.parametrize("labels", ["strokes", "dense"])
def test_every_patch_holds_what_it_was_drawn_for(labels, request) -> None:
    targets = request.getfixturevalue(labels)
    sampler = Sampler([targets, targets], [(112, 128), (112, 128)], (32, 32))
    rng = np.random.default_rng(0)
    context = [context_of((32, 32), ((9, 9), (9, 9)), dense=labels == "dense")] * 2
    images = set()
    for _ in range(200):
        number, box = sampler.draw((32, 32), context, rng)
        unit = sampler.units[number]
        images.add(unit.image)
        assert Box.of_shape((112, 128)).contains(box)
        part = counting(box, context[0], (112, 128))
        index = cut_labels(targets.index, box, part, -1)
        assert (index >= 0).any()
        if labels == "strokes":
            assert (cut_labels(targets.strokes, box, part, 0) == unit.stroke).any()
    assert images == {0, 1}


def test_patches_come_from_all_classes_alike_and_more_often_from_where_it_is_wrong(strokes) -> None:
    sampler = Sampler([strokes], [(112, 128)], (32, 32))
    classes = np.array([unit.group for unit in sampler.units])
    context, rng = [((0, 0), (0, 0))], np.random.default_rng(0)

    def drawn(count: int = 1500) -> np.ndarray:
        units = [sampler.draw((32, 32), context, rng)[0] for _ in range(count)]
        return np.bincount(units, minlength=len(classes))

    before = drawn()
    shares = [before[classes == number].sum() / before.sum() for number in range(3)]
    assert shares == pytest.approx([1 / 3] * 3, abs=0.05)
    corner = (slice(0, 32), slice(0, 32))
    index, numbers = strokes.index[corner], strokes.strokes[corner]
    worst = int(np.flatnonzero(np.isin([u.stroke for u in sampler.units], numbers[numbers > 0]))[0])
    for _ in range(40):
        entropy = np.where(numbers == sampler.units[worst].stroke, 30.0, 0.1)
        sampler.learn(worst, entropy, numbers, index)
    after = drawn()
    assert after[worst] > 2.5 * before[worst]
    assert after.min() > 0


def test_kept_blocks_are_the_prepared_image(plan) -> None:
    blocks = BlockCache(plan.prepared, budget=4 * 256 * 256 * 2)
    rng = np.random.default_rng(0)
    for _ in range(20):
        start = rng.integers(0, 80, 2)
        box = Box(tuple(map(int, start)), tuple(map(int, start + rng.integers(1, 32, 2))))
        np.testing.assert_array_equal(blocks.read(box), plan.prepared.read(box))


def test_image_and_labels_are_moved_alike() -> None:
    rng = np.random.default_rng(0)
    values = np.arange(4 * 6 * 6).reshape(4, 6, 6)
    seen = set()
    for _ in range(300):
        image, labels = move([values[None], values], 3, ((1, 2),), rng)
        np.testing.assert_array_equal(image[0], labels)
        assert sorted(labels.ravel()) == sorted(values.ravel())
        seen.add(labels.tobytes())
    # Two along z, and the eight symmetries of a square.
    assert len(seen) == 16
    assert turnable((1.0, 1.0, 1.0), (8, 8, 8)) == ((0, 1), (0, 2), (1, 2))
    assert turnable((2.0, 1.0, 1.0), (8, 8, 4)) == ()


@pytest.mark.parametrize(("kind", "ends"), [("quantiles", (0, 1)), ("tile", (0, 1)), ("none", (0, 5000))])
def test_light_varies_and_stays_in_its_range(kind, ends) -> None:
    values = np.linspace(0, 1 if ends[1] == 1 else 3000, 100).astype(np.float32)
    lit = [relight(values, kind, np.random.default_rng(seed)) for seed in range(20)]
    assert len({each.tobytes() for each in lit}) == 20
    for each in lit:
        assert each.dtype == np.float32
        assert ends[0] <= each.min()
        assert each.max() <= ends[1]
        assert (np.diff(each) >= 0).all()
