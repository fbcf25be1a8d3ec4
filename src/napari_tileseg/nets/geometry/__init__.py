"""Stride, read shapes, halo and receptive field, measured from a network itself."""

from napari_tileseg.nets.geometry.cache import cached_geometry
from napari_tileseg.nets.geometry.measurement import measure
from napari_tileseg.nets.geometry.mixing import mixing_layers

__all__ = ["cached_geometry", "measure", "mixing_layers"]
