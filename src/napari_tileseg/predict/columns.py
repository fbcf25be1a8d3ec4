"""Computing tiles that follow one another with what the one before has left."""

from __future__ import annotations

from collections.abc import Iterator
from typing import final

import numpy as np

from napari_tileseg._types import Array, Shape
from napari_tileseg.engine import Engine, PaddedImage
from napari_tileseg.errors import DeviceError
from napari_tileseg.tiling import Box, Tile, TileGrid

#: Planes of the image that a sweep computes at once, about.
PLANES = 16


@final
class Columns:
    """Computes tiles: in a sweep along the network's first axis, as long as they follow one another on it.

    A sweep keeps of each feature map what the next tile needs, so that nothing is computed twice along its
    axis. A tile that comes out of turn ends it.

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
    """

    def __init__(self, engine: Engine, image: PaddedImage, grid: TileGrid, lead: int) -> None:
        self._engine, self._image, self._grid, self._axis = engine, image, grid, lead
        self._parts: Iterator[tuple[Box, Array]] = iter(())
        self._part: tuple[Box, Array] | None = None
        self._awaited: Shape | None = None
        self._able = max(grid.core[:lead], default=1) == 1 and engine.sweeps(image.padded_shape)

    @property
    def able(self) -> bool:
        """Whether the engine can sweep here; else tiles may as well be computed several at once."""
        return self._able

    def compute(self, tile: Tile, following: Tile | None) -> Array:
        """Core of a tile, as `Engine.compute` gives it.

        Parameters
        ----------
        tile : Tile
            The tile.
        following : Tile or None
            The tile that would come next, as things are now.
        """
        below = self._below(tile)
        if self._able and tile.index != self._awaited and following is not None and following.index == below:
            self._begin(tile)
        swept = self._able and tile.index == self._awaited
        self._awaited = below if swept else None
        if swept:
            try:
                return self._collect(tile.core)
            except DeviceError:
                self._able = False  # one tile may fit where a slab of the column does not
        return self._engine.compute(self._image, [tile])[0]

    def _below(self, tile: Tile) -> Shape:
        """Index of the tile after one along the swept axis, whether there is one or not."""
        place = self._axis
        return (*tile.index[:place], tile.index[place] + 1, *tile.index[place + 1 :])

    def _begin(self, tile: Tile) -> None:
        stop = list(tile.core.stop)
        stop[self._axis] = self._grid.covered.stop[self._axis]
        step = self._grid.stride[self._axis]
        planes = max(step, PLANES // step * step)
        self._parts = self._engine.sweep(self._image, Box(tile.core.start, tuple(stop)), planes)
        self._part, self._awaited = None, tile.index

    def _collect(self, core: Box) -> Array:
        """The next planes of the sweep, which are those of a core."""
        pieces, axis = [], self._axis
        reached = core.start[axis]
        while reached < core.stop[axis]:
            box, values = self._part or next(self._parts)
            here = box.clip(core)
            pieces.append(values[(slice(None), *here.within(box))])
            reached = here.stop[axis]
            self._part = (box, values) if box.stop[axis] > core.stop[axis] else None
        return np.concatenate(pieces, axis=axis + 1)
