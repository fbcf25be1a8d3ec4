"""The folder of a training in a project: made, and removed."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path

from napari_tileseg.errors import StoreError
from napari_tileseg.session.painting.files import claim_folder

#: Folder of a project's trainings.
RUNS = "runs"


def claim_run_folder(project: Path) -> Path:
    """Make the next numbered folder of a project for a training.

    Raises
    ------
    StoreError
        If it cannot be made.
    """
    try:
        return claim_folder(project, RUNS)
    except OSError as error:
        raise StoreError(
            f"A training is kept in {project}; {error}. Free some space, or choose another folder with "
            "TILESEG_HOME."
        ) from error


def removed(folder: Path) -> Iterator[None]:
    """Remove a training's folder, or what of it can be removed."""
    shutil.rmtree(folder, ignore_errors=True)
    yield None
