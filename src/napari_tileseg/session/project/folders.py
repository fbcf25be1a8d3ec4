"""Where projects lie, and the numbered folders inside them."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from contextlib import suppress
from datetime import datetime
from itertools import count
from pathlib import Path

from napari_tileseg._app_dirs import data_folder
from napari_tileseg.errors import StoreError


def projects_folder() -> Path:
    """Return the folder of the projects that nobody has chosen a folder for; it need not exist."""
    return data_folder() / "projects"


def new_project_folder() -> Path:
    """Return the path of a project folder that does not exist yet, named after the time.

    To the microsecond, as a project makes its folder late: viewers that open in one second must not share it.
    """
    stem = datetime.now().astimezone().strftime("%Y-%m-%d-%H%M%S-%f")
    tries = (projects_folder() / (stem if not n else f"{stem}-{n}") for n in range(10_000))
    return next(path for path in tries if not path.exists())


def claim_folder(project: Path, kind: str) -> Path:
    """Make the next numbered folder of a project.

    Where another process takes the same number at the same time, the one after it is made.

    Parameters
    ----------
    project : Path
        Folder of the project; made if absent.
    kind : str
        Name of the folder inside it that holds the numbered ones.

    Raises
    ------
    OSError
        If it cannot be made.
    """
    parent = project / kind
    # By itself, so that what stands in its way is not taken for a number that is taken.
    parent.mkdir(parents=True, exist_ok=True)
    taken = [int(path.name) for path in parent.glob("[0-9]*") if path.name.isdigit()]
    for number in count(max(taken, default=0) + 1):
        folder = parent / f"{number:04}"
        with suppress(FileExistsError):
            folder.mkdir()
            return folder
    raise AssertionError("there is always a next number")


def claim_result_folder(project: Path, kind: str, what: str) -> Path:
    """Make the next numbered folder of a project for something long.

    Parameters
    ----------
    project, kind
        As for `claim_folder`.
    what : str
        What will be in it, such as "A training".

    Raises
    ------
    StoreError
        If it cannot be made.
    """
    try:
        return claim_folder(project, kind)
    except OSError as error:
        raise StoreError(
            f"{what} should be stored in {project}; {error}. Free some space, or choose another folder with "
            "TILESEG_HOME."
        ) from error


def removing(folder: Path) -> Iterator[None]:
    """Remove a folder, or what of it can be removed, as work for the background."""
    shutil.rmtree(folder, ignore_errors=True)
    yield None
