"""Predictions in a view of space: single objects, one before the other, instead of a sum of all."""

from __future__ import annotations

from collections.abc import Iterable

from napari.layers import Image as ImageLayer
from napari.layers import Layer

#: Rays get darker the deeper the object lies that they meet; in slices it has no effect.
RENDERING = "attenuated_mip"
ATTENUATION = 1.0
#: In a slice one sees the image through a prediction. In space everything on a ray would add up to white.
BLENDING = {2: "additive", 3: "translucent"}


def fit_to_display(layers: Iterable[Layer], ndisplay: int) -> None:
    """Blend layers of predictions as suits slices, or space; those that the user blends otherwise stay.

    Parameters
    ----------
    layers : iterable of Layer
        Others than those of predictions are left alone.
    ndisplay : int
        Axes that are displayed from now on, 2 or 3.
    """
    before = BLENDING[5 - ndisplay]
    for layer in layers:
        if isinstance(layer, ImageLayer) and layer.rendering == RENDERING and layer.blending == before:
            layer.blending = BLENDING[ndisplay]
