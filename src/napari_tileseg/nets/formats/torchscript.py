"""TorchScript: weights and code in one file, opened only on the user's word."""

from __future__ import annotations

import io

import torch
from torch import nn

from napari_tileseg.errors import NetworkError
from napari_tileseg.nets.formats.pickled import members


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
        module: nn.Module = torch.jit.load(  # type: ignore[no-untyped-call]
            io.BytesIO(data), map_location="cpu"
        )
    except (RuntimeError, ValueError) as error:
        raise NetworkError(
            f"{source} is not a complete TorchScript file ({str(error).splitlines()[0]}). Copy it again."
        ) from error
    return module.float()


def first_convolution(module: nn.Module) -> tuple[int, int] | None:
    """Spatial axes and channels in, as the first convolution's weight shows them, if there is one."""
    for parameter in module.parameters():
        if 3 <= parameter.dim() <= 5:
            return parameter.dim() - 2, int(parameter.shape[1])
    return None
