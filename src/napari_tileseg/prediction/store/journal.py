"""Which tiles of a store are done."""

from __future__ import annotations

from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path

from napari_tileseg._types import Shape

NAME = "tiles_done.txt"


def _is_index(part: bytes) -> bool:
    return part.isdigit() and len(part) < 20


class Journal:
    """The tiles that are done, one line of indices each, beside the chunks.

    A line is appended and handed to the operating system after the tile's chunks are in place, so it
    survives the end of the process, however sudden. Nothing is forced to the disk (fsync): after a power cut
    tiles of the last seconds may be damaged. A last line without its end is not counted.

    Parameters
    ----------
    store : Path
        Folder of the store.
    """

    def __init__(self, store: Path) -> None:
        self._path = store / NAME

    def done(self) -> set[Shape]:
        """Return the indices of the tiles that are done."""
        if not self._path.exists():
            return set()
        lines = self._path.read_bytes().split(b"\n")[:-1]
        named = [line.split() for line in lines if line]
        # After a power cut a line may hold anything; its tile is done again.
        return {tuple(map(int, parts)) for parts in named if all(map(_is_index, parts))}

    def begin(self) -> None:
        """Make ready to append: drop a torn last line, and files that a killed process was writing."""
        for leftover in self._path.parent.rglob("*.partial"):
            leftover.unlink()
        text = self._path.read_bytes() if self._path.exists() else b""
        whole = text[: text.rfind(b"\n") + 1]
        if whole != text:
            self._path.write_bytes(whole)

    def add(self, indices: Iterable[Shape]) -> None:
        """Append tiles."""
        with self._path.open("a", encoding="ascii") as file:
            file.writelines(" ".join(map(str, index)) + "\n" for index in indices)

    def remove(self) -> None:
        """Remove the journal: the store is marked as complete, whatever happens to this file."""
        # Windows removes no file that somebody reads; the next run over the store tries again.
        with suppress(PermissionError):
            self._path.unlink(missing_ok=True)
