"""Files that are there as a whole, or as they were before."""

from __future__ import annotations

import os
import secrets
import tempfile
from pathlib import Path


def write_text(path: Path, text: str) -> None:
    """As `write_bytes`, in UTF-8."""
    write_bytes(path, text.encode())


def write_bytes(path: Path, data: bytes) -> None:
    """Write a file, and wait for the disk; whatever happens, the old or the new content is there.

    Parameters
    ----------
    path : Path
        The file; its folder is made if need be.
    data : bytes
        All that it will hold.

    Raises
    ------
    OSError
        If it cannot be written; what was there before is still there.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    # A name of its own: others may write the same file at the same time.
    partial = path.with_name(f".{path.name}.{os.getpid()}-{secrets.token_hex(4)}.part")
    try:
        with partial.open("xb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        partial.replace(path)
    finally:
        partial.unlink(missing_ok=True)
    _sync_folder(path.parent)


def try_folder(folder: Path) -> None:
    """See that files can be made in a folder, or the folder in the nearest one above that is there.

    Raises
    ------
    OSError
        If not; nothing is left behind either way.
    """
    above = (each for each in (folder, *folder.absolute().parents) if each.exists())
    with tempfile.TemporaryFile(dir=next(above)):
        pass


def _sync_folder(folder: Path) -> None:
    """Have the names of its files on disk too; Windows opens no folders."""
    if os.name == "posix":
        number = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(number)
        finally:
            os.close(number)
