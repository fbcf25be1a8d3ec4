"""Synthetic sample images and the shipped sample networks."""

from napari_tileseg.samples.images import Sample, cells_image, classes_from_instances, nuclei_volume

__all__ = ["Sample", "cells_image", "classes_from_instances", "nuclei_volume"]
