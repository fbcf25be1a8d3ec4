"""Reading and preparing the voxels of the next tiles while others are computed."""

from __future__ import annotations

from collections.abc import Iterable
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Self, final

from napari_tileseg._types import Array, Shape
from napari_tileseg.prediction.input.prepared import PreparedImage
from napari_tileseg.tiling import Box


@final
class ReadAhead:
    """A prepared image whose expected boxes are read in a thread before they are asked for.

    Only the boxes expected last are held. What goes wrong with one is raised when it is asked for.

    Parameters
    ----------
    image : PreparedImage
        The image.
    """

    def __init__(self, image: PreparedImage) -> None:
        self._image = image
        # Intensities that are scaled read by read differ between a box and a larger one around it.
        self._divisible = image.normalization.kind != "tile"
        self._reads: dict[Box, Future[Array]] = {}
        self._thread = ThreadPoolExecutor(1, "tileseg-read")

    @property
    def padded_shape(self) -> Shape:
        """Voxels along each grid axis, padding included."""
        return self._image.padded_shape

    def expect(self, boxes: Iterable[Box]) -> None:
        """Read these boxes in this order, and forget others."""
        known, wanted = self._reads, list(boxes)
        for box in known.keys() - set(wanted):
            known[box].cancel()
        self._reads = {box: known.get(box) or self._thread.submit(self._image.read, box) for box in wanted}

    def read(self, box: Box) -> Array:
        """Read as `PreparedImage.read` does; wait for a box that is being read."""
        for held, values in self._reads.items():
            if held == box or (self._divisible and held.contains(box)):
                return values.result()[(slice(None), *box.within(held))]
        return self._image.read(box)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._thread.shutdown(cancel_futures=True)
