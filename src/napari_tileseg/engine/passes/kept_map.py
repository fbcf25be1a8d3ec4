"""A whole feature map that is kept from one pass to the next, in memory or on disk."""

from __future__ import annotations

import os
from pathlib import Path
from typing import final

import numpy as np
import torch
from torch import Tensor

from napari_tileseg._types import Shape
from napari_tileseg.tiling import Box

#: Bytes of a block of planes, about.
_BLOCK = 2**24
_FORMATS = {torch.float64: "<f8", torch.float32: "<f4"}


@final
class KeptMap:
    """Holds a feature map in blocks of planes.

    A block is made when it is first written to, and given back when it has been read for the last time: a
    map that takes another one's place needs hardly more room than one of them.

    Parameters
    ----------
    channels : int
        Channels.
    whole : tuple of int
        Spatial shape.
    dtype : torch.dtype
        Number format: float32 or float64.
    folder : Path, optional
        Where blocks are files; they are in memory by default.
    """

    def __init__(self, channels: int, whole: Shape, dtype: torch.dtype, folder: Path | None = None) -> None:
        self._channels, self._whole, self._dtype, self._folder = channels, whole, dtype, folder
        plane = channels * dtype.itemsize * max(1, int(np.prod(whole[1:])))
        self._planes = max(1, min(whole[0], _BLOCK // plane))
        self._blocks: dict[int, Tensor] = {}
        #: Set before the pass that reads it for the last time: planes are given back when they were read.
        self.draining = False

    @property
    def size(self) -> int:
        """Bytes that it takes when it is complete."""
        return self._channels * self._dtype.itemsize * int(np.prod(self._whole))

    @property
    def in_memory(self) -> bool:
        """Whether it is in memory, and not on disk."""
        return self._folder is None

    def write(self, box: Box, values: Tensor) -> None:
        """Write a box: ``(1, channels, *box.shape)``."""
        for number, part in self._parts(box):
            if number not in self._blocks:
                self._blocks[number] = self._block(number)
            inside = part.within(self._box(number))
            # Channels come last, as convolutions on a processor want them.
            self._blocks[number][inside] = values[0][(slice(None), *part.within(box))].movedim(0, -1)

    def read(self, box: Box) -> Tensor:
        """Read a box that was written: ``(1, channels, *box.shape)``, as new memory, channels last."""
        values = torch.empty((1, *box.shape, self._channels), dtype=self._dtype)
        for number, part in self._parts(box):
            values[0][part.within(box)] = self._blocks[number][part.within(self._box(number))]
            if self.draining and part.stop[0] == self._box(number).stop[0]:
                del self._blocks[number]
        return values.movedim(-1, 1)

    def clear(self) -> None:
        """Give everything back."""
        self._blocks.clear()

    def _box(self, number: int) -> Box:
        first = number * self._planes
        last = min(self._whole[0], first + self._planes)
        return Box((first, *(0,) * (len(self._whole) - 1)), (last, *self._whole[1:]))

    def _parts(self, box: Box) -> list[tuple[int, Box]]:
        """Return the parts of a box in each block."""
        first, last = box.start[0] // self._planes, -(-box.stop[0] // self._planes)
        return [(number, box.clip(self._box(number))) for number in range(first, last)]

    def _block(self, number: int) -> Tensor:
        shape = (*self._box(number).shape, self._channels)
        if self._folder is None:
            return torch.empty(shape, dtype=self._dtype)
        return torch.from_numpy(
            _mapped(self._folder / f"tileseg-{os.getpid()}-{id(self)}-{number}", shape, _FORMATS[self._dtype])
        )


def _mapped(path: Path, shape: Shape, dtype: str) -> np.ndarray:
    """Return an array on disk whose file goes with it, after a kill as well, where the system can do that."""
    with path.open("xb") as file:
        size = int(np.prod(shape)) * np.dtype(dtype).itemsize
        # Room that is lacking shows here; an array whose file cannot grow would end the process.
        if hasattr(os, "posix_fallocate"):
            os.posix_fallocate(file.fileno(), 0, size)
        else:
            file.write(bytes(size))
    values = np.memmap(path, dtype=dtype, mode="r+", shape=shape)
    if os.name == "posix":
        # The room is given back when nobody has the array any more.
        path.unlink()
    return values
