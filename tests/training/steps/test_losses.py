"""The loss against MONAI and plain formulas, on labelled voxels only."""

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from monai.losses import DiceLoss
from torch.nn import functional

from napari_tileseg.training.steps.losses import (
    balance,
    dice_loss,
    distillation_loss,
    entropy_of,
    loss_of,
    one_hot,
)


def example(seed: int = 0, labelled: float = 1.0):
    rng = np.random.default_rng(seed)
    logits = torch.from_numpy(rng.normal(size=(2, 3, 7, 5))).float()
    index = rng.integers(0, 3, (2, 7, 5))
    index[rng.random(index.shape) >= labelled] = -1
    return logits, torch.from_numpy(index)


@pytest.mark.parametrize("activation", ["sigmoid", "softmax"])
def test_dice_is_monais_where_all_is_labelled_alike(activation) -> None:
    logits, index = example()
    weights = torch.full(index.shape, 1 / 35)
    wanted = one_hot(index, 3).float()
    theirs = DiceLoss(**{activation: True}, squared_pred=True, smooth_nr=0, smooth_dr=0, reduction="none")(
        logits, wanted
    )
    assert dice_loss(logits, index, weights, activation).item() == pytest.approx(
        theirs.mean().item(), abs=1e-6
    )


def test_a_class_that_is_not_there_is_left_out() -> None:
    logits, index = example()
    index[index == 1] = 0
    weights = torch.full(index.shape, 1 / 35)
    without = dice_loss(logits[:, [0, 2]], torch.where(index == 2, 1, 0), weights, "sigmoid")
    torch.testing.assert_close(dice_loss(logits, index, weights, "sigmoid"), without)
    nothing = torch.full(index.shape, 3)
    assert dice_loss(logits, nothing, weights, "sigmoid") == 0


def test_entropies_are_those_of_torch() -> None:
    logits, index = example()
    softmax = functional.cross_entropy(logits, index, reduction="none")
    torch.testing.assert_close(entropy_of(logits, index, "softmax"), softmax)
    wanted = one_hot(index, 3).float()
    sigmoid = functional.binary_cross_entropy_with_logits(logits, wanted, reduction="none").mean(1)
    torch.testing.assert_close(entropy_of(logits, index, "sigmoid"), sigmoid)
    background = torch.full(index.shape, 3)
    assert not one_hot(background, 3).any()


@pytest.mark.parametrize("activation", ["sigmoid", "softmax"])
def test_voxels_that_are_not_labelled_have_no_part(activation) -> None:
    logits, index = example(labelled=0.4)
    weights = torch.stack([torch.from_numpy(balance(each, None)) for each in index.numpy()])
    logits.requires_grad_()
    loss, entropy = loss_of(logits, index, weights, activation)
    loss.backward()
    assert entropy.shape == index.shape
    assert not entropy.requires_grad
    unlabelled = (index < 0)[:, None].expand(logits.shape)
    assert (logits.grad[unlabelled] == 0).all()
    assert (logits.grad[~unlabelled] != 0).all()


@given(seed=st.integers(0, 100))
def test_classes_and_strokes_count_alike(seed) -> None:
    rng = np.random.default_rng(seed)
    strokes = rng.integers(0, 8, (9, 9))
    index = np.where(strokes == 0, -1, strokes % 3)
    weights = balance(index, strokes)
    present = np.unique(index[index >= 0])
    assert weights.sum() == pytest.approx(1)
    for number in present:
        mine = np.unique(strokes[index == number])
        for stroke in mine:
            assert weights[strokes == stroke].sum() == pytest.approx(1 / len(present) / len(mine), rel=1e-5)
    assert not weights[index < 0].any()
    assert balance(np.full((3, 3), -1), None).sum() == 0


@pytest.mark.parametrize("activation", ["sigmoid", "softmax"])
def test_saying_the_same_as_before_is_the_least_unlike(activation) -> None:
    logits, _ = example(labelled=0.3)
    said = torch.sigmoid(logits) if activation == "sigmoid" else torch.softmax(logits, 1)
    same = logits.clone().requires_grad_()
    least = distillation_loss(same, said, activation)
    least.backward()
    assert same.grad.abs().max() < 1e-6
    for change in (0.5, -0.5):
        assert distillation_loss(logits + change * torch.rand_like(logits), said, activation) > least


@pytest.mark.parametrize("activation", ["sigmoid", "softmax"])
def test_only_what_is_known_is_remembered(activation) -> None:
    logits, _ = example(labelled=0.3)
    said = torch.full_like(logits, 0.25)
    said[:, :, :3] = torch.nan
    logits.requires_grad_()
    distillation_loss(logits, said, activation).backward()
    counted = (torch.arange(7)[:, None] >= 3).expand(logits.shape)
    assert (logits.grad[~counted] == 0).all()
    assert (logits.grad[counted] != 0).all()
    nothing = distillation_loss(logits, torch.full_like(logits, torch.nan), activation)
    assert nothing.item() == 0
