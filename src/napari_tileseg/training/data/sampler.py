"""Where patches are read: around labelled voxels, more often where the network is wrong."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from napari_tileseg._types import Array, Halo, Shape
from napari_tileseg.labels.painted import Painted
from napari_tileseg.labels.targets import Targets
from napari_tileseg.tiling import Box, TileGrid

#: Part of a running loss that the newest one replaces.
_NEWEST = 0.3


@dataclass(frozen=True, slots=True, eq=False)
class Unit:
    """What is drawn at once: a stroke, or a part of a densely labelled image.

    Parameters
    ----------
    image : int
        Which image.
    group : int
        Class of a stroke; -1 for a part of an image. Groups of an image are drawn equally often.
    voxels : ndarray of int, optional
        Flat positions of a stroke's voxels.
    box : Box, optional
        The part of the image.
    stroke : int
        Number of the stroke.
    """

    image: int
    group: int
    voxels: npt.NDArray[np.int64] | None = None
    box: Box | None = None
    stroke: int = 0


class Sampler:
    """Draws places of patches, and learns from the losses there.

    Parameters
    ----------
    targets : sequence of Targets
        Of each image.
    room : sequence of tuple of int
        Padded shape of each image.
    cell : tuple of int
        Voxels of a part of a densely labelled image.
    """

    def __init__(self, targets: Sequence[Targets], room: Sequence[Shape], cell: Shape) -> None:
        self._targets, self._room = tuple(targets), tuple(room)
        self.units: list[Unit] = []
        for number, each in enumerate(targets):
            self.units += _strokes(number, each) if each.strokes is not None else _parts(number, each, cell)
        self._base = _base(self.units, len(self._targets))
        self._place = {(unit.image, unit.stroke): n for n, unit in enumerate(self.units) if unit.stroke}
        #: Running loss of each unit.
        self.losses = np.ones(len(self.units))

    def draw(self, patch: Shape, context: Sequence[Halo], rng: np.random.Generator) -> tuple[int, Box]:
        """Draw a unit, and the box of a patch in which a voxel of it counts.

        Parameters
        ----------
        patch : tuple of int
            Voxels of the patch.
        context : sequence of tuple of (int, int)
            For each image, what of a patch is context only.
        rng : numpy.random.Generator
            Draws.
        """
        wrong = self._base * (1 + self.losses / self.losses.mean())
        number = int(rng.choice(len(self.units), p=wrong / wrong.sum()))
        unit = self.units[number]
        voxel = self._voxel(unit, rng)
        room, margins = self._room[unit.image], context[unit.image]
        start = []
        for place, n, most, (before, after) in zip(voxel, patch, room, margins, strict=True):
            first, last = place - (n - 1 - after), place - before
            first, last = (min(max(end, 0), most - n) for end in (first, last))
            start.append(int(rng.integers(first, last + 1)))
        return number, Box(tuple(start), tuple(a + n for a, n in zip(start, patch, strict=True)))

    def _voxel(self, unit: Unit, rng: np.random.Generator) -> Shape:
        if unit.box is not None:
            ends = zip(unit.box.start, unit.box.stop, strict=True)
            return tuple(int(rng.integers(a, b)) for a, b in ends)
        assert unit.voxels is not None
        flat = unit.voxels[rng.integers(len(unit.voxels))]
        return tuple(int(n) for n in np.unravel_index(flat, self._targets[unit.image].shape))

    def learn(self, number: int, entropy: Array, strokes: Array | None, index: Array) -> None:
        """Record the cross-entropy in a patch that was drawn for a unit.

        Parameters
        ----------
        number : int
            The unit.
        entropy : ndarray
            Cross-entropy of each voxel.
        strokes : ndarray of int, optional
            Stroke of each voxel; None where labels are dense.
        index : ndarray of int
            Class of each voxel; -1 does not count.
        """
        counted = index >= 0
        if not counted.any():
            return
        if strokes is None:
            self._note(number, float(entropy[counted].mean()))
            return
        found, values = strokes[counted], entropy[counted]
        for stroke in np.unique(found):
            place = self._place[(self.units[number].image, int(stroke))]
            self._note(place, float(values[found == stroke].mean()))

    def _note(self, place: int, loss: float) -> None:
        self.losses[place] += _NEWEST * (loss - self.losses[place])


def _strokes(image: int, targets: Targets) -> list[Unit]:
    assert isinstance(targets.index, Painted)
    assert targets.strokes is not None
    numbers, classes = targets.strokes.values, targets.index.values
    order = np.argsort(numbers, kind="stable")
    cuts = np.flatnonzero(np.diff(numbers[order])) + 1
    return [
        Unit(image, int(classes[part[0]]), voxels=targets.strokes.places[part], stroke=int(numbers[part[0]]))
        for part in np.split(order, cuts)
        if len(part)
    ]


def _parts(image: int, targets: Targets, cell: Shape) -> list[Unit]:
    shape = targets.shape
    core = tuple(min(n, most) for n, most in zip(cell, shape, strict=True))
    ones = (1,) * len(shape)
    grid = TileGrid(shape, core, ((0, 0),) * len(shape), ones, ones)
    return [Unit(image, -1, box=grid.kept(tile)) for tile in grid]


def _base(units: Sequence[Unit], images: int) -> npt.NDArray[np.float64]:
    """Return how often units are drawn where all are equally wrong: images, classes and strokes alike."""
    groups: dict[tuple[int, int], int] = {}
    for unit in units:
        groups[(unit.image, unit.group)] = groups.get((unit.image, unit.group), 0) + 1
    in_image = [sum(image == number for image, _ in groups) for number in range(images)]
    return np.array([1 / (groups[(u.image, u.group)] * in_image[u.image]) for u in units])
