"""The loss, on labelled voxels only."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor
from torch.nn import functional

from napari_tileseg._types import Array
from napari_tileseg.nets.activation import apply_activation
from napari_tileseg.nets.spec import Activation


def balance(index: Array, strokes: Array | None) -> npt.NDArray[np.float32]:
    """Return the weight of each voxel in the loss of a patch.

    Parameters
    ----------
    index : ndarray of int
        Class of each voxel; -1 is not labelled.
    strokes : ndarray of int, optional
        Stroke of each voxel. Without strokes, all labelled voxels count alike.

    Returns
    -------
    ndarray of float32
        Sums to 1, or is 0 where nothing is labelled: classes count alike, the strokes of a class count alike,
        and the voxels of a stroke count alike.

    Examples
    --------
    >>> balance(np.array([-1, 0, 0, 1]), np.array([0, 1, 2, 3])).tolist()
    [0.0, 0.25, 0.25, 0.5]
    """
    labelled = index >= 0
    weights = np.zeros(index.shape, np.float32)
    if not labelled.any():
        return weights
    if strokes is None:
        weights[labelled] = 1 / np.count_nonzero(labelled)
        return weights
    classes, stroke_of = index[labelled], strokes[labelled]
    pairs, which, counts = np.unique(
        np.stack([classes, stroke_of]), axis=1, return_inverse=True, return_counts=True
    )
    present, strokes_of_class = np.unique(pairs[0], return_counts=True)
    of_class = strokes_of_class[np.searchsorted(present, pairs[0])]
    weights[labelled] = (1 / (len(present) * of_class * counts))[which.reshape(-1)]
    return weights


def entropy_of(logits: Tensor, index: Tensor, activation: Activation) -> Tensor:
    """Return the cross-entropy of each voxel, ``(batch, *space)``: over all classes, or the mean of one each.

    Parameters
    ----------
    logits : Tensor
        ``(batch, classes, *space)``.
    index : Tensor of int64
        ``(batch, *space)``; voxels that are not labelled may hold anything.
    activation : {"sigmoid", "softmax"}
        What turns logits into probabilities.
    """
    if activation == "softmax":
        return functional.cross_entropy(logits, index.clamp(0, logits.shape[1] - 1), reduction="none")
    wanted = one_hot(index, logits.shape[1]).to(logits.dtype)
    return functional.binary_cross_entropy_with_logits(logits, wanted, reduction="none").mean(1)


def one_hot(index: Tensor, classes: int) -> Tensor:
    """Return whether each voxel is of each class: ``(batch, classes, *space)``, bool."""
    numbers = torch.arange(classes, device=index.device).reshape(1, -1, *(1,) * (index.dim() - 1))
    return index[:, None] == numbers


def dice_loss(logits: Tensor, index: Tensor, weights: Tensor, activation: Activation) -> Tensor:
    """Return 1 - Dice with squared denominators, the mean over the classes that are there; 0 if none is.

    Milletari et al. 2016 (arXiv 1606.04797), each voxel weighted. A class without a labelled voxel in a
    sample is left out of that sample's mean.
    """
    predicted = apply_activation(logits, activation).flatten(2)
    wanted = one_hot(index, logits.shape[1]).flatten(2).to(predicted.dtype)
    spread = weights.flatten(1)[:, None]
    overlap = (spread * predicted * wanted).sum(2)
    squares = (spread * predicted**2).sum(2) + (spread * wanted).sum(2)
    there = (spread * wanted).sum(2) > 0
    missed = torch.where(there, 1 - 2 * overlap / squares.clamp_min(1e-12), torch.zeros_like(overlap))
    return (missed.sum(1) / there.sum(1).clamp_min(1)).mean()


def loss_of(logits: Tensor, index: Tensor, weights: Tensor, activation: Activation) -> tuple[Tensor, Tensor]:
    """Return Dice loss and weighted cross-entropy together.

    Parameters
    ----------
    logits : Tensor
        ``(batch, classes, *space)``; computed with in float32.
    index : Tensor of int64
        ``(batch, *space)``: class of each voxel, the number of classes for none of them, -1 for not labelled.
    weights : Tensor
        ``(batch, *space)``, as `balance` gives; 0 where nothing is labelled.
    activation : {"sigmoid", "softmax"}
        What turns logits into probabilities.

    Returns
    -------
    loss : Tensor
        A number.
    entropy : Tensor
        Cross-entropy of each voxel, without gradient.
    """
    logits = logits.float()
    entropy = entropy_of(logits, index, activation)
    weighted = (entropy * weights).flatten(1).sum(1).mean()
    return weighted + dice_loss(logits, index, weights, activation), entropy.detach()


def distillation_loss(logits: Tensor, teacher: Tensor, activation: Activation) -> Tensor:
    """Return how far a network is from its teacher, where the teacher's probabilities are known.

    Cross-entropy to probabilities instead of labels ("learning without forgetting", Li and Hoiem 2016, arXiv
    1606.09282), and 1 - Dice of both, as the mean over the classes that the teacher gives anywhere.

    Parameters
    ----------
    logits, teacher : Tensor
        ``(batch, classes, *space)``: of the network, and probabilities of the teacher; NaN where they are not
        known, or something is labelled.
    activation : {"sigmoid", "softmax"}
        What turns logits into probabilities.

    Returns
    -------
    Tensor
        A number, the mean over the samples; 0 where no probabilities are known.
    """
    logits = logits.float()
    counted = ~teacher.isnan().any(1)
    spread = counted.flatten(1) / counted.flatten(1).sum(1, keepdim=True).clamp_min(1)
    before = teacher.nan_to_num().flatten(2)
    if activation == "softmax":
        entropy = -(before * functional.log_softmax(logits, 1).flatten(2)).sum(1)
    else:
        entropy = functional.binary_cross_entropy_with_logits(
            logits.flatten(2), before, reduction="none"
        ).mean(1)
    now, weights = apply_activation(logits, activation).flatten(2), spread[:, None]
    overlap = (weights * now * before).sum(2)
    there = (weights * before**2).sum(2)
    squares = (weights * now**2).sum(2) + there
    missed = torch.where(there > 0, 1 - 2 * overlap / squares.clamp_min(1e-12), torch.zeros_like(overlap))
    dice = missed.sum(1) / (there > 0).sum(1).clamp_min(1)
    return ((entropy * spread).sum(1) + dice).mean()
