"""Which files around a project are its own, to be written and removed, whatever its file states."""

from __future__ import annotations

from pathlib import Path

from napari_tileseg._files import lies_inside, outward_link, remove_inside
from napari_tileseg.errors import StoreError

#: Folder of a project's own results.
PREDICTIONS = "predictions"
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


def remove_own(path: Path, folder: Path) -> None:
    """Remove a result that a project has written.

    Parameters
    ----------
    path : Path
        Its store, as the project's file names it; whoever wrote that file may name any folder.
    folder : Path
        The project folder.

    Raises
    ------
    StoreError
        If it lies elsewhere, and is left alone, or cannot be removed.
    """
    own = folder / PREDICTIONS
    if not is_own(path, folder):
        raise StoreError(
            f"{path} was left alone: it does not lie in {own}, where this project stores its results. Remove "
            "it yourself, if it is not needed."
        )
    try:
        remove_inside(path, own)
    except (OSError, ValueError) as error:
        raise StoreError(
            f"{path} should be removed; {error}. Remove it yourself, if it is not needed."
        ) from error


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
