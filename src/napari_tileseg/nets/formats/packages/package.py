"""What a user chose as a network, opened: its members, read with limits and hashed as they are read."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path

from napari_tileseg._files import ordinary_file
from napari_tileseg.errors import NetworkError
from napari_tileseg.nets.formats.packages.content import Content, look_at
from napari_tileseg.nets.formats.packages.members import LARGEST, FolderMembers, Members, ZipMembers

#: The name by which the chosen file itself is read.
ITSELF = ""
#: The folder of a MONAI bundle's configurations, and those of them that stand for the bundle.
_CONFIGS = "configs"
_OF_BUNDLES = ("metadata.json", "inference.json", "inference.yaml", "inference.yml")


class Package:
    """A folder, a zip file or one file that a user chose as a network.

    Nothing outside of it is read, and nothing is written. Where one file is chosen that is no archive, what
    lies beside it counts as its package, found by name and not listed. A configuration of a MONAI bundle
    stands for the bundle's folder, which is that above its own.

    Parameters
    ----------
    path : Path
        What was chosen.
    file : Content or None
        The chosen file, opened; None for a folder.
    members : Members
        What is in it.
    """

    def __init__(self, path: Path, file: Content | None, members: Members) -> None:
        self.path, self.file = path, file
        self._members = members
        self._opened: dict[str, Content] = {} if file is None else {ITSELF: file}
        self._hashes: dict[str, str] = {}

    @property
    def names(self) -> tuple[str, ...]:
        """Names of the members, with ``/`` between folders; of a file that is no archive, its own name."""
        return self._members.names

    @property
    def chosen(self) -> str:
        """Name of the chosen file among the members; "" where a folder or a zip file was chosen."""
        return "" if self.file is None or self.file.is_zip else self.file.path.name

    @property
    def looked_into(self) -> bool:
        """Whether a member other than the chosen file was opened, or there is no such file."""
        return self.file is None or len(self._opened) > 1

    def has(self, name: str) -> bool:
        """Return whether there is a member of that name.

        Raises
        ------
        NetworkError
            If the name leads out of the package.
        """
        return self._key(name) == ITSELF or self._members.has(name)

    def content(self, name: str = ITSELF, most: int = LARGEST) -> Content:
        """Return a member, opened as long as the package is; of a zip file, unpacked into memory.

        Parameters
        ----------
        name : str
            The member; by default the chosen file itself.
        most : int
            Bytes that it may have.

        Raises
        ------
        NetworkError
            If it is absent, leads out of the package, is no ordinary file, or has more bytes.
        """
        key = self._key(name)
        if key not in self._opened:
            if not key:
                raise NetworkError(f"{self.path} is a folder; a file was expected.")
            file, size = self._members.open(key, most)
            self._opened[key] = look_at(file, size, self._path_of(key))
        content = self._opened[key]
        if content.size > most:
            raise NetworkError(
                f"{content.path} has {content.size} bytes; {most} are enough for what it should be. Take "
                "another package."
            )
        return content

    def read(self, name: str = ITSELF, most: int = LARGEST) -> bytes:
        """Return all bytes of a member, the same each time.

        Raises
        ------
        NetworkError
            As `content` does, or if it has changed since it was hashed or read first.
        """
        content = self.content(name, most)
        data = content.everything()
        sha256 = hashlib.sha256(data).hexdigest()
        if self._hashes.setdefault(self._key(name), sha256) != sha256:
            raise NetworkError(
                f"{content.path} is being written. Wait until it is there as a whole, and open it then."
            )
        return data

    def digest(self, name: str = ITSELF) -> str:
        """Return the SHA-256 of a member's bytes."""
        key = self._key(name)
        if key not in self._hashes:
            self._hashes[key] = self.content(name).sha256()
        return self._hashes[key]

    def sha256(self, used: Sequence[str] = (ITSELF,)) -> str:
        """Return the hash of what decides what a network computes.

        Parameters
        ----------
        used : sequence of str
            Members, in an order that is the same each time.

        Returns
        -------
        str
            The hash of the file's bytes where it is the chosen file alone; else that of all names and
            hashes, which a folder and its zip file share.
        """
        if [self._key(name) for name in used] == [ITSELF]:
            return self.digest()
        lines = "".join(f"{name}\n{self.digest(name)}\n" for name in used)
        return hashlib.sha256(lines.encode()).hexdigest()

    def _key(self, name: str) -> str:
        return ITSELF if name == self.chosen else name

    def _path_of(self, name: str) -> Path:
        folder = self.path if not self.chosen else self.path.parent
        return folder / name


@contextmanager
def open_package(path: Path) -> Iterator[Package]:
    """Open what a user chose; only what tells files apart is read.

    Raises
    ------
    NetworkError
        If it cannot be read, is neither folder nor ordinary file, or is larger than any network.
    """
    with ExitStack() as closing:
        yield _package(path, closing)


def _package(path: Path, closing: ExitStack) -> Package:
    try:
        folder = path.parent.parent if _is_of_bundle(path) else path
        if folder.is_dir():
            return Package(folder, None, FolderMembers(folder, "", closing))
        file, size = closing.enter_context(ordinary_file(path, LARGEST))
        content = look_at(file, size, path)
        if content.is_zip:
            return Package(path, content, ZipMembers(content))
        return Package(path, content, FolderMembers(path.parent, path.name, closing))
    except OSError as error:
        reason = "there is no such file" if isinstance(error, FileNotFoundError) else str(error)
        raise NetworkError(f"{path} cannot be read: {reason}. Check the path and its permissions.") from error


def _is_of_bundle(path: Path) -> bool:
    """Return whether a file is a configuration in the folder where a MONAI bundle has it."""
    inside = path.parent.name == _CONFIGS and path.name in _OF_BUNDLES
    return inside and path.is_file() and path.with_name(_OF_BUNDLES[0]).is_file()
