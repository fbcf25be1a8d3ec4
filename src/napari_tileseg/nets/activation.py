"""From a network's output to probabilities."""

from __future__ import annotations

import torch

from napari_tileseg.nets.spec import Activation


def apply_activation(logits: torch.Tensor, activation: Activation) -> torch.Tensor:
    """Turn ``(batch, classes, *space)`` outputs of a network into probabilities.

    Parameters
    ----------
    logits : Tensor
        What the network gives.
    activation : {"none", "sigmoid", "softmax"}
        "sigmoid" for each class by itself, "softmax" over the classes, "none" where the network did so.

    Examples
    --------
    >>> apply_activation(torch.zeros(1, 2, 1), "softmax").flatten().tolist()
    [0.5, 0.5]
    """
    if activation == "sigmoid":
        return torch.sigmoid(logits)
    return torch.softmax(logits, dim=1) if activation == "softmax" else logits


def usual_activation(out_channels: int) -> Activation:
    """Return what follows a network of a registered architecture by default: these end without one."""
    return "sigmoid" if out_channels == 1 else "softmax"
