"""Reading, computing and writing tiles, all three at the same time."""

from __future__ import annotations

from collections.abc import Generator, Sequence
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import zarr

from napari_tileseg._types import Array
from napari_tileseg.engine import Engine
from napari_tileseg.errors import StoreError
from napari_tileseg.images.omezarr_metadata import stored_axes, with_channel
from napari_tileseg.images.resample import origin_of
from napari_tileseg.prediction.input.chunk_cache import ChunkCache, most_cached, room
from napari_tileseg.prediction.input.read_ahead import ReadAhead
from napari_tileseg.prediction.order.column_sweep import Columns
from napari_tileseg.prediction.order.tile_order import TileOrder
from napari_tileseg.prediction.overlap import overlapped
from napari_tileseg.prediction.plan.plan import Plan
from napari_tileseg.prediction.store.damage import Parts, take_back
from napari_tileseg.prediction.store.journal import Journal
from napari_tileseg.prediction.store.store import chunk_files, writing
from napari_tileseg.tiling import Box, Tile


class Finished(NamedTuple):
    """Tiles that were computed together, their cores, and the engine's notes.

    There are no tiles where a sweep has only come closer to the next one: in between, a tile that somebody
    has begun to wait for can be computed.
    """

    tiles: Sequence[Tile]
    cores: Sequence[Array]
    notes: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class TileWork:
    """The tiles of an order, to be computed and written into a store.

    Parameters
    ----------
    path : Path
        Folder of the store.
    array : zarr.Array
        Its full level.
    plan : Plan
        The plan that is carried out.
    engine : Engine
        Computes the tiles.
    order : TileOrder
        The tiles that are not done; others may change it meanwhile.
    parts : Parts
        Parts of the store that have to exist as long as it is written.
    """

    path: Path
    array: zarr.Array[Any]
    plan: Plan
    engine: Engine
    order: TileOrder
    parts: Parts

    def run(self) -> Generator[Finished]:
        """Compute and write the tiles; yields those that go together as soon as they are written.

        Raises
        ------
        StoreError
            If they cannot be written.
        ImageError, NetworkError, DeviceError
            As `Engine.compute`.
        """
        self._expect()
        tiles = self.plan.tiles
        with ReadAhead(self.plan.prepared) as ahead:
            sweep = self.order.sweep if tiles.exact else 1
            columns = Columns(self.engine, ahead, tiles.grid, tiles.lead, sweep)
            with closing(overlapped(lambda: self._compute(ahead, columns), self._write)) as finished:
                yield from finished

    def _compute(self, image: ReadAhead, columns: Columns) -> Finished | None:
        count = 1 if columns.able else self.plan.batch
        if not self._approach(columns):
            return Finished((), (), self.engine.take_notes())
        tiles = self.order.pop(count)
        if not tiles:
            return None
        coming = self.order.peek(count)
        image.expect(self.engine.read_of(image.padded_shape, tile) for tile in (*tiles, *coming))
        swept = columns.sweep(tiles[0]) if columns.able and self.order.in_turn(tiles[0].index) else None
        cores = self.engine.compute(image, tiles) if swept is None else [swept]
        self._release(tiles)
        return Finished(tiles, cores, self.engine.take_notes())

    def _approach(self, columns: Columns) -> bool:
        """Return whether the next tile can be computed now, as its sweep has got there."""
        tiles = self.order.peek(1) if columns.able else []
        return all(columns.approach(tile) for tile in tiles if self.order.in_turn(tile.index))

    def _write(self, finished: Finished) -> None:
        grid, axes = self.plan.grid, self.plan.tiles.image.grid_axes
        channel = stored_axes(axes).index("c")
        self.parts.check()
        with writing(self.path):
            for tile, core in zip(finished.tiles, finished.cores, strict=True):
                inside = core[(slice(None), *grid.kept(tile).within(tile.core))]
                target = with_channel(grid.placed(tile).slices, axes, slice(None))
                self.array[target] = np.moveaxis(inside, 0, channel)
                self._check_written(tile)
            Journal(self.path).add(tile.index for tile in finished.tiles)

    def _check_written(self, tile: Tile) -> None:
        """Refuse a chunk whose folder was removed meanwhile, and made anew by writing the chunk."""
        try:
            self.parts.check()
        except StoreError:
            axes = self.plan.tiles.image.grid_axes
            take_back(self.path, chunk_files(self.path, self.array, tile.index, axes))
            raise

    def _expect(self) -> None:
        """Announce to the image's cache which voxels will be read."""
        origin, _ = origin_of(self.plan.tiles.image)
        if isinstance(origin.data, ChunkCache):
            limit = min(self.order.cache_bytes or room(origin), most_cached(origin))
            origin.data.expect(map(self._read_of, self.order.peek()), limit)

    def _release(self, tiles: Sequence[Tile]) -> None:
        source = origin_of(self.plan.tiles.image)[0].data
        if isinstance(source, ChunkCache):
            for tile in tiles:
                source.release(self._read_of(tile))

    def _read_of(self, tile: Tile) -> Box:
        """Return the box of the source that a tile's read comes from."""
        image = self.plan.tiles.image
        origin, box_of = origin_of(image)
        return origin.stored_box(box_of(tile.read.clip(Box.of_shape(image.shape))))
