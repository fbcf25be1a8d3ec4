"""The one gate around a store that is read back, and what is seen when one is removed while it is written."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

from napari_tileseg._files import remove_inside
from napari_tileseg.errors import (
    FREE_MEMORY,
    DeviceError,
    ImageError,
    NetworkError,
    SettingsError,
    StoreError,
    answering,
    is_of_memory,
)
from napari_tileseg.prediction.store.journal import NAME as JOURNAL
from napari_tileseg.prediction.store.lock import NAME as LOCK

_CURE = "Remove it, or choose another location."


@contextmanager
def reading(path: Path) -> Iterator[None]:
    """Turn whatever reading a store raises into a `StoreError` that names a cure."""
    try:
        with answering(StoreError, f"{path} is damaged", _CURE):
            yield from _readable(path)
    except (SettingsError, ImageError, NetworkError) as error:
        # The reason for which a grid, box, image or splines cannot be made of such values.
        raise StoreError(f"{path} is damaged: {error} {_CURE}") from error


def _readable(path: Path) -> Iterator[None]:
    try:
        yield
    except PermissionError as error:
        raise StoreError(
            f"{path} cannot be read: {error}. Change its permissions, or choose another location."
        ) from error
    except Exception as error:
        # Which is no damage, and no reason to remove it.
        if is_of_memory(error):
            raise DeviceError(f"Reading {path} takes more memory than is free. {FREE_MEMORY}") from error
        raise


@dataclass(frozen=True, slots=True)
class Parts:
    """The parts of something on the disk without which what is added to it is worth nothing.

    Parameters
    ----------
    path : Path
        What is written: a folder.
    inode : int
        Number of the folder, which another one of the same name does not have.
    names : tuple of str
        Files and folders in it, once they are there.
    """

    path: Path
    inode: int
    names: tuple[str, ...]

    @classmethod
    def of(cls, path: Path, names: Iterable[str]) -> Parts:
        """Find those of `names` that exist now.

        Raises
        ------
        StoreError
            If `path` itself is not there.
        """
        try:
            return cls(path, path.stat().st_ino, tuple(name for name in names if (path / name).exists()))
        except OSError as error:
            raise cls._gone(path) from error

    def check(self) -> None:
        """Raise `StoreError` where one of them is gone, or the folder another one."""
        try:
            same = self.path.stat().st_ino == self.inode
        except OSError:
            same = False
        if not same or not all((self.path / name).exists() for name in self.names):
            raise self._gone(self.path)

    @staticmethod
    def _gone(path: Path) -> StoreError:
        return StoreError(
            f"{path}, or a part of it, was removed or renamed while it was being written. Start it again: "
            "what is missing is made anew."
        )


def parts_of_store(levels: int) -> tuple[str, ...]:
    """Return the names of the parts of a store that is not complete."""
    return ("zarr.json", JOURNAL, LOCK, *(f"{number}/zarr.json" for number in range(levels)))


def take_back(path: Path, files: Iterable[Path]) -> None:
    """Remove files that were written into a store that is gone, and the folders that were made for them."""
    for file in files:
        with suppress(OSError):
            file.unlink()
        with suppress(OSError):
            for folder in file.parents:
                if not folder.is_relative_to(path):
                    break
                # Only an empty folder can be removed so.
                folder.rmdir()


def is_remains(path: Path) -> bool:
    """Return whether a folder holds only the remains of an unfinished store that lost its metadata."""
    if path.is_symlink() or not path.is_dir():
        return False
    if not (path / JOURNAL).is_file() or (path / "zarr.json").exists():
        return False
    return all(_is_remains(part) for part in path.iterdir())


def remove_remains(path: Path) -> None:
    """Remove what is left of a store.

    Raises
    ------
    OSError
        If it cannot be removed.
    """
    for part in path.iterdir():
        if part.name.isdigit():
            remove_inside(part, path)
    (path / JOURNAL).unlink()


def _is_remains(part: Path) -> bool:
    if part.name in {JOURNAL, LOCK} or part.name.startswith("."):
        return part.is_file() and not part.is_symlink()
    if not part.name.isdigit() or part.is_symlink():
        return False
    inside = [path.relative_to(part) for path in part.rglob("*")]
    return all(_is_of_level(path) for path in inside)


def _is_of_level(path: Path) -> bool:
    """Return whether a path in the folder of a level is its metadata or a chunk."""
    first, *rest = path.parts
    if path.name.endswith(".partial") or path.parts == ("zarr.json",):
        return True
    return first == "c" and all(name.isdigit() for name in rest)
