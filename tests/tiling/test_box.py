"""Boxes, against masks of voxels."""

from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from napari_tileseg.errors import SettingsError
from napari_tileseg.tiling import Box

FRAME = Box((0, 0), (9, 9))


@st.composite
def boxes(draw: st.DrawFn) -> Box:
    """A box in the frame, perhaps empty."""
    ends = [sorted(draw(st.tuples(st.integers(0, 9), st.integers(0, 9)))) for _ in range(2)]
    return Box(tuple(a for a, _ in ends), tuple(b for _, b in ends))


def mask(box: Box) -> np.ndarray[Any, np.dtype[np.bool_]]:
    voxels = np.zeros(FRAME.shape, bool)
    voxels[box.slices] = True
    return voxels


@given(boxes(), boxes())
def test_boxes_are_sets_of_voxels(a: Box, b: Box) -> None:
    both = mask(a) & mask(b)
    assert (mask(a.clip(b)) == both).all()
    assert a.meets(b) == both.any()
    assert a.size == mask(a).sum()
    assert FRAME.contains(a)
    if b.size:
        assert a.contains(b) == (mask(a) | ~mask(b)).all()


@given(boxes(), boxes())
def test_a_clipped_box_lies_inside(a: Box, b: Box) -> None:
    assert b.contains(a.clip(b))
    assert a.clip(b).clip(b) == a.clip(b)


@given(boxes(), boxes())
def test_what_is_left_without_another_box_is_covered_once(a: Box, b: Box) -> None:
    parts = a.without(b)
    covered = sum((mask(part).astype(int) for part in parts), np.zeros(FRAME.shape, int))
    assert (covered == (mask(a) & ~mask(b))).all()


@given(boxes(), st.tuples(st.integers(-5, 5), st.integers(-5, 5)))
def test_growing_and_shifting(box: Box, offset: tuple[int, int]) -> None:
    assert box.shift(offset).shift(tuple(-n for n in offset)) == box
    assert box.shift(offset).shape == box.shape
    grown = box.grow(((1, 2), (0, 3)))
    assert grown.shape == (box.shape[0] + 3, box.shape[1] + 3)
    assert grown.contains(box)


@given(boxes(), boxes())
def test_slices_within_another_box(outer: Box, inner: Box) -> None:
    values = np.arange(81).reshape(9, 9)
    inner = inner.clip(outer)
    assert (values[outer.slices][inner.within(outer)] == values[inner.slices]).all()


def test_bad_boxes_are_refused() -> None:
    with pytest.raises(SettingsError, match="as many starts as stops"):
        Box((0,), (1, 2))
    with pytest.raises(SettingsError, match="must not stop before it starts"):
        Box((2,), (1,))
    with pytest.raises(SettingsError, match="does not lie inside"):
        Box((0,), (3,)).within(Box((1,), (5,)))
