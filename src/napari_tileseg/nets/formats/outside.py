"""What is stated of a network outside its file: in a setting, beside it, or by the package it came with."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from napari_tileseg._files import read_ordinary
from napari_tileseg.errors import NetworkError
from napari_tileseg.nets.formats.bioimageio import beside
from napari_tileseg.nets.formats.description import EXAMPLE, Description
from napari_tileseg.nets.formats.packages.content import Content

#: Bytes of a description at most.
_LARGEST = 2**22
#: What the description of a package says where the user does not.
_COMPLETED = (
    *("name", "axes", "in_channels", "read_shape", "classes", "activation", "input_normalization"),
    *("voxel_size", "halo", "channel_names"),
)


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
    stated, package = _stated(content.path, given), _of_package(content)
    if stated is None or package is None:
        return stated or package
    return completed(stated, package)


def completed(stated: Description, package: Description) -> Description:
    """Return what the user states, and what a package states where the user does not."""
    missing = {key: getattr(package, key) for key in _COMPLETED if getattr(stated, key) is None}
    return replace(stated, notes=tuple(dict.fromkeys((*stated.notes, *package.notes))), **missing)


def _of_package(content: Content) -> Description | None:
    # Its hash is needed only where there is such a description.
    if not any(content.path.with_name(name).is_file() for name in beside.NAMES):
        return None
    return beside.described_beside(content.path, content.sha256())


def stated_in(given: str | None) -> Description | None:
    """Return the description in the setting architecture: JSON, or the path of a JSON file.

    Raises
    ------
    NetworkError
        If it cannot be read.
    """
    if given is None:
        return None
    if given.lstrip().startswith("{"):
        return Description.from_json(given, "the setting architecture")
    return Description.from_json(_read_text(Path(given).expanduser()), given)


def _stated(path: Path, given: str | None) -> Description | None:
    """Return the description in a setting (JSON, or the path of a JSON file) or beside the network."""
    if given is not None:
        return stated_in(given)
    for file in (path.with_suffix(".json"), path.with_name(f"{path.name}.json")):
        # A pipe there is refused, not passed over: it was meant to be read.
        if file.exists() and not file.is_dir():
            return Description.from_json(_read_text(file), str(file))
    return None


def _read_text(path: Path) -> str:
    try:
        return read_ordinary(path, _LARGEST).decode()
    except (OSError, UnicodeDecodeError, ValueError) as error:
        raise NetworkError(
            f"The description {str(path)!r} cannot be read ({error}). Give JSON, or the path of a JSON file, "
            f"like this: {EXAMPLE}"
        ) from error
