"""What the description of a bioimage.io package states of a network whose file lies beside it.

The file was chosen, not the package: whatever makes no sense in the description becomes a note, for it is no
reason not to open the network.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path, PurePosixPath
from typing import Any

from napari_tileseg._yaml import read_yaml
from napari_tileseg.errors import NetworkError, answering
from napari_tileseg.nets.formats.bioimageio.model import model_of
from napari_tileseg.nets.formats.bioimageio.values import mapping
from napari_tileseg.nets.formats.description import Description

NAMES = ("bioimageio.yaml", "rdf.yaml", "bioimageio.yml", "rdf.yml")


def described_beside(path: Path, sha256: str) -> Description | None:
    """Return what a package's description beside a network's file states of it.

    Parameters
    ----------
    path : Path
        The network's file.
    sha256 : str
        Hash of its bytes.

    Returns
    -------
    Description or None
        None where there is none, or it is about other files. What could not be taken stands in its `notes`.
    """
    for beside in (path.with_name(name) for name in NAMES):
        if not beside.is_file():
            continue
        try:
            with answering(NetworkError, f"{beside.name} should describe a bioimage.io model", "Mend it."):
                stated = read_yaml(beside)
                if not _is_about(stated, path.name, sha256):
                    return None
            # What the user calls the file stays its name.
            return replace(model_of(mapping(stated), beside.name).description, name=None)
        except NetworkError as error:
            return Description(notes=(f"{beside.name} beside the network is not used: {error}",))
    return None


def _is_about(stated: Any, name: str, sha256: str) -> bool:
    """Return whether one of the weights that a description names is this file, by its name or its hash."""
    weights: list[Mapping[str, Any]] = [
        mapping(each) for each in mapping(mapping(stated).get("weights")).values()
    ]
    return any(
        PurePosixPath(str(each.get("source"))).name == name or each.get("sha256") == sha256
        for each in weights
    )
