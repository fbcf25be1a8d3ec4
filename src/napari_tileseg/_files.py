"""Files that are there as a whole, or as they were before."""

from __future__ import annotations

import json
import math
import os
import shutil
import stat
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from io import BufferedReader
from pathlib import Path
from typing import Any

from napari_tileseg._drafts import drafted

#: Seconds to wait for others that write the same file, which takes each of them milliseconds.
_PATIENCE = 60.0


def json_text(values: Any, indent: int | None = 1, *, sort_keys: bool = False) -> str:
    """Write values as JSON that every program reads: NaN and infinity, which JSON does not have, become null.

    Examples
    --------
    >>> json_text({"scale": [1.0, float("nan")], "counts": (1, 2)}, indent=None)
    '{"scale": [1.0, null], "counts": [1, 2]}'
    """
    return json.dumps(_finite(values), indent=indent, sort_keys=sort_keys, allow_nan=False)


def _finite(values: Any) -> Any:
    if isinstance(values, dict):
        return {name: _finite(value) for name, value in values.items()}
    if isinstance(values, (list, tuple)):
        return [_finite(value) for value in values]
    return None if isinstance(values, float) and not math.isfinite(values) else values


def as_tuples(value: Any) -> Any:
    """Return a value that was read from JSON, with tuples for its lists at every depth.

    Examples
    --------
    >>> as_tuples({"core": [32, 64], "halo": [[1, 2], [3, 4]], "name": "cells"})
    {'core': (32, 64), 'halo': ((1, 2), (3, 4)), 'name': 'cells'}
    """
    if isinstance(value, dict):
        return {name: as_tuples(part) for name, part in value.items()}
    return tuple(map(as_tuples, value)) if isinstance(value, list) else value


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
    StoreError
        If another process does not let go of the same file.
    """
    with drafted(path, _PATIENCE) as draft, draft.open("xb") as file:
        file.write(data)
        file.flush()
        os.fsync(file.fileno())
    _sync_folder(path.parent)


def lies_inside(path: Path, folder: Path) -> bool:
    """Return whether a path lies below a folder, the folder itself excluded, once all links are resolved."""
    whole = folder.resolve()
    return path.resolve() != whole and path.resolve().is_relative_to(whole)


def remove_inside(path: Path, folder: Path) -> None:
    """Remove a folder with all that it holds, if it lies below another one; nothing to do if it is gone.

    Paths that are removed may come out of a file that somebody else wrote, so that they are checked here,
    where the removal happens. A link is not followed: what it points to stays. Somebody else may be removing
    the same folder.

    Parameters
    ----------
    path : Path
        What is to be removed.
    folder : Path
        Where it has to lie, once all links are resolved.

    Raises
    ------
    ValueError
        If it lies elsewhere; nothing is removed then.
    OSError
        If it cannot be removed.
    """
    if path.is_symlink() or not lies_inside(path, folder):
        raise ValueError(f"{path} does not lie in {folder}")
    while path.exists():
        # What is missing was removed by somebody else between listing and removing: there is less left.
        with suppress(FileNotFoundError):
            shutil.rmtree(path)


def outward_link(folder: Path) -> Path | None:
    """Find the first link below a folder that leads out of it; None where writing stays inside.

    No link is followed.
    """
    whole = folder.resolve()
    for parent, folders, files in os.walk(folder):
        for name in (*folders, *files):
            path = os.path.join(parent, name)  # noqa: PTH118 - a Path for each of a million chunks takes long
            if os.path.islink(path) and not Path(path).resolve().is_relative_to(whole):  # noqa: PTH114
                return Path(path)
    return None


@contextmanager
def ordinary_file(path: Path, most: int) -> Iterator[tuple[BufferedReader, int]]:
    """Open a file that somebody else may have put there, and give it with its size.

    A pipe is not waited for, and a device not read.

    Parameters
    ----------
    path : Path
        The file.
    most : int
        Bytes that it may have.

    Raises
    ------
    OSError
        If it cannot be opened, is no ordinary file, or has more bytes.
    """
    with open(path, "rb", opener=_open_at_once) as file:
        about = os.fstat(file.fileno())
        if not stat.S_ISREG(about.st_mode):
            raise OSError(f"it is {_sort_of(about.st_mode)}, not an ordinary file")
        if about.st_size > most:
            raise OSError(f"it has {about.st_size} bytes; at most {most} are read")
        yield file, about.st_size


def _open_at_once(path: str, flags: int) -> int:
    # Opening a pipe would wait for its other end.
    return os.open(path, flags | getattr(os, "O_NONBLOCK", 0))


def read_ordinary(path: Path, most: int) -> bytes:
    """Read a file that somebody else may have put there, whole; as `ordinary_file`."""
    with ordinary_file(path, most) as (file, size):
        return file.read(size)


def _sort_of(mode: int) -> str:
    kinds = {stat.S_IFDIR: "a folder", stat.S_IFIFO: "a pipe", stat.S_IFSOCK: "a socket"}
    return kinds.get(stat.S_IFMT(mode), "a device")


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
