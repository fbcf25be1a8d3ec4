"""One module a format: how it is recognised by its content, and how it is opened safely."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Literal, TypeAlias

from napari_tileseg._files import ordinary_file
from napari_tileseg.errors import NetworkError
from napari_tileseg.nets.formats import foreign, pickled, safetensors, torchscript
from napari_tileseg.nets.formats.content import Content, look_at

Format: TypeAlias = Literal["safetensors", "torchscript", "pickled"]

_KNOWN = "a .safetensors file, a state dict of PyTorch (.pt, .pth) or a TorchScript file"
#: Bytes that a network's file has at most.
_LARGEST = 2**32


@contextmanager
def network_file(path: Path) -> Iterator[Content]:
    """Open the file of a network; only what tells files apart is read.

    Raises
    ------
    NetworkError
        If it cannot be read, is no ordinary file, or is larger than any network.
    """
    try:
        if path.is_dir():
            raise _refusal(foreign.of_folder(path), path)
        with ordinary_file(path, _LARGEST) as (file, size):
            yield look_at(file, size, path)
    except OSError as error:
        reason = "there is no such file" if isinstance(error, FileNotFoundError) else str(error)
        raise NetworkError(f"{path} cannot be read: {reason}. Check the path and its permissions.") from error


def recognise(content: Content) -> Format:
    """Return the format of a network's file, by its first bytes and the members of its archive.

    Raises
    ------
    NetworkError
        If it is none that is known here; it is called by its true name.
    """
    source = content.path
    if not content.size:
        raise NetworkError(f"{source} is empty; expected {_KNOWN}. Copy it again.")
    if content.is_zip:
        return _recognise_zip(content)
    if safetensors.recognises(content.head):
        return "safetensors"
    if pickled.recognises(content.head):
        return "pickled"
    raise _refusal(foreign.of_file(content), source)


def _recognise_zip(content: Content) -> Format:
    if not content.members:
        raise NetworkError(
            f"{content.path} is a zip file that is cut off, or holds nothing; expected {_KNOWN}. "
            "Copy it again."
        )
    # An exported program may hold a pickle of weights too.
    if foreign.is_exported(content.names):
        raise _refusal(foreign.of_zip(content.names), content.path)
    if torchscript.recognises(content.names):
        return "torchscript"
    if pickled.recognises_zip(content.names):
        return "pickled"
    raise _refusal(foreign.of_zip(content.names), content.path)


def _refusal(kind: foreign.Kind, source: Path) -> NetworkError:
    return NetworkError(f"{source} is {kind.what}; expected {_KNOWN}. {kind.cure}")
