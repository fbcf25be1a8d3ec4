"""Which chunks of labels are on disk, as hashes of their voxels, and how much is painted in them."""

from __future__ import annotations

from zlib import crc32

from napari_tileseg._types import Array, Shape
from napari_tileseg.labels.sparse_array import SparseArray
from napari_tileseg.session.painting.counts import Painted, StrokeCounts
from napari_tileseg.tiling import Box


class SavedChunks:
    """What is known of the chunks of labels on disk.

    Parameters
    ----------
    shape : tuple of int
        Voxels of the labels.
    """

    def __init__(self, shape: Shape) -> None:
        self._counts = StrokeCounts(shape)
        self._hashes: dict[Shape, int] = {}

    @classmethod
    def of(cls, array: SparseArray) -> SavedChunks:
        """Take all that is in an array which was just read, before anybody paints on it."""
        chunks = cls(array.shape)
        for index in array.written:
            box = array.chunk_box(index)
            chunks.take(index, box, array[box.slices])
        return chunks

    @property
    def indices(self) -> tuple[Shape, ...]:
        """Of the chunks that are known; may be asked for while another thread takes some."""
        return tuple(self._hashes)

    def __contains__(self, index: Shape) -> bool:
        return index in self._hashes

    def holds(self, index: Shape, values: Array) -> bool:
        """Return whether these voxels of a chunk are on disk."""
        return self._hashes.get(index) == crc32(values.tobytes())

    def take(self, index: Shape, box: Box, values: Array) -> None:
        """Record a chunk that is on disk now."""
        self._counts.update(index, box, values)
        self._hashes[index] = crc32(values.tobytes())

    def counted(self) -> dict[int, Painted]:
        """Return the voxels and strokes of each value."""
        return self._counts.counted()
