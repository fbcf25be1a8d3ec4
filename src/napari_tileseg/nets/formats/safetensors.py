"""Safetensors: tensors and text, no code. Ours carries a description of the network in its metadata."""

from __future__ import annotations

import json
from pathlib import Path

import safetensors
import safetensors.torch
from torch import Tensor

from napari_tileseg._files import write_bytes
from napari_tileseg.errors import NetworkError, StoreError
from napari_tileseg.nets.formats.description import Description

#: Key of the description in the file's metadata.
KEY = "napari-tileseg network"
_LENGTH = 8


def recognises(data: bytes) -> bool:
    """Whether the bytes start as a safetensors file does: a header's length and a JSON object."""
    return len(data) > _LENGTH and data[_LENGTH : _LENGTH + 1] == b"{"


def load(data: bytes, source: str) -> tuple[dict[str, Tensor], Description | None]:
    """Tensors by name, and the description if the file carries one.

    Raises
    ------
    NetworkError
        If the file is cut off or its header is broken.
    """
    try:
        tensors = safetensors.torch.load(data)
    except (safetensors.SafetensorError, KeyError, ValueError, RuntimeError) as error:
        raise NetworkError(
            f"{source} is not a complete safetensors file ({error}; {len(data)} bytes came). "
            "Download or copy it again."
        ) from error
    length = int.from_bytes(data[:_LENGTH], "little")
    text = json.loads(data[_LENGTH : _LENGTH + length]).get("__metadata__", {}).get(KEY)
    return tensors, None if text is None else Description.from_json(text, source)


def save(tensors: dict[str, Tensor], description: Description, path: Path) -> None:
    """Write our own format, all or nothing; the same weights and description give the same bytes.

    Raises
    ------
    StoreError
        If the file cannot be written.
    """
    data = safetensors.torch.save(tensors, metadata={KEY: description.to_json()})
    try:
        write_bytes(path, data)
    except OSError as error:
        raise StoreError(
            f"The network could not be written to {path}: {error}. Choose another place or free some space."
        ) from error
