"""What a running prediction tells, one frozen event at a time."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TypeAlias

from napari_tileseg.tiling import Tile


@dataclass(frozen=True, slots=True)
class Started:
    """The work is laid out: `total` tiles, of which `done` were there already."""

    total: int
    done: int


@dataclass(frozen=True, slots=True)
class TileDone:
    """A tile's core is written.

    Parameters
    ----------
    tile : Tile
        The tile.
    done, total : int
        Tiles finished, this one included, and tiles in all.
    seconds : float
        Since the start of this run.
    seconds_left : float
        Estimate for the rest, from the tiles of this run.
    """

    tile: Tile
    done: int
    total: int
    seconds: float
    seconds_left: float


@dataclass(frozen=True, slots=True)
class Saved:
    """Everything is on disk.

    Parameters
    ----------
    path : Path
        The store.
    tiles, tiles_computed : int
        Tiles in all, and those computed by this run.
    seconds : float
        Time of this run.
    """

    path: Path
    tiles: int
    tiles_computed: int
    seconds: float


@dataclass(frozen=True, slots=True)
class Noted:
    """Something the user should know, such as a smaller batch after running out of memory.

    Parameters
    ----------
    message : str
        One or two sentences.
    warning : bool
        Whether the result may not be what was wished for.
    """

    message: str
    warning: bool = False


@dataclass(frozen=True, slots=True)
class Progress:
    """Work before and after the tiles goes on, such as measuring intensities or the pyramid.

    Parameters
    ----------
    what : str
        What is being done, in a few words.
    fraction : float
        How much of it is done, 0 to 1.
    seconds_left : float, optional
        Estimate for the rest of it; None where there is none.
    """

    what: str
    fraction: float
    seconds_left: float | None = None


PredictEvent: TypeAlias = Started | TileDone | Saved | Noted | Progress
