"""A prepared image whose blocks are cached once they are read, as patches of training overlap."""

from __future__ import annotations

from collections import OrderedDict
from itertools import product
from math import prod

import numpy as np
import numpy.typing as npt

from napari_tileseg._types import Shape
from napari_tileseg.prediction.input.prepared import PreparedImage
from napari_tileseg.tiling import Box
from napari_tileseg.tiling.rounding import ceil_div

#: Bytes of blocks that are cached.
BUDGET = 2**29
_SIDES = {1: (2**16,), 2: (256, 256), 3: (32, 64, 64)}


class BlockCache:
    """Reads a prepared image block by block and caches the blocks used last.

    Parameters
    ----------
    prepared : PreparedImage
        The image. Where each read is normalized by itself, nothing can be cached.
    budget : int
        Most bytes to cache.
    """

    def __init__(self, prepared: PreparedImage, budget: int = BUDGET) -> None:
        self._prepared = prepared
        self._blocks: OrderedDict[Shape, npt.NDArray[np.float32]] = OrderedDict()
        ndim = len(prepared.padded_shape)
        sides = _SIDES[min(ndim, 3)]
        self._sides = (1,) * (ndim - len(sides)) + sides
        channels = len(prepared.image.channel_indices)
        self._most = max(1, budget // (4 * channels * prod(self._sides)))
        self._keeps = prepared.normalization.kind != "tile"

    @property
    def padded_shape(self) -> Shape:
        """Voxels along each grid axis, padding included."""
        return self._prepared.padded_shape

    def read(self, box: Box) -> npt.NDArray[np.float32]:
        """Return the voxels of a box inside the padded image: ``(channels, *box.shape)``."""
        if not self._keeps:
            return self._prepared.read(box)
        channels = len(self._prepared.image.channel_indices)
        values = np.empty((channels, *box.shape), np.float32)
        ranges = (
            range(a // n, ceil_div(b, n)) for a, b, n in zip(box.start, box.stop, self._sides, strict=True)
        )
        for index in product(*ranges):
            block = self._box(index)
            part = box.clip(block)
            values[(slice(None), *part.within(box))] = self._block(index)[(slice(None), *part.within(block))]
        return values

    def _box(self, index: Shape) -> Box:
        start = tuple(i * n for i, n in zip(index, self._sides, strict=True))
        stop = tuple(a + n for a, n in zip(start, self._sides, strict=True))
        return Box(start, stop).clip(Box.of_shape(self.padded_shape))

    def _block(self, index: Shape) -> npt.NDArray[np.float32]:
        if index in self._blocks:
            self._blocks.move_to_end(index)
            return self._blocks[index]
        values = self._prepared.read(self._box(index))
        self._blocks[index] = values
        if len(self._blocks) > self._most:
            self._blocks.popitem(last=False)
        return values
