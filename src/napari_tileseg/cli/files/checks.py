"""Where results go: checked before the work is done."""

from __future__ import annotations

from pathlib import Path

from napari_tileseg._files import try_folder
from napari_tileseg._outputs import HEATMAP, NETWORK, REPORT, RUN, check_output
from napari_tileseg.diagnosis.report.matplotlib_check import check_matplotlib
from napari_tileseg.errors import StoreError

#: Checkpoint of a run that can be resumed.
_LAST = "last.pt"


def check_outputs(out: Path, folder: Path | None = None, resume: bool | None = None) -> None:
    """Refuse paths that could not be written to at the end, or that hold what nobody asked to discard.

    Parameters
    ----------
    out : Path
        Network file to write.
    folder : Path, optional
        Folder of the run.
    resume : bool, optional
        Whether the run in the folder is resumed, or discarded; None if neither was asked for.

    Raises
    ------
    StoreError
        If a path is unusable.
    """
    check_output(out, NETWORK)
    if folder is not None:
        check_output(folder, RUN)
    if not out.absolute().parent.is_dir():
        raise StoreError(f"{out} cannot be written: {out.absolute().parent} is not a folder. Make it first.")
    _try(out.absolute().parent)
    if folder is None:
        return
    if folder.exists() and not folder.is_dir():
        raise StoreError(f"The files of a run go into a folder; {folder} is a file. Choose another path.")
    _try(folder)
    if resume is None and _is_unfinished(folder / _LAST, out):
        raise StoreError(
            f"{folder} holds a run that was stopped. Pass --resume to resume it, or --restart to discard it."
        )


def check_report(out: Path) -> None:
    """Refuse a report folder that is a file, or that could not be written to at the end.

    Raises
    ------
    SettingsError
        If its figures could not be drawn, because matplotlib is not installed.
    StoreError
        If the folder is unusable.
    """
    check_matplotlib()
    check_output(out, REPORT)
    if out.exists() and not out.is_dir():
        raise StoreError(f"A report is a folder; {out} is a file. Choose another path.")
    _try(out)


def check_heatmap(out: Path) -> None:
    """Refuse a path for a heatmap that exists already, or that could not be written to at the end.

    Raises
    ------
    StoreError
        If it will not do.
    """
    check_output(out, HEATMAP)
    if out.exists():
        raise StoreError(f"{out} exists already, and is left as it is. Choose a path that is new.")
    _try(out.absolute().parent)


def _try(folder: Path) -> None:
    try:
        try_folder(folder)
    except OSError as error:
        raise StoreError(
            f"{folder} cannot be written to: {error.strerror or error}. Choose another folder."
        ) from error


def _is_unfinished(last: Path, out: Path) -> bool:
    """Return whether a checkpoint is newer than the network that was made of it."""
    return last.exists() and not (out.exists() and out.stat().st_mtime >= last.stat().st_mtime)
