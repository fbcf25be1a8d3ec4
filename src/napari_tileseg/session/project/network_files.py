"""Files of the networks that fine-tuning leaves in a project folder, and what their names mean."""

from __future__ import annotations

import re
import shutil
from collections.abc import Iterator
from itertools import count
from pathlib import Path
from typing import Literal

from napari_tileseg._drafts import drafted
from napari_tileseg._outputs import NETWORK, check_output
from napari_tileseg.errors import StoreError
from napari_tileseg.session.project.project import FILE

#: Folder of a project's networks.
NETWORKS = "networks"
SUFFIX = ".safetensors"
_ENDING = re.compile(r"-(tuned|rescued)-\d+$")


def new_network_path(project: Path, name: str, how: Literal["tuned", "rescued"]) -> Path:
    """Return the path of a network that does not exist yet, such as ``cells-tuned-2.safetensors``.

    Parameters
    ----------
    project : Path
        The project folder.
    name : str
        Of the network that was trained.
    how : {"tuned", "rescued"}
        Whether the user has decided to keep it, or nobody was there to decide.
    """
    plain = re.sub(r"[^\w.-]+", "-", name).strip("-.") or "network"
    stem = f"{_ENDING.sub('', plain)}-{how}"
    paths = (project / NETWORKS / f"{stem}-{number}{SUFFIX}" for number in count(1))
    return next(path for path in paths if not path.exists())


def is_of_project(path: str) -> bool:
    """Return whether a network is one that was kept, or rescued, in a project folder."""
    folder = Path(path).parent
    return Path(path).suffix == SUFFIX and folder.name == NETWORKS and (folder.parent / FILE).exists()


def is_rescued(path: str) -> bool:
    """Return whether a network was written because nobody was there to decide about it."""
    found = _ENDING.search(Path(path).stem)
    return is_of_project(path) and found is not None and found[1] == "rescued"


def copied(source: Path, target: Path) -> Iterator[Path]:
    """Copy a network's file, and give the copy's path.

    Raises
    ------
    StoreError
        If it cannot be written.
    """
    check_output(target, NETWORK)
    try:
        with drafted(target) as draft:
            shutil.copyfile(source, draft)
    except OSError as error:
        raise StoreError(f"{target} cannot be written: {error}. Choose another path.") from error
    yield target
