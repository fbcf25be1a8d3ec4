"""Stride, read shapes, halo and receptive field, measured from a network itself."""

from napari_tileseg.nets.geometry.cache import measured
from napari_tileseg.nets.geometry.measurement import measure
from napari_tileseg.nets.geometry.mixing import mixing_layers

__all__ = ["measure", "measured", "mixing_layers"]
