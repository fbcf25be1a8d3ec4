"""What a kind of file is to the fuzzer: how an intact one is made, what is damaged, how it is read."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from napari_tileseg.errors import TilesegError


@dataclass(frozen=True, slots=True, kw_only=True)
class Kind:
    """Files that are read by one function.

    Parameters
    ----------
    name : str
        What they are called.
    make : callable
        Writes intact ones into a folder.
    damaged : tuple of str
        Patterns of the files of that folder of which one at a time is damaged; behind a "!" that of the
        members of a zip file, of which one is damaged then.
    read : callable
        Reads them from a copy of the folder, as the program does.
    answers : tuple of type
        Errors that reading may end with.
    share : int
        How often it is chosen, beside the other kinds.
    """

    name: str
    make: Callable[[Path], None]
    damaged: tuple[str, ...]
    read: Callable[[Path], None]
    answers: tuple[type[TilesegError], ...]
    share: int = 2
