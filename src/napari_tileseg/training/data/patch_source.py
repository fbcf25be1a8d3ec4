"""Patches of a training: drawn, read, and seen in another way."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import numpy.typing as npt

from napari_tileseg._types import Array, Halo, Shape
from napari_tileseg.engine import PaddedImage
from napari_tileseg.tiling import Box
from napari_tileseg.training.data.augmentation import move, relight, turnable
from napari_tileseg.training.data.patches import context_of, counting, cut_index
from napari_tileseg.training.data.sampler import Sampler
from napari_tileseg.training.data.training_image import TrainingImage


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
        index = cut_index(targets.index, box, part, -1).reshape(space)
        strokes = None if targets.strokes is None else cut_index(targets.strokes, box, part, 0).reshape(space)
        probabilities = None
        if teacher is not None:
            # Every voxel counts here, so less of the patch is spent on context.
            known = counting(box, self._dense_context, source.padded_shape).clip(Box.of_shape(targets.shape))
            probabilities = np.full((teacher.classes, *box.shape), np.nan, np.float32)
            probabilities[(slice(None), *known.within(box))] = teacher.read(known)
            probabilities = probabilities.reshape(teacher.classes, *space)
        return Patch(number, values.reshape(len(values), *space), index, strokes, probabilities)
