"""NumPy files: ``.npy`` mapped into memory, and one array of an ``.npz``, which is read whole."""

from __future__ import annotations

import zipfile
from collections.abc import Callable
from math import prod
from pathlib import Path

import numpy as np

from napari_tileseg._types import ImageSource, Shape
from napari_tileseg.errors import ImageError, answering
from napari_tileseg.images.formats.format import Format, Location, Stored
from napari_tileseg.images.source import FileSource

#: Deflate makes no more bytes out of one.
_EXPANSION = 1040


def _nothing() -> None:
    """Close nothing: the mapping ends with the array."""


class NumpySource(FileSource):
    """An ``.npy`` file, mapped into memory."""

    def _open(self) -> tuple[ImageSource, Callable[[], None]]:
        what = f"{self.path} should be a complete NumPy file of numbers"
        with answering(ImageError, what, "Save it again as an array of numbers."):
            return np.load(self.path, mmap_mode="r", allow_pickle=False), _nothing


class NumpyArchiveSource(FileSource):
    """One array of an ``.npz`` file, held in memory."""

    def _open(self) -> tuple[ImageSource, Callable[[], None]]:
        what = f"{self.path} should be a complete NumPy archive of numbers, {self.place} among them"
        with answering(ImageError, what, "Save it again as arrays of numbers."):
            _check_member(self.path, f"{self.place}.npy")
            with np.load(self.path, allow_pickle=False) as archive:
                array: ImageSource = archive[str(self.place)]
                return array, _nothing


def _check_member(path: Path, name: str) -> None:
    """Raise if an array is larger than its part of the archive can hold, before memory is taken for it."""
    with zipfile.ZipFile(path) as archive, archive.open(name) as file:
        about = archive.getinfo(name)
        if np.lib.format.read_magic(file) == (1, 0):
            shape, _, dtype = np.lib.format.read_array_header_1_0(file)
        else:
            shape, _, dtype = np.lib.format.read_array_header_2_0(file)
    wanted = prod(shape) * dtype.itemsize
    deflated = about.compress_type == zipfile.ZIP_DEFLATED
    if wanted > about.file_size or (deflated and about.file_size > _EXPANSION * (about.compress_size + 1)):
        raise ValueError(f"its header states {wanted} bytes, the archive holds {about.compress_size}")


def _members(location: Location) -> list[str]:
    """Return the names of the arrays in an archive; none where it is not one of NumPy's."""
    try:
        with zipfile.ZipFile(location.path) as archive:
            names = archive.namelist()
    except (zipfile.BadZipFile, NotImplementedError, ValueError):
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
