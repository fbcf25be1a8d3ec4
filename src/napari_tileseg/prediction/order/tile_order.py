"""The order in which tiles are computed, which may change meanwhile."""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Iterable
from itertools import islice

from napari_tileseg._types import Shape
from napari_tileseg.tiling import Box, Tile, TileGrid


class TileOrder:
    """Tiles that are still to be computed, the next one first; safe to use from several threads.

    Parameters
    ----------
    grid : TileGrid
        The tiles.
    indices : iterable of tuple of int, optional
        Their initial order; C order of their index by default.
    sweep : int, optional
        Tiles along the network's first axis, counted from each multiple of it, that may be computed in one
        sweep; by default each tile is computed by itself.
    cache_bytes : int, optional
        Bytes of an image's chunks to cache so that few are read twice; 0 where that is not known.

    Examples
    --------
    >>> order = TileOrder(TileGrid((8,), (2,), ((0, 0),), (2,)))
    >>> order.prioritize(Box((5,), (6,)))
    >>> [tile.index for tile in order.pop(3)], order.remaining
    ([(2,), (0,), (1,)], 1)
    """

    def __init__(
        self, grid: TileGrid, indices: Iterable[Shape] | None = None, sweep: int = 1, cache_bytes: int = 0
    ) -> None:
        self._grid, self._sweep, self._cache_bytes = grid, sweep, cache_bytes
        self._lock = threading.Lock()
        self._waiting = OrderedDict.fromkeys(indices or (tile.index for tile in grid))
        self._hurried: set[Shape] = set()

    @property
    def grid(self) -> TileGrid:
        """The grid whose tiles these are."""
        return self._grid

    @property
    def sweep(self) -> int:
        """Tiles that may be computed in one sweep."""
        return self._sweep

    @property
    def cache_bytes(self) -> int:
        """Bytes of chunks to cache."""
        return self._cache_bytes

    @property
    def remaining(self) -> int:
        """Number of tiles not yet handed out."""
        with self._lock:
            return len(self._waiting)

    def pop(self, count: int = 1) -> list[Tile]:
        """Hand out the next tiles, at most `count`; none when all have been handed out."""
        with self._lock:
            taken = [self._waiting.popitem(last=False)[0] for _ in range(min(count, len(self._waiting)))]
        return [self._grid[index] for index in taken]

    def peek(self, count: int | None = None) -> list[Tile]:
        """Return the tiles that would come next, at most `count` (all by default); they stay in the order."""
        with self._lock:
            coming = list(islice(self._waiting, count))
        return [self._grid[index] for index in coming]

    def in_turn(self, index: Shape) -> bool:
        """Return whether a tile has its initial rank, and was never put before others."""
        with self._lock:
            return index not in self._hurried

    def mark(self, indices: Iterable[Shape]) -> None:
        """Remove tiles that are done already."""
        with self._lock:
            for index in indices:
                self._waiting.pop(index, None)

    def prioritize(self, wanted: Box | Iterable[Shape]) -> None:
        """Move waiting tiles to the front; the others follow in their present order.

        Parameters
        ----------
        wanted : Box or iterable of tuple of int
            A box of the image, whose tiles come from its centre outwards; or indices of tiles, in the order
            in which they should come.
        """
        indices = self._from_centre(wanted) if isinstance(wanted, Box) else list(wanted)
        with self._lock:
            for index in reversed(indices):
                if index in self._waiting:
                    self._waiting.move_to_end(index, last=False)
                    self._hurried.add(index)

    def _from_centre(self, box: Box) -> list[Shape]:
        middle = tuple(a + b for a, b in zip(box.start, box.stop, strict=True))

        def distance(tile: Tile) -> float:
            extents = zip(tile.core.start, tile.core.stop, middle, tile.core.shape, strict=True)
            return sum(((a + b - m) / n) ** 2 for a, b, m, n in extents)

        return [tile.index for tile in sorted(self._grid.tiles_in(box), key=distance)]
