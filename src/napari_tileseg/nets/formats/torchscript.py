"""TorchScript: weights and code in one file, opened only on the user's word."""

from __future__ import annotations

import io

import torch
from torch import nn

from napari_tileseg.errors import NetworkError
from napari_tileseg.nets.formats.pickled import members

_PROBES = (64, 32, 128, 96, 256)


def recognises(data: bytes) -> bool:
    """Whether the bytes are a zip file with TorchScript's constants in it."""
    return any(name.endswith("/constants.pkl") for name in members(data))


def load(data: bytes, source: str) -> nn.Module:
    """Open a file whose code is trusted.

    Raises
    ------
    NetworkError
        If it is cut off or broken.
    """
    try:
        module: nn.Module = torch.jit.load(io.BytesIO(data), map_location="cpu")
    except (RuntimeError, ValueError) as error:
        raise NetworkError(
            f"{source} is not a complete TorchScript file ({str(error).splitlines()[0]}). Copy it again."
        ) from error
    return module.float()


def first_convolution(module: nn.Module) -> tuple[int, int] | None:
    """Spatial axes and channels in of the first convolution, as its weight shows them; None if there is none."""
    for parameter in module.parameters():
        if 3 <= parameter.dim() <= 5:
            return parameter.dim() - 2, int(parameter.shape[1])
    return None
