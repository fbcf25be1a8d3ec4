"""A file of weights: first what it says and whether that fits, then the weights themselves."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal

from torch import Tensor, nn

from napari_tileseg._files import ordinary_file, read_ordinary
from napari_tileseg.errors import NetworkError
from napari_tileseg.nets import formats
from napari_tileseg.nets.formats import bioimageio, pickled, safetensors
from napari_tileseg.nets.formats.content import Content, look_at
from napari_tileseg.nets.formats.description import EXAMPLE, Description
from napari_tileseg.nets.formats.design import weights_wanted
from napari_tileseg.nets.formats.unwrapping import Found, find_weights
from napari_tileseg.nets.formats.weights import build_with_weights, check_stored, compare

#: Bytes that a network's file has at most, and a description of it.
_LARGEST, _LARGEST_TEXT = 2**32, 2**22
#: What the description of a package says where the user does not.
_COMPLETED = ("axes", "in_channels", "classes", "activation", "input_normalization", "voxel_size", "halo")


@dataclass(frozen=True, slots=True)
class Weights:
    """What a file of weights says, found to fit, before any of the weights is read.

    Parameters
    ----------
    kind : {"safetensors", "pickled"}
        Format of the file.
    description : Description
        What the weights belong to.
    outside : bool
        Whether the file does not carry that description itself.
    found : Found
        Where the weights lie in the file.
    """

    kind: Literal["safetensors", "pickled"]
    description: Description
    outside: bool
    found: Found

    def build(self, content: Content, data: bytes) -> nn.Module:
        """Return the network, given all bytes of the file.

        Raises
        ------
        NetworkError
            If the bytes do not fit what the file said, or a weight is not finite.
        """
        load = safetensors.load if self.kind == "safetensors" else pickled.load
        return build_with_weights(self.description, self.found.take(load(content, data)), str(content.path))


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
            raise formats.refuse_folder(path)
        with ordinary_file(path, _LARGEST) as (file, size):
            yield look_at(file, size, path)
    except OSError as error:
        reason = "there is no such file" if isinstance(error, FileNotFoundError) else str(error)
        raise NetworkError(f"{path} cannot be read: {reason}. Check the path and its permissions.") from error


def examine(kind: Literal["safetensors", "pickled"], content: Content, given: str | None) -> Weights:
    """Return what a file of weights says, held against what its architecture wants.

    Parameters
    ----------
    kind : {"safetensors", "pickled"}
        Format of the file.
    content : Content
        The file, opened.
    given : str, optional
        The setting architecture.

    Raises
    ------
    NetworkError
        If the file is cut off, would run code, is not described or described twice, or does not fit.
    """
    source, path = str(content.path), content.path
    held: Any
    if kind == "safetensors":
        held, inside = safetensors.structure(content)
    else:
        held, inside = pickled.structure(content), None
    if inside is not None and given is not None:
        raise NetworkError(f"{path} describes itself; leave the setting architecture out.")
    description = inside or described_outside(content, given)
    if description is None:
        raise NetworkError(
            f"{path} holds weights, but not which network they belong to. Write that into "
            f"{path.with_suffix('.json').name} beside it, or into the setting architecture, like this: "
            f"{EXAMPLE}"
        )
    wanted = weights_wanted(description, _count(held), content.size, source)
    found = find_weights(held, wanted, source)
    state = found.take(held)
    compare(wanted, state, f"{source}, read as {description.architecture}")
    check_stored(state, content.size, source)
    return Weights(kind, description, inside is None, found)


def _count(held: Any, depth: int = 4) -> int:
    """Return the tensors in mappings in mappings."""
    if isinstance(held, Tensor):
        return 1
    if not isinstance(held, Mapping) or not depth:
        return 0
    return sum(_count(value, depth - 1) for value in held.values())


def described_outside(content: Content, given: str | None) -> Description | None:
    """Return what the user says, completed by what the description of a package beside the network says.

    Parameters
    ----------
    content : Content
        The network's file.
    given : str, optional
        The setting architecture.

    Raises
    ------
    NetworkError
        If what the user says cannot be read.
    """
    stated, beside = _stated(content.path, given), _of_package(content)
    if stated is None or beside is None:
        return stated or beside
    missing = {key: getattr(beside, key) for key in _COMPLETED if getattr(stated, key) is None}
    return replace(stated, notes=tuple(dict.fromkeys((*stated.notes, *beside.notes))), **missing)


def _of_package(content: Content) -> Description | None:
    # Its hash is needed only where there is such a description.
    if not any(content.path.with_name(name).is_file() for name in bioimageio.NAMES):
        return None
    return bioimageio.described_beside(content.path, content.sha256())


def _stated(path: Path, given: str | None) -> Description | None:
    """Return the description in a setting (JSON, or the path of a JSON file) or beside the network."""
    if given is not None and given.lstrip().startswith("{"):
        return Description.from_json(given, "the setting architecture")
    if given is not None:
        return Description.from_json(_read_text(Path(given).expanduser()), given)
    for beside in (path.with_suffix(".json"), path.with_name(f"{path.name}.json")):
        # A pipe there is refused, not passed over: it was meant to be read.
        if beside.exists() and not beside.is_dir():
            return Description.from_json(_read_text(beside), str(beside))
    return None


def _read_text(path: Path) -> str:
    try:
        return read_ordinary(path, _LARGEST_TEXT).decode()
    except (OSError, UnicodeDecodeError, ValueError) as error:
        raise NetworkError(
            f"The description {str(path)!r} cannot be read ({error}). Give JSON, or the path of a JSON file, "
            f"like this: {EXAMPLE}"
        ) from error
