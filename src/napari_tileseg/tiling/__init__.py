"""Where tiles lie: boxes, grids, padding. Arithmetic and numpy only."""

from napari_tileseg.tiling.box import Box
from napari_tileseg.tiling.grid import Lattice, Tile, TileGrid
from napari_tileseg.tiling.padding import Padding, read_padded

__all__ = ["Box", "Lattice", "Padding", "Tile", "TileGrid", "read_padded"]
