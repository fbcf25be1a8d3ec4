"""Dice, against an independent implementation."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from monai.losses import DiceLoss
from monai.metrics import compute_dice

from napari_tileseg.errors import SettingsError
from napari_tileseg.labels import both_empty, hard_dice, soft_dice


def _maps(seed: int, shape: tuple[int, ...]) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    first = rng.random(shape, np.float32)
    return first, np.clip(first + rng.normal(0, 0.2, shape), 0, 1).astype(np.float32)


shapes = st.lists(st.integers(1, 6), min_size=2, max_size=3).map(tuple)


@settings(max_examples=30)
@given(st.integers(0, 1000), shapes)
def test_soft_dice_is_monais_with_squared_terms(seed: int, shape: tuple[int, ...]) -> None:
    first, second = _maps(seed, shape)
    loss = DiceLoss(squared_pred=True, smooth_nr=0, smooth_dr=0)
    one, other = (torch.from_numpy(values).double()[None, None] for values in (first, second))
    assert soft_dice(first, second) == pytest.approx(1 - float(loss(one, other)), abs=1e-6)


@settings(max_examples=30)
@given(st.integers(0, 1000), shapes, st.sampled_from((0.3, 0.5, 0.7)))
def test_hard_dice_is_monais(seed: int, shape: tuple[int, ...], threshold: float) -> None:
    first, second = _maps(seed, shape)
    masks = [torch.from_numpy(values >= threshold).float()[None, None] for values in (first, second)]
    expected = float(compute_dice(*masks, ignore_empty=False))
    if not masks[1].any() and masks[0].any():
        expected = 0.0
    assert hard_dice(first, second, threshold) == pytest.approx(expected, abs=1e-6)


def test_a_map_agrees_with_itself_to_the_bit() -> None:
    values = _maps(0, (7, 9))[0]
    assert soft_dice(values, values) == 1
    assert hard_dice(values, values) == 1


def test_two_empty_masks_agree_and_can_be_told() -> None:
    zero, low, high = np.zeros((3, 4)), np.full((3, 4), 0.4), np.full((3, 4), 0.5)
    assert soft_dice(zero, zero) == hard_dice(zero, zero) == hard_dice(zero, low) == 1
    assert soft_dice(zero, low) == hard_dice(zero, high) == 0
    assert both_empty(zero, low)
    assert not both_empty(zero, high)


def test_shapes_that_differ_are_refused() -> None:
    with pytest.raises(SettingsError, match=r"one shape; got 3 and 4"):
        soft_dice(np.zeros(3), np.zeros(4))
