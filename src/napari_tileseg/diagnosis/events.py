"""What a running diagnosis tells, and how it estimates the time that is left."""

from __future__ import annotations

import time
from dataclasses import dataclass

from napari_tileseg._types import Array
from napari_tileseg.diagnosis.pairs.pair_plan import TilePair
from napari_tileseg.tiling import Box


@dataclass(frozen=True, slots=True, eq=False)
class PairDone:
    """A pair of tiles is predicted and compared.

    Parameters
    ----------
    pair : TilePair
        The pair.
    first, second : ndarray
        Both predictions of the pair's valid voxels: ``(classes, *pair.valid.shape)``.
    done, total : int
        Pairs compared, this one included, and pairs in all.
    seconds_left : float
        Estimate for the rest.
    """

    pair: TilePair
    first: Array
    second: Array
    done: int
    total: int
    seconds_left: float


@dataclass(frozen=True, slots=True)
class TileCompared:
    """A tile is predicted in two ways.

    Parameters
    ----------
    box : Box
        The tile.
    done, total : int
        Tiles compared, this one included, and tiles in all.
    seconds_left : float
        Estimate for the rest.
    """

    box: Box
    done: int
    total: int
    seconds_left: float


class Countdown:
    """Estimates the time left from the time taken.

    Parameters
    ----------
    total : int
        Pieces of work in all.
    """

    def __init__(self, total: int) -> None:
        self._total = total
        self._begun = time.monotonic()

    def left(self, done: int) -> float:
        """Seconds left after `done` pieces, at least 1."""
        return (time.monotonic() - self._begun) / done * (self._total - done)
