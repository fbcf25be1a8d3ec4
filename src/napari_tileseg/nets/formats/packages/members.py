"""Members of a folder or of a zip file, by name, each confined to where it lies."""

from __future__ import annotations

import io
import os
import stat
import zipfile
from collections import Counter
from collections.abc import Iterator, Mapping
from contextlib import ExitStack
from functools import cached_property
from pathlib import Path, PurePosixPath
from typing import Any, BinaryIO, Protocol

from napari_tileseg._files import lies_inside, ordinary_file
from napari_tileseg.errors import NetworkError, answering
from napari_tileseg.nets.formats.packages.content import Content

#: Bytes that a member has at most.
LARGEST = 2**32
#: Members that a folder is searched for, and folders in folders.
_MOST_NAMES, _DEEPEST = 5000, 5
#: Members of a zip file that is looked into.
_MOST_MEMBERS = 20_000
#: Bytes to which a packed member may grow, and how many times: weights and images shrink little.
_SMALL, _GROWTH = 2**26, 16
_PACKING = (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED)
#: What systems add to a zip file.
_ADDED = ("__MACOSX/", ".DS_Store")


class Members(Protocol):
    """Files by their names, with ``/`` between folders."""

    @property
    def names(self) -> tuple[str, ...]:
        """Names of the members, in order."""

    def has(self, name: str) -> bool:
        """Return whether there is a member of that name."""

    def open(self, name: str, most: int) -> tuple[BinaryIO, int]:
        """Open a member for reading bytes anywhere in it, and return it with its size."""


def member_name(text: Any) -> str:
    """Return a name that somebody else wrote as that of a member, ``./`` taken off.

    Raises
    ------
    NetworkError
        If it is no text, or leads out of the package.

    Examples
    --------
    >>> member_name("./weights.pt")
    'weights.pt'
    """
    path = PurePosixPath(text) if isinstance(text, str) else PurePosixPath()
    if not path.parts or path.is_absolute() or ".." in path.parts or {*":\\\0"} & {*str(text)}:
        raise NetworkError(
            f"A member of a package is named by its path in the package; got {str(text)[:80]!r}. Take a "
            "package that holds all that it names."
        )
    return str(path)


def is_member_name(text: str) -> bool:
    """Return whether a text is the name of a member as `member_name` gives it, and not of a folder."""
    try:
        return member_name(text) == text
    except NetworkError:
        return False


class FolderMembers:
    """Members of a folder; a link that leads out of it is none.

    Parameters
    ----------
    folder : Path
        The folder.
    only : str, optional
        The one name to list; others are still found by name.
    closing : ExitStack
        Closes what is opened.
    """

    def __init__(self, folder: Path, only: str, closing: ExitStack) -> None:
        self._folder, self._closing = folder, closing
        self.names = (only,) if only else tuple(sorted(_names_in(folder)))

    def has(self, name: str) -> bool:
        """Return whether there is a member of that name."""
        path = self._folder / member_name(name)
        return path.exists() and not path.is_dir() and lies_inside(path, self._folder)

    def open(self, name: str, most: int) -> tuple[BinaryIO, int]:
        """Open a member for reading bytes anywhere in it, and return it with its size.

        Raises
        ------
        NetworkError
            If it is absent, leads out of the folder, is no ordinary file, or has more bytes.
        """
        path = self._folder / member_name(name)
        try:
            if not lies_inside(path, self._folder):
                raise _leads_out()
            return self._closing.enter_context(ordinary_file(path, most))
        except OSError as error:
            reason = "there is no such file" if isinstance(error, FileNotFoundError) else str(error)
            raise NetworkError(
                f"{path}, of the network's package, cannot be read: {reason}. Copy the whole package again."
            ) from error


def _leads_out() -> OSError:
    return OSError("it is a link that leads out of its folder")


def _names_in(folder: Path) -> Iterator[str]:
    """Yield the names of files in a folder, some thousand at most; links to folders are not followed."""
    left = _MOST_NAMES
    for parent, folders, files in os.walk(folder):
        inside = Path(parent).relative_to(folder)
        folders[:] = [] if len(inside.parts) + 1 >= _DEEPEST else sorted(folders)
        for name in sorted(files):
            left -= 1
            if left < 0:
                return
            yield (inside / name).as_posix()


class ZipMembers:
    """Members of a zip file; those in one folder that holds all of them are named from there.

    Parameters
    ----------
    content : Content
        The file, opened.
    """

    def __init__(self, content: Content) -> None:
        self._content = content

    @cached_property
    def _infos(self) -> Mapping[str, zipfile.ZipInfo]:
        return _infos(self._content)

    @cached_property
    def names(self) -> tuple[str, ...]:
        """Names of the members, in order."""
        return tuple(sorted(self._infos))

    def has(self, name: str) -> bool:
        """Return whether there is a member of that name."""
        return member_name(name) in self._infos

    def open(self, name: str, most: int) -> tuple[BinaryIO, int]:
        """Unpack a member into memory, and return it with its size.

        Raises
        ------
        NetworkError
            If it is absent, has more bytes or others than the file states, or grows like no network.
        """
        source = f"{self._content.path}:{name}"
        info = self._infos.get(member_name(name))
        if info is None:
            raise NetworkError(f"{source} is missing in the network's package. Copy the whole package again.")
        if info.file_size > min(most, max(_SMALL, _GROWTH * info.compress_size)):
            raise NetworkError(
                f"{source} states {info.file_size} bytes, in {info.compress_size} of the zip file; what "
                "belongs to a network is smaller, or does not shrink so much. Unpack the file, and open that."
            )
        if info.compress_type not in _PACKING:
            raise NetworkError(
                f"{source} is packed in a way that is not read here. Unpack it, and open that."
            )
        with (
            answering(NetworkError, f"{source} should be a whole member", "Copy the zip file again."),
            zipfile.ZipFile(self._content.file) as archive,
            archive.open(info) as file,
        ):
            data = file.read(info.file_size + 1)
            if len(data) != info.file_size:
                raise ValueError(f"it has {len(data)} bytes, and states {info.file_size}")
        return io.BytesIO(data), len(data)


def _infos(content: Content) -> Mapping[str, zipfile.ZipInfo]:
    """Return what the directory says of each member that can be read, by its name."""
    if not 0 < len(content.members) <= _MOST_MEMBERS:
        return {}
    with zipfile.ZipFile(content.file) as archive:
        found = [each for each in archive.infolist() if _is_plain(each)]
    names = Counter(each.filename for each in found)
    tops = {name.partition("/")[0] if "/" in name else "" for name in names}
    top = f"{tops.pop()}/" if len(tops) == 1 and "" not in tops else ""
    # Of two members with one name, programs read one or the other: neither is one here.
    return {each.filename.removeprefix(top): each for each in found if names[each.filename] == 1}


def _is_plain(info: zipfile.ZipInfo) -> bool:
    kind = stat.S_IFMT(info.external_attr >> 16)
    added = info.filename.startswith(_ADDED[0]) or info.filename.endswith(_ADDED[1])
    # Names of folders end in a slash, which that of a member does not.
    return kind in {0, stat.S_IFREG} and not added and is_member_name(info.filename)
