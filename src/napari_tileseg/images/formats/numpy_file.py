"""NumPy files: ``.npy`` mapped into memory, and one array of an ``.npz``, which is read whole."""

from __future__ import annotations

import zipfile
from collections.abc import Callable

import numpy as np

from napari_tileseg._types import ImageSource, Shape
from napari_tileseg.errors import ImageError
from napari_tileseg.images.formats.format import Format, Location, Stored
from napari_tileseg.images.source import DAMAGE, FileSource


def _nothing() -> None:
    """Close nothing: the mapping ends with the array."""


class NumpySource(FileSource):
    """An ``.npy`` file, mapped into memory."""

    def _open(self) -> tuple[ImageSource, Callable[[], None]]:
        try:
            return np.load(self.path, mmap_mode="r", allow_pickle=False), _nothing
        except (ValueError, OSError, EOFError) as error:
            raise ImageError(
                f"{self.path} should be a complete NumPy file of numbers; it cannot be opened "
                f"({str(error).rstrip('.')}). Save it again as an array of numbers."
            ) from error


class NumpyArchiveSource(FileSource):
    """One array of an ``.npz`` file, held in memory."""

    def _open(self) -> tuple[ImageSource, Callable[[], None]]:
        try:
            with np.load(self.path, allow_pickle=False) as archive:
                array: ImageSource = archive[str(self.place)]
                return array, _nothing
        except (zipfile.BadZipFile, *DAMAGE) as error:
            raise ImageError(
                f"{self.path} should be a complete NumPy archive of numbers; {self.place} cannot be "
                f"read ({error}). Save it again as arrays of numbers."
            ) from error


def _members(location: Location) -> list[str]:
    """Names of the arrays in an archive; none where it is not one of NumPy's."""
    try:
        with zipfile.ZipFile(location.path) as archive:
            names = archive.namelist()
    except zipfile.BadZipFile:
        return []
    return [name.removesuffix(".npy") for name in names if name.endswith(".npy")]


def _recognises(location: Location) -> bool:
    head = location.head(6)
    return head == b"\x93NUMPY" or (head.startswith(b"PK") and bool(_members(location)))


def _source(location: Location) -> FileSource:
    if location.head(6) == b"\x93NUMPY":
        if location.inner:
            raise ImageError(
                f"{location.path} holds one array; got the place {location.inner!r} inside it. "
                "Leave out what follows the colon."
            )
        return NumpySource(location.path)
    members = _members(location)
    name = location.inner.strip("/") or (members[0] if len(members) == 1 else "")
    if name not in members:
        asked = f"got {name!r}" if name else "none was named"
        raise ImageError(
            f"{location.path} holds the arrays {', '.join(members)}; {asked}. "
            f"Name one, such as {location.path}:{members[0]}."
        )
    return NumpyArchiveSource(location.path, name)


def _levels(location: Location) -> tuple[Shape, ...]:
    return (_source(location).shape,)


def _open(location: Location, _level: int) -> Stored:
    source = _source(location)
    return Stored(data=source, axes="?" * source.ndim)


NUMPY = Format("a NumPy file (.npy, or .npz:name)", _recognises, _levels, _open, has_places=True)
