"""Events of a running prediction."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TypeAlias

from napari_tileseg._progress import Noted, Progress
from napari_tileseg.tiling import Tile


@dataclass(frozen=True, slots=True)
class Started:
    """Tiles are about to be computed: `total` of them, of which `done` were computed by an earlier run."""

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


PredictEvent: TypeAlias = Started | TileDone | Saved | Noted | Progress
