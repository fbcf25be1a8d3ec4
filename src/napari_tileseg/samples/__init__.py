"""Synthetic sample images and the shipped sample networks."""

from napari_tileseg.samples.images import Sample, cells_image, nuclei_volume
from napari_tileseg.samples.networks import SampleNetwork, sample_networks

__all__ = [
    "Sample",
    "SampleNetwork",
    "cells_image",
    "nuclei_volume",
    "sample_networks",
]
