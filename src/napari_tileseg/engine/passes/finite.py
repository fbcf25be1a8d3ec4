"""Where in an image a feature map is NaN or infinite."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from napari_tileseg._types import Shape
from napari_tileseg._words import as_typed
from napari_tileseg.errors import ImageError
from napari_tileseg.tiling import Box


@dataclass(frozen=True, slots=True)
class Place:
    """Where a feature map lies.

    Parameters
    ----------
    whole, image : tuple of int
        Shape of the feature map, and of the image that it is computed of.
    origin : tuple of int
        Where that begins in the image that a message is about.
    layer : str
        Path of the layer that looks at the map; "" where it is not one.
    """

    whole: Shape
    image: Shape
    origin: Shape
    layer: str

    def check(self, box: Box, values: Tensor) -> None:
        """Raise `ImageError`, with layer and place, where values of a box of the map are not finite.

        Parameters
        ----------
        box : Box
            A part of the map.
        values : Tensor
            ``(1, channels, *box.shape)``.

        Raises
        ------
        ImageError
            If one is NaN or infinite.
        """
        # A sum shows quickly that all are; it may overflow where they are.
        if bool(torch.isfinite(values.sum())):
            return
        wrong = (~torch.isfinite(values[0])).any(0).nonzero()
        if not len(wrong):
            return
        first = zip(wrong[0].tolist(), box.start, self.image, self.whole, self.origin, strict=True)
        voxel = tuple((at + start) * size // whole + begin for at, start, size, whole, begin in first)
        raise ImageError(
            f"What {f'layer {self.layer}' if self.layer else 'the network'} takes statistics of is NaN or "
            f"infinite, first near voxel {as_typed(voxel)} of the image. Look there for huge values, or "
            "normalize the intensities in another way."
        )
