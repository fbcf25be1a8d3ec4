"""Which files around a project are its own, to be written and removed, whatever its file states."""

from __future__ import annotations

import secrets
from contextlib import suppress
from pathlib import Path

from napari_tileseg._files import lies_inside, outward_link, remove_inside
from napari_tileseg.errors import StoreError

#: Folder of a project's own results.
PREDICTIONS = "predictions"
#: What the names of results begin with that are being removed.
_ASIDE = ".removed-"
#: Folders in which a project is written to.
_OWN = (PREDICTIONS, "labels", "diagnoses", "runs", "networks")


def check_folders(folder: Path) -> None:
    """Refuse a project that would be written to elsewhere: its folders came with it, links included.

    Raises
    ------
    StoreError
        If one of them is a link to elsewhere.
    """
    for name in _OWN:
        own = folder / name
        if own.is_symlink() and not lies_inside(own, folder):
            raise StoreError(
                f"{own} should be a folder of the project; it is a link to {own.resolve()}, so that "
                "results could be written over what is not its own. Remove the link first."
            )


def is_own(path: Path, folder: Path) -> bool:
    """Return whether a result lies among those that a project has written, once all links are resolved."""
    own = folder / PREDICTIONS
    return lies_inside(own, folder) and lies_inside(path, own)


def set_aside(path: Path, folder: Path) -> Path:
    """Give a result that a project has written another name, at once: a new one may be written in its place.

    Parameters
    ----------
    path : Path
        Its store, as the project's file names it; whoever wrote that file may name any folder.
    folder : Path
        The project folder.

    Returns
    -------
    Path
        Its new name, for `remove_set_aside`. Nothing is there if nothing was at `path`.

    Raises
    ------
    StoreError
        If it lies elsewhere, and is left alone, or cannot be renamed.
    """
    own = folder / PREDICTIONS
    if not is_own(path, folder):
        raise StoreError(
            f"{path} was left alone: it does not lie in {own}, where this project stores its results. Remove "
            "it yourself, if it is not needed."
        )
    aside = own / f"{_ASIDE}{secrets.token_hex(8)}"
    if path.is_symlink():
        raise _stays(path, "it is a link")
    try:
        with suppress(FileNotFoundError):
            path.rename(aside)
    except OSError as error:
        raise _stays(path, error) from error
    return aside


def remove_set_aside(aside: Path) -> None:
    """Remove a result that was set aside, and those beside it whose removal came to no end.

    Parameters
    ----------
    aside : Path
        As `set_aside` gave it.

    Raises
    ------
    StoreError
        If it cannot be removed.
    """
    own = aside.parent
    try:
        remove_inside(aside, own)
    except (OSError, ValueError) as error:
        raise _stays(aside, error) from error
    for left in own.glob(f"{_ASIDE}*"):
        with suppress(OSError, ValueError):
            remove_inside(left, own)


def _stays(path: Path, why: object) -> StoreError:
    return StoreError(f"{path} should be removed; {why}. Remove it yourself, if it is not needed.")


def check_inside(path: Path, folder: Path) -> None:
    """Refuse to resume a result that leads out of a project, where it would be written to elsewhere.

    Raises
    ------
    StoreError
        If it, or a link in it, does.
    """
    link = outward_link(path) if path.exists() else None
    if link is not None or not is_own(path, folder):
        raise StoreError(
            f"{link or path} leads out of the project {folder}, so that nothing is written there. Remove "
            "that link, or predict in another project."
        )
