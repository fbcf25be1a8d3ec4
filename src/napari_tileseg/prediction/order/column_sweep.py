"""Sweeps over tiles, each computed from what the tiles before it have left."""

from __future__ import annotations

from collections.abc import Iterator
from typing import final

import numpy as np

from napari_tileseg._types import Array
from napari_tileseg.engine import Engine, PaddedImage
from napari_tileseg.engine.regions.cores.core_planner import planes_of
from napari_tileseg.errors import DeviceError
from napari_tileseg.tiling import Box, Tile, TileGrid


@final
class Columns:
    """Computes tiles in sweeps along the network's first axis; those out of turn are computed by themselves.

    A sweep holds of each feature map what the next tile needs, so that nothing is computed twice along its
    axis. Sums are rounded differently in a sweep, in a tile by itself, and in a sweep that begins elsewhere.
    Sweeps therefore begin at fixed positions, every `length` tiles: a run that is resumed in between sweeps
    over the tiles that are done again, and every tile that comes in turn has the same bits, whether the run
    was interrupted or not.

    Parameters
    ----------
    engine : Engine
        Computes.
    image : PaddedImage
        What is computed.
    grid : TileGrid
        The tiles.
    lead : int
        Axes at the front that the network does not know.
    length : int
        Tiles of a sweep, as `TileOrder.sweep`.
    """

    def __init__(self, engine: Engine, image: PaddedImage, grid: TileGrid, lead: int, length: int) -> None:
        self._engine, self._image, self._grid, self._axis = engine, image, grid, lead
        self._length = length
        # The sweep under way: its tiles' cores together, the parts that it still yields, the one that was
        # yielded and reaches past the last tile, and the first plane that has not been used.
        self._column: Box | None = None
        self._parts: Iterator[tuple[Box, Array]] = iter(())
        self._part: tuple[Box, Array] | None = None
        self._reached = 0
        follows = max(grid.core[:lead], default=1) == 1 and min(length, grid.counts[lead]) > 1
        self._able = follows and engine.sweeps(image.padded_shape)

    @property
    def able(self) -> bool:
        """Whether the engine can sweep here; otherwise tiles may as well be computed several at once."""
        return self._able

    def approach(self, tile: Tile) -> bool:
        """Sweep over one of the tiles that lie before a tile in its sweep and are done already.

        One at a time, so that the caller can compute a tile in between that somebody has begun to wait for.

        Parameters
        ----------
        tile : Tile
            One that comes in turn.

        Returns
        -------
        bool
            Whether it is the next one now.
        """
        column, begin = self._column_of(tile), tile.core.start[self._axis]
        if not self._able or column == tile.core:
            return True
        try:
            self._enter(column, begin)
            for _ in self._planes(min(begin, self._reached + self._grid.core[self._axis])):
                pass
        except DeviceError:
            self._able = False
        return not self._able or self._reached == begin

    def sweep(self, tile: Tile) -> Array | None:
        """Compute the core of a tile that comes in turn, as `Engine.compute` does.

        Parameters
        ----------
        tile : Tile
            One that comes in turn.

        Returns
        -------
        ndarray or None
            None where no sweep has it, so that it is to be computed by itself.
        """
        column = self._column_of(tile)
        if not self._able or column == tile.core:
            return None
        begin, end = tile.core.start[self._axis], tile.core.stop[self._axis]
        try:
            self._enter(column, begin)
            for _ in self._planes(begin):
                pass
            return np.concatenate(list(self._planes(end)), axis=self._axis + 1)
        except DeviceError:
            self._able = False  # one tile may fit where a slab of the column does not
        return None

    def _column_of(self, tile: Tile) -> Box:
        """Return the box of all cores that are swept together with a tile."""
        first, last = list(tile.index), list(tile.index)
        first[self._axis] -= first[self._axis] % self._length
        last[self._axis] = min(first[self._axis] + self._length, self._grid.counts[self._axis]) - 1
        return Box(self._grid[first].core.start, self._grid[last].core.stop)

    def _enter(self, column: Box, begin: int) -> None:
        """Begin the sweep of a column, unless it is being swept and has not got past `begin`.

        The sweep cannot go back: what it held of feature maps before `begin` is gone.
        """
        if column != self._column or begin < self._reached:
            planes = planes_of(self._grid.core[self._axis :], self._grid.stride[self._axis])
            self._parts = self._engine.sweep(self._image, column, planes)
            self._column, self._part = column, None
            self._reached = column.start[self._axis]

    def _planes(self, end: int) -> Iterator[Array]:
        """Generate what the sweep yields up to a plane. Its slabs do not end where cores do."""
        while self._reached < end:
            box, values = self._part or next(self._parts)
            start, stop = box.start[self._axis], box.stop[self._axis]
            wanted = slice(self._reached - start, min(end, stop) - start)
            self._part = (box, values) if stop > end else None
            self._reached = min(end, stop)
            yield values[(slice(None),) * (self._axis + 1) + (wanted,)]
