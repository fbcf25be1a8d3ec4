"""Stride, read shapes, halo and receptive field: derived from a network's operations, or measured."""

from napari_tileseg.nets.geometry.cache import cached_measurement
from napari_tileseg.nets.geometry.measurement import Measurement, measure
from napari_tileseg.nets.geometry.mixing import mixing_layers

__all__ = ["Measurement", "cached_measurement", "measure", "mixing_layers"]
