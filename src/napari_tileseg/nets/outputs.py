"""What a network gives: one tensor, alone or as the only entry of a list or tuple."""

from __future__ import annotations

from typing import Any

import torch

from napari_tileseg._words import by_axis
from napari_tileseg.errors import NetworkError


def only_tensor(output: Any) -> torch.Tensor:
    """Return the one tensor that a network gives, bare or as the only entry of a list or tuple.

    Raises
    ------
    NetworkError
        If it gives anything else.
    """
    while isinstance(output, (list, tuple)) and len(output) == 1:
        output = output[0]
    if isinstance(output, torch.Tensor):
        return output
    raise NetworkError(
        "The network should give one tensor of (batch, classes, *space); it gives "
        f"{_named(output)}. Wrap it so that it gives its main output alone."
    )


def _named(output: Any) -> str:
    kind = type(output).__name__
    if isinstance(output, dict):
        return f"a {kind} of {len(output)} ({', '.join(map(str, output))})"
    if isinstance(output, (list, tuple)):
        shapes = (_shape_or_kind(each) for each in output)
        return f"a {kind} of {len(output)} ({', '.join(shapes)})"
    return f"a {kind}"


def _shape_or_kind(part: Any) -> str:
    if part is None:
        return "nothing"
    return by_axis(part.shape) if isinstance(part, torch.Tensor) else type(part).__name__
