"""What a tensor of an exported graph is: a feature map, and the layout in which it is seen."""

from __future__ import annotations

from dataclasses import dataclass

from napari_tileseg.graphs.layouts.layout import Layout


@dataclass(frozen=True, slots=True)
class Arranged:
    """A feature map in a layout.

    Parameters
    ----------
    source : int
        Number of the feature map; 0 is the image.
    layout : Layout
        Its axes.
    """

    source: int
    layout: Layout
