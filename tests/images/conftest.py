"""A source of voxels that tells what is read of it."""

from collections import Counter

import pytest

from napari_tileseg.tiling import Box
from napari_tileseg.tiling.chunks import chunks_of


class Chunked:
    """An array in chunks that counts how often each is decoded, and the bytes that are read."""

    def __init__(self, voxels, chunks):
        self.voxels, self.chunks = voxels, chunks
        self.shape, self.dtype = voxels.shape, voxels.dtype
        self.decoded = Counter()
        self.most = self.total = 0

    def __getitem__(self, key):
        box = Box(tuple(part.start for part in key), tuple(part.stop for part in key))
        self.decoded.update(index for index, _ in chunks_of(box, self.chunks, self.shape))
        values = self.voxels[key]
        self.most = max(self.most, values.nbytes)
        self.total += values.nbytes
        return values


@pytest.fixture(scope="session")
def chunked():
    """The class of such a source, made from an array and the shape of its chunks."""
    return Chunked
