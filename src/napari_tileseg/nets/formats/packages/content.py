"""What a file shows of itself before it is read: its first bytes, its size and the members of its archive."""

from __future__ import annotations

import hashlib
import struct
import zipfile
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

from napari_tileseg.errors import NetworkError

#: Bytes at the start by which files are told apart.
_HEAD = 2**16
#: Bytes that are hashed at once.
_BLOCK = 2**20
_ZIP = b"PK\x03\x04"
#: Bytes that the directory of a zip file has at most; those of networks have some hundred a tensor.
_LARGEST_DIRECTORY = 2**24
#: The end of a zip file: its record, the longest comment, and before it where the one of 64 bits begins.
_END, _END_SIZE, _COMMENT = b"PK\x05\x06", 22, 2**16
_LOCATOR, _LOCATOR_SIZE = b"PK\x06\x07", 20
_END_64, _END_64_SIZE = b"PK\x06\x06", 56


@dataclass(frozen=True, slots=True)
class Member:
    """One file of an archive: its name, and how many bytes it says to have, packed and unpacked."""

    name: str
    packed: int
    unpacked: int


@dataclass(frozen=True, slots=True)
class Content:
    """A file, opened, of which only little was read.

    Parameters
    ----------
    path : Path
        Where it lies.
    file : file
        Opened for reading bytes; its position is of no importance.
    size : int
        Bytes in all.
    head : bytes
        The first 64 KiB.
    members : tuple of Member
        Of a zip file; empty for other files, and for one that is not whole.
    """

    path: Path
    file: BinaryIO
    size: int
    head: bytes
    members: tuple[Member, ...]

    @property
    def is_zip(self) -> bool:
        """Whether it starts as a zip file does, whole or not."""
        return self.head.startswith(_ZIP)

    @property
    def names(self) -> tuple[str, ...]:
        """Names of the members."""
        return tuple(member.name for member in self.members)

    def everything(self) -> bytes:
        """Return all bytes."""
        self.file.seek(0)
        return self.file.read(self.size)

    def sha256(self) -> str:
        """Return the hash of all bytes, which are not held."""
        self.file.seek(0)
        digest = hashlib.sha256()
        while data := self.file.read(_BLOCK):
            digest.update(data)
        return digest.hexdigest()


def look_at(file: BinaryIO, size: int, path: Path) -> Content:
    """Read what tells files apart.

    Raises
    ------
    NetworkError
        If the directory of a zip file is larger than that of any network.
    """
    file.seek(0)
    head = file.read(_HEAD)
    members = _members(file, size, path) if head.startswith(_ZIP) else ()
    return Content(path, file, size, head, members)


def _members(file: BinaryIO, size: int, path: Path) -> tuple[Member, ...]:
    stated = _directory_size(file, size)
    if stated > _LARGEST_DIRECTORY:
        raise NetworkError(
            f"{path} is a zip file whose list of members has {stated} bytes; that of a network has "
            f"{_LARGEST_DIRECTORY} at most. Copy it again, or take another file."
        )
    try:
        with zipfile.ZipFile(file) as archive:
            return tuple(
                Member(each.filename, each.compress_size, each.file_size) for each in archive.infolist()
            )
    except Exception:  # noqa: BLE001 - whatever damaged bytes raise: it is no whole zip file then
        return ()


def _directory_size(file: BinaryIO, size: int) -> int:
    """Return the bytes of a zip file's directory, as its end states them; 0 if it has no end."""
    tail = min(size, _END_SIZE + _COMMENT + _LOCATOR_SIZE)
    file.seek(size - tail)
    ending = file.read(tail)
    at = ending.rfind(_END)
    if at < 0 or len(ending) < at + _END_SIZE:
        return 0
    stated: int = struct.unpack_from("<L", ending, at + 12)[0]
    if ending[max(0, at - _LOCATOR_SIZE) :].startswith(_LOCATOR):
        file.seek(min(struct.unpack_from("<Q", ending, at - _LOCATOR_SIZE + 8)[0], size))
        record = file.read(_END_64_SIZE)
        if record.startswith(_END_64) and len(record) == _END_64_SIZE:
            stated = max(stated if stated != 2**32 - 1 else 0, struct.unpack_from("<Q", record, 40)[0])
    return stated
