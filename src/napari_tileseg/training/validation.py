"""Scoring a network on what is held out, as it would predict it."""

from __future__ import annotations

from collections.abc import Callable, Generator, Sequence
from dataclasses import dataclass
from math import isnan
from typing import TYPE_CHECKING

import numpy as np
import torch

from napari_tileseg._types import Array, Shape
from napari_tileseg.engine import PaddedImage
from napari_tileseg.engine.plain_engine import PlainEngine
from napari_tileseg.labels.dice import hard_dice
from napari_tileseg.labels.painted import cut_labels
from napari_tileseg.labels.targets import Targets
from napari_tileseg.nets.architectures.convolutions import HalvedConvolutions
from napari_tileseg.tiling import Box, TileGrid
from napari_tileseg.tiling.rounding import round_up
from napari_tileseg.training.steps.losses import balance, loss_of

if TYPE_CHECKING:
    from napari_tileseg.nets.network import Network

#: Probabilities are clamped to this before the logarithm.
_LEAST = 1e-6


@dataclass(frozen=True, slots=True)
class Score:
    """How well a network finds what is held out.

    Parameters
    ----------
    loss : float
        As in training.
    dice : tuple of float
        Dice of the mask of each class over all labelled voxels; NaN for a class that is not there.
    """

    loss: float
    dice: tuple[float, ...]

    @property
    def mean(self) -> float:
        """Mean Dice over the classes that are there; NaN where none is."""
        there = [each for each in self.dice if not isnan(each)]
        return sum(there) / len(there) if there else float("nan")

    def better_than(self, other: Score | None) -> bool:
        """Return whether the mean Dice is higher, or the same at a lower loss."""
        if other is None:
            return True
        mine, theirs = (0.0 if isnan(each.mean) else each.mean for each in (self, other))
        return (mine, -self.loss) > (theirs, -other.loss)


@dataclass(frozen=True, slots=True)
class Place:
    """Tiles over held-out voxels of one image."""

    image: int
    grid: TileGrid


class Validation:
    """Held-out voxels, and the tiles in which they are predicted.

    Parameters
    ----------
    images : sequence of PaddedImage
        What is looked at.
    targets : sequence of Targets
        What is right there.
    network : Network
        Says which context is read; later ones have the same layers.
    cell : tuple of int
        Held-out voxels are collected in parts of the image of this shape.
    voxels : int
        Voxels to predict at most, but for the first part.
    seed : int
        Of the parts that are looked at, where there are more.
    """

    def __init__(
        self,
        images: Sequence[PaddedImage],
        targets: Sequence[Targets],
        network: Network,
        cell: Shape,
        *,
        voxels: int,
        seed: int,
    ) -> None:
        self._images, self._targets = tuple(images), tuple(targets)
        places = [
            Place(number, grid)
            for number, each in enumerate(targets)
            for grid in _grids(each, images[number].padded_shape, network, cell)
        ]
        order = np.random.default_rng(seed).permutation(len(places))
        self._places: list[Place] = []
        for place in (places[n] for n in order):
            cost = len(place.grid) * Box.of_shape(place.grid.read_shape).size
            if self._places and cost > voxels:
                continue
            voxels -= cost
            self._places.append(place)

    @property
    def places(self) -> int:
        """How many parts of the images are looked at."""
        return len(self._places)

    @property
    def voxels(self) -> int:
        """Voxels that are predicted."""
        return sum(len(each.grid) * Box.of_shape(each.grid.read_shape).size for each in self._places)

    def limit(self, places: int) -> None:
        """Look at no more than this many of the parts from now on, at one at least."""
        del self._places[max(1, places) :]

    def score(
        self, network: Network, device: str, enough: Callable[[], bool] = bool
    ) -> Generator[float, None, Score]:
        """Predict the held-out voxels tile by tile, and compare.

        Parameters
        ----------
        network : Network
            What is scored.
        device : str
            Where to compute.
        enough : callable
            Whether to leave out the parts that are left, now and later.

        Yields
        ------
        float
            After each part, how much of the work is done, 0 to 1.

        Raises
        ------
        DeviceError, NetworkError, ImageError
            As `Engine.compute`, and reading the image, do.
        """
        # Weights change from one score to the next: no form made for one of them would pay.
        engine = PlainEngine(network, device, "float32", 1)
        maps, index, strokes = [], [], []
        seen: set[int] = set()
        wanted = {number for each in self._targets for number in range(len(each.names)) if each.holds(number)}
        for number, place in enumerate(self._places, start=1):
            targets = self._targets[place.image]
            for tile in place.grid:
                # Not around more: whoever asks for the next part may predict with other networks before.
                with HalvedConvolutions():
                    (core,) = engine.compute(self._images[place.image], [tile])
                right = cut_labels(targets.index, tile.core, place.grid.covered, -1)
                counted = right >= 0
                maps.append(core[:, counted])
                index.append(right[counted])
                if targets.strokes is not None:
                    part = cut_labels(targets.strokes, tile.core, place.grid.covered, 0)[counted]
                    # Strokes of two images are two strokes.
                    strokes.append(part.astype(np.int64) + (place.image << 32))
            seen.update(np.unique(index[-1]).tolist() if len(index) else ())
            yield number / len(self._places)
            # Not before each class was met: of the others nothing would be known.
            if enough() and seen >= wanted:
                self.limit(number)
                break
        engine.close()
        found = np.concatenate(maps, axis=1)
        right = np.concatenate(index)
        return _compare(found, right, np.concatenate(strokes) if strokes else None, network)


def _grids(targets: Targets, room: Shape, network: Network, cell: Shape) -> list[TileGrid]:
    """Return the tiles over the labelled voxels of each part of the image that has some."""
    lattice = network.spec.lattice(len(room))
    grids = []
    for box in targets.boxes(cell):
        start = tuple(n // step * step for n, step in zip(box.start, lattice.stride, strict=True))
        steps = zip(start, box.stop, lattice.stride, strict=True)
        core = tuple(round_up(b - a, step) for a, b, step in steps)
        if lattice.fixed:
            core = tuple(n - a - b for n, (a, b) in zip(lattice.minimum, lattice.default_halo, strict=True))
        grids.append(lattice.tiles(room, core, Box(start, box.stop)))
    return grids


def _compare(maps: Array, index: Array, strokes: Array | None, network: Network) -> Score:
    """Score of probabilities ``(classes, voxels)``."""
    activation = network.spec.activation
    weights = balance(index, strokes)
    probabilities = torch.from_numpy(maps)[None].float().clamp(_LEAST, 1 - _LEAST)
    logits = torch.log(probabilities) if activation == "softmax" else torch.logit(probabilities)
    loss, _ = loss_of(
        logits, torch.from_numpy(index)[None].long(), torch.from_numpy(weights)[None], activation
    )
    dice = tuple(
        hard_dice(found, (index == number).astype(np.float32)) if (index == number).any() else float("nan")
        for number, found in enumerate(maps)
    )
    return Score(float(loss), dice)
