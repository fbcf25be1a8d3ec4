"""Pairs of tiles: where they lie, and which of their voxels are valid."""

from collections import Counter

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from napari_tileseg.diagnosis import plan_pairs
from napari_tileseg.diagnosis.pairs.pair_plan import LEAST_OVERLAP, PairPlan
from napari_tileseg.errors import ImageError, SettingsError
from napari_tileseg.tiling import Box, Lattice


def lattice(stride, halo, minimum, *, lead=0, fixed=False) -> Lattice:
    """Make the lattice of a network that needs no more context than is read."""
    return Lattice(stride=stride, halo=halo, default_halo=halo, minimum=minimum, fixed=fixed, lead=lead)


@st.composite
def plans(draw: st.DrawFn) -> tuple[PairPlan, tuple[int, ...], Box]:
    """Draw plans over padded images of 1 to 3 axes, the first one long enough for a pair."""
    stride, halo, shape, minimum = [], [], [], []
    shift = draw(st.integers(1, 40))
    for axis in range(draw(st.integers(1, 3))):
        step = draw(st.sampled_from((1, 2, 4, 8)))
        around = (draw(st.integers(0, 20)), draw(st.integers(0, 20)))
        least = draw(st.integers(1, 30))
        enough = 2 * max(shift, step) + sum(around) + LEAST_OVERLAP + least + 4 * step
        size = draw(st.integers(enough, enough + 90) if axis == 0 else st.integers(1, 120))
        stride.append(step)
        halo.append(around)
        minimum.append(least)
        shape.append(-(-max(size, least) // step) * step)
    padded = tuple(shape)
    plan = plan_pairs(padded, lattice(tuple(stride), tuple(halo), tuple(minimum)), shift=shift)
    return plan, padded, Box.of_shape(padded)


@settings(max_examples=40)
@given(plans())
def test_a_pair_is_one_shape_moved_along_one_axis_on_the_stride(drawn: tuple) -> None:
    plan, _, whole = drawn
    for pair in plan.pairs:
        moved = tuple(b - a for a, b in zip(pair.first.start, pair.second.start, strict=True))
        assert moved == tuple(s if axis == pair.axis else 0 for axis, s in enumerate(plan.shift))
        assert moved[pair.axis] > 0
        for tile in (pair.first, pair.second):
            assert tile.shape == plan.tile
            assert whole.contains(tile)
            assert not any(a % step for a, step in zip(tile.start, plan.stride, strict=True))
            assert not any(n % step for n, step in zip(tile.shape, plan.stride, strict=True))


@settings(max_examples=40)
@given(plans())
def test_valid_voxels_have_their_context_in_both_tiles_or_the_image_ends(drawn: tuple) -> None:
    plan, _, whole = drawn
    for pair in plan.pairs:
        assert pair.valid.size > 0
        assert pair.valid.shape[pair.axis] >= LEAST_OVERLAP
        for tile in (pair.first, pair.second):
            assert tile.contains(pair.valid.grow(plan.halo).clip(whole))


@settings(max_examples=40)
@given(plans())
def test_no_valid_voxel_is_left_out(drawn: tuple) -> None:
    plan, padded, _ = drawn
    for pair in plan.pairs:
        both = pair.first.clip(pair.second)
        for axis, (a, b) in enumerate(zip(both.start, both.stop, strict=True)):
            begins = a if a == 0 else a + plan.halo[axis][0]
            ends = b if b == padded[axis] else b - plan.halo[axis][1]
            assert (pair.valid.start[axis], pair.valid.stop[axis]) == (begins, ends)


@settings(max_examples=40)
@given(plans())
def test_pairs_are_different_and_reach_both_ends(drawn: tuple) -> None:
    plan, padded, _ = drawn
    assert len(set(plan.pairs)) == len(plan.pairs) == plan.total
    assert not plan.sampled
    for axis in {pair.axis for pair in plan.pairs}:
        mine = [pair for pair in plan.pairs if pair.axis == axis]
        for other, size in enumerate(padded):
            assert min(pair.first.start[other] for pair in mine) == 0
            assert max(pair.second.stop[other] for pair in mine) == size


@settings(max_examples=40)
@given(plans())
def test_an_axis_is_moved_along_or_the_plan_says_why_not(drawn: tuple) -> None:
    plan, padded, _ = drawn
    skipped = {name for name, _ in plan.skipped}
    moved = {plan.axes[pair.axis] for pair in plan.pairs}
    assert skipped | moved == set(plan.axes)
    assert not skipped & moved
    for name, why in plan.skipped:
        assert str(padded[plan.axes.index(name)]) in why


@settings(max_examples=40)
@given(plans(), st.integers(1, 12), st.integers(0, 3))
def test_a_sample_is_of_the_pairs_without_replacement_and_repeatable(
    drawn: tuple, sample: int, seed: int
) -> None:
    plan, padded, _ = drawn
    smallest = (1,) * len(padded)
    step = max(plan.shift)
    arguments = (padded, lattice(plan.stride, plan.halo, smallest))
    every = plan_pairs(*arguments, shift=step)
    some = plan_pairs(*arguments, shift=step, sample=sample, seed=seed)
    assert set(some.pairs) <= set(every.pairs)
    assert len(set(some.pairs)) == len(some.pairs) == min(sample, every.total)
    assert some.total == every.total
    assert some.sampled == (sample < every.total)
    assert some == plan_pairs(*arguments, shift=step, sample=sample, seed=seed)


def test_the_papers_pairs() -> None:
    plan = plan_pairs((256, 256), lattice((4, 4), ((20, 20),) * 2, (4, 4)))
    assert plan.shift == (64, 64)
    assert plan.tile == (120, 120)
    assert Counter(pair.axis for pair in plan.pairs) == {0: 3 * 4, 1: 4 * 3}
    assert plan.pairs[0].valid == Box((84, 0), (100, 100))


def test_a_shift_is_lowered_to_the_stride_and_not_below_it() -> None:
    assert plan_pairs((400,), lattice((24,), ((0, 0),), (1,))).shift == (48,)
    assert plan_pairs((400,), lattice((96,), ((0, 0),), (1,))).shift == (96,)


def test_a_short_axis_is_not_shifted_and_said_so() -> None:
    plan = plan_pairs((64, 256), lattice((4, 4), ((22, 22),) * 2, (4, 4)))
    assert {pair.axis for pair in plan.pairs} == {1}
    assert plan.tile == (64, 128)
    assert plan.shift == (0, 64)
    ((name, why),) = plan.skipped
    assert name == "y"
    assert why == "it has 64 voxels, and two tiles need 192"
    assert all(pair.valid.shape[0] == 64 for pair in plan.pairs)


def test_an_image_too_small_for_a_pair_is_refused_with_the_least_size() -> None:
    with pytest.raises(ImageError, match=r"y 192, x 192 voxels; it has y 188, x 64") as caught:
        plan_pairs((188, 64), lattice((4, 4), ((22, 22),) * 2, (4, 4)))
    assert "Take a larger image" in str(caught.value)
    plan_pairs((192, 64), lattice((4, 4), ((22, 22),) * 2, (4, 4)))


def test_a_box_is_covered_and_nothing_else_is_compared() -> None:
    box = Box((100, 90), (140, 230))
    plan = plan_pairs((400, 400), lattice((4, 4), ((8, 8),) * 2, (4, 4)), shift=16, box=box)
    seen = set()
    for pair in plan.pairs:
        assert box.contains(pair.valid)
        assert pair.valid.size
        if pair.axis == 0:
            seen |= set(range(pair.valid.start[0], pair.valid.stop[0]))
    assert seen == set(range(100, 140))


def test_a_box_at_the_border_has_no_pair_along_that_axis() -> None:
    with pytest.raises(ImageError, match="too near to the image's border"):
        plan_pairs((400,), lattice((4,), ((8, 8),), (4,)), shift=16, box=Box((0,), (20,)))


def test_longer_tiles_are_taken_where_there_is_room_and_clipped_where_not() -> None:
    plan = plan_pairs((100, 300), lattice((4, 4), ((8, 8),) * 2, (4, 4)), shift=16, tile=(128, 128))
    assert plan.tile == (84, 128)
    assert not plan.skipped


def test_leading_axes_are_tiles_of_one() -> None:
    plan = plan_pairs((3, 300), lattice((1, 4), ((0, 0), (8, 8)), (1, 4), lead=1), shift=16)
    assert plan.tile[0] == 1
    assert {pair.axis for pair in plan.pairs} == {1}
    assert {pair.first.start[0] for pair in plan.pairs} == {0, 1, 2}
    assert not plan.skipped


def test_a_fixed_read_lowers_the_shift() -> None:
    plan = plan_pairs((256,), lattice((16,), ((16, 16),), (96,), fixed=True))
    assert plan.tile == (96,)
    assert plan.shift == (48,)
    with pytest.raises(ImageError, match="at least this long"):
        plan_pairs((256,), lattice((16,), ((32, 32),), (64,), fixed=True))


@pytest.mark.parametrize(
    ("changed", "said"),
    [
        ({"shift": 0}, "1 or more; got 0"),
        ({"sample": 0}, "1 or more; got 64 and 0"),
        ({"box": Box((500,), (600,))}, "should hold voxels of the image"),
    ],
)
def test_what_cannot_work_is_refused(changed: dict, said: str) -> None:
    with pytest.raises(SettingsError, match=said):
        plan_pairs((400,), lattice((4,), ((8, 8),), (4,)), **changed)
