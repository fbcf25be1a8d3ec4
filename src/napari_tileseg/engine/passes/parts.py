"""Parts of an image, each of which a network computes as an image by itself."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from math import prod
from typing import final

import numpy as np

from napari_tileseg._types import Halo, Shape
from napari_tileseg.tiling import Box
from napari_tileseg.tiling.rounding import round_up

#: Voxels along each axis of a part's inside, about, by how many axes there are. With smaller ones a sample is
#: surer for its voxels, and reads more margin for them.
_EDGE = {1: 4096, 2: 128}
_EDGE_OF_VOLUMES = 32


@dataclass(frozen=True, slots=True)
class Part:
    """A part of an image.

    Parameters
    ----------
    inside : Box
        What is measured of it.
    read : Box
        The same with its margin, which ends at the border of the image.
    """

    inside: Box
    read: Box

    def of_map(self, whole: Shape) -> Box:
        """Return the inside on a feature map whose shape is `whole` where the image is `read`."""
        apart = Box(
            tuple(a - b for a, b in zip(self.inside.start, self.read.start, strict=True)),
            tuple(a - b for a, b in zip(self.inside.stop, self.read.start, strict=True)),
        )
        ends = [
            tuple(at * n // size for at, n, size in zip(each, whole, self.read.shape, strict=True))
            for each in (apart.start, apart.stop)
        ]
        return Box(*ends)


@final
@dataclass(frozen=True, slots=True)
class Parts:
    """Cuts an image into parts whose insides fill it, at places that depend on its shape and the network.

    Parameters
    ----------
    shape : tuple of int
        Shape of the padded image, on the network's axes.
    step : tuple of int
        Sizes of images are multiples of this.
    margin : tuple of int
        What is read around the inside of a part, on both sides of each axis: multiples of `step`.
    """

    shape: Shape
    step: Shape
    margin: Shape

    @classmethod
    def of_image(cls, shape: Shape, step: Shape, least: Shape, halo: Halo) -> Parts:
        """Return those of an image.

        Parameters
        ----------
        shape, step
            As `Parts` takes them.
        least : tuple of int
            The smallest image that the network takes.
        halo : tuple of (int, int)
            Context around an output that is enough. A margin is not wider than the inside: that far away,
            the border of a part hardly shows.
        """
        edge = _EDGE.get(len(shape), _EDGE_OF_VOLUMES)
        margin = tuple(
            max(round_up(min(max(sides), edge), each), low)
            for sides, each, low in zip(halo, step, least, strict=True)
        )
        return cls(shape, step, margin)

    @property
    def counts(self) -> Shape:
        """How many there are along each axis."""
        edge = _EDGE.get(len(self.shape), _EDGE_OF_VOLUMES)
        steps = (max(1, round_up(edge, each) // each) for each in self.step)
        pairs = zip(self.shape, self.step, steps, strict=True)
        return tuple(max(1, round(n // each / many)) for n, each, many in pairs)

    def __len__(self) -> int:
        """Return how many there are."""
        return prod(self.counts)

    def __getitem__(self, number: int) -> Part:
        """Return one of them, in the order of an array."""
        index = [int(i) for i in np.unravel_index(number, self.counts)]
        inside = Box(self._cuts(index), self._cuts([i + 1 for i in index]))
        around = inside.grow(tuple((n, n) for n in self.margin))
        return Part(inside, around.clip(Box.of_shape(self.shape)))

    def _cuts(self, index: Sequence[int]) -> Shape:
        rows = zip(index, self.shape, self.step, self.counts, strict=True)
        return tuple(n if i == count else n // each * i // count * each for i, n, each, count in rows)
