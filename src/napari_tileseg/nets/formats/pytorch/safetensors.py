"""Safetensors: tensors and text, no code. Ours carries a description of the network in its metadata."""

from __future__ import annotations

import json
from contextlib import AbstractContextManager
from pathlib import Path

import safetensors.torch
import torch
from torch import Tensor

from napari_tileseg._files import write_bytes
from napari_tileseg.errors import NetworkError, StoreError, answering
from napari_tileseg.nets.formats.candidate import Candidate, Given
from napari_tileseg.nets.formats.description import Description
from napari_tileseg.nets.formats.packages.content import Content
from napari_tileseg.nets.formats.packages.package import Package
from napari_tileseg.nets.formats.pytorch.state_dicts import Reader, chosen_weights

#: Key of the description in the file's metadata.
KEY = "napari-tileseg network"
_LENGTH = 8
#: Bytes of a header, which has some hundred for each tensor, and tensors.
_LARGEST_HEADER, _MOST_TENSORS = 2**23, 2**16


def recognises(package: Package) -> bool:
    """Return whether a file begins like a safetensors file: a header's length and a JSON object."""
    return package.file is not None and is_one(package.file)


def is_one(content: Content) -> bool:
    """Return whether a file begins like a safetensors file: a header's length and a JSON object."""
    return content.head[_LENGTH : _LENGTH + 1] == b"{"


def read(package: Package, given: Given) -> Candidate:
    """Return the network whose weights a chosen file holds, by its own description or another.

    Raises
    ------
    NetworkError
        If the file is broken, is not described or described twice, or does not fit.
    """
    return chosen_weights(package, given, READER)


def structure(content: Content) -> tuple[dict[str, Tensor], Description | None]:
    """Return tensors by name, with shapes but no memory, and the description if the file has one.

    Raises
    ------
    NetworkError
        If the header is broken, or states more than the file can hold.
    """
    with _whole(content):
        length = int.from_bytes(content.head[:_LENGTH], "little")
        if length > min(_LARGEST_HEADER, content.size - _LENGTH):
            raise ValueError(f"its header has {length} bytes, {_LARGEST_HEADER} at most in {content.size}")
        content.file.seek(_LENGTH)
        header = json.loads(content.file.read(length))
        about = header.pop("__metadata__", {})
        if len(header) > _MOST_TENSORS:
            raise ValueError(f"it has {len(header)} tensors, {_MOST_TENSORS} at most")
        tensors = {
            name: torch.empty([int(length) for length in entry["shape"]], device="meta")
            for name, entry in header.items()
        }
        text = about.get(KEY)
    return tensors, None if text is None else Description.from_json(text, str(content.path))


def load(content: Content, data: bytes) -> dict[str, Tensor]:
    """Return the tensors by name, given all bytes of the file.

    Raises
    ------
    NetworkError
        If the file is cut off or its header is broken.
    """
    with _whole(content):
        tensors: dict[str, Tensor] = safetensors.torch.load(data)
    return tensors


READER = Reader(structure, load)


def _whole(content: Content) -> AbstractContextManager[None]:
    what = f"{content.path} is not a complete safetensors file of {content.size} bytes"
    return answering(NetworkError, what, "Download or copy it again.")


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
