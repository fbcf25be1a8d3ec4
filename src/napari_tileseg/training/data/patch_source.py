"""Patches of a training: drawn around labels, more often where the network is wrong, and read."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import numpy.typing as npt

from napari_tileseg._types import Array, Halo, Shape
from napari_tileseg.engine import PaddedImage
from napari_tileseg.labels.painted import Painted, cut_labels
from napari_tileseg.labels.targets import Targets
from napari_tileseg.tiling import Box, TileGrid
from napari_tileseg.training.data.augmentation import move, relight, turnable
from napari_tileseg.training.data.dataset import TrainingImage
from napari_tileseg.training.data.patches import context_of, counting

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
    """Draws positions of patches, and learns from the losses there.

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
        self._number_of = {(unit.image, unit.stroke): n for n, unit in enumerate(self.units) if unit.stroke}
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
        for at, n, most, (before, after) in zip(voxel, patch, room, margins, strict=True):
            first, last = at - (n - 1 - after), at - before
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
            unit = self._number_of[(self.units[number].image, int(stroke))]
            self._note(unit, float(values[found == stroke].mean()))

    def _note(self, unit: int, loss: float) -> None:
        self.losses[unit] += _NEWEST * (loss - self.losses[unit])


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


@dataclass(frozen=True, slots=True, eq=False)
class Patch:
    """What a network is given, and what is right: axes of space only.

    Parameters
    ----------
    unit : int
        What it was drawn for.
    values : ndarray of float32
        ``(channels, *space)``.
    index : ndarray of int
        Class of each voxel; -1 does not count.
    strokes : ndarray of int32, optional
        Stroke of each voxel.
    teacher : ndarray of float32, optional
        Probabilities of the teacher network, ``(classes, *space)``; NaN where there are none, such as at
        painted voxels.
    """

    unit: int
    values: npt.NDArray[np.float32]
    index: Array
    strokes: Array | None
    teacher: npt.NDArray[np.float32] | None = None

    def moved(self, pairs: Sequence[tuple[int, int]], rng: np.random.Generator) -> Patch:
        """Return the same patch, flipped and turned."""
        names = [
            name for name in ("values", "index", "strokes", "teacher") if getattr(self, name) is not None
        ]
        arrays = move([getattr(self, name) for name in names], self.index.ndim, pairs, rng)
        changes: dict[str, Any] = dict(zip(names, arrays, strict=True))
        return replace(self, **changes)


class PatchSource:
    """Draws patches of the images of a training.

    Parameters
    ----------
    images : sequence of TrainingImage
        What is learned from.
    sources : sequence of PaddedImage
        Their voxels.
    halo : tuple of (int, int)
        Context that the network needs along each grid axis.
    lead : int
        Grid axes that the network does not know.
    patch : tuple of int
        Voxels of a patch along each grid axis, from now on.
    cell : tuple of int
        Voxels of a part of a densely labelled image, as long as the training lasts.
    augment : bool
        Whether patches are flipped, turned and relit.
    """

    def __init__(
        self,
        images: Sequence[TrainingImage],
        sources: Sequence[PaddedImage],
        *,
        halo: Halo,
        lead: int,
        patch: Shape,
        cell: Shape,
        augment: bool,
    ) -> None:
        self._images, self._sources = tuple(images), tuple(sources)
        self._halo, self._lead, self._augment = halo, lead, augment
        rooms = [source.padded_shape for source in sources]
        self.sampler = Sampler([each.targets for each in images], rooms, cell)
        self.resize(patch)

    def resize(self, patch: Shape) -> None:
        """Draw patches of another shape from now on."""
        self._patch = patch
        self._dense_context = context_of(patch, self._halo, dense=True)
        self._context = [
            context_of(patch, self._halo, dense=each.targets.strokes is None) for each in self._images
        ]
        self._pairs = [
            turnable(each.plan.tiles.image.voxel_size[self._lead :], patch[self._lead :])
            for each in self._images
        ]

    def draw(self, rng: np.random.Generator) -> Patch:
        """Draw a patch, read it, and see it in another way."""
        number, box = self.sampler.draw(self._patch, self._context, rng)
        image = self.sampler.units[number].image
        patch = self._read(number, image, box)
        if self._augment:
            patch = patch.moved(self._pairs[image], rng)
            kind = self._images[image].plan.normalization.kind
            patch = replace(patch, values=relight(patch.values, kind, rng))
        return patch

    def _read(self, number: int, image: int, box: Box) -> Patch:
        source, targets = self._sources[image], self._images[image].targets
        teacher = self._images[image].teacher
        part = counting(box, self._context[image], source.padded_shape)
        space = box.shape[self._lead :]
        values = source.read(box)
        index = cut_labels(targets.index, box, part, -1).reshape(space)
        strokes = (
            None if targets.strokes is None else cut_labels(targets.strokes, box, part, 0).reshape(space)
        )
        probabilities = None
        if teacher is not None:
            # Every voxel counts here, so less of the patch is spent on context.
            known = counting(box, self._dense_context, source.padded_shape).clip(Box.of_shape(targets.shape))
            probabilities = np.full((teacher.classes, *box.shape), np.nan, np.float32)
            probabilities[(slice(None), *known.within(box))] = teacher.read(known)
            probabilities = probabilities.reshape(teacher.classes, *space)
        return Patch(number, values.reshape(len(values), *space), index, strokes, probabilities)
