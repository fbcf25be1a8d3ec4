"""Images and labels of a training, checked, split and ready to be read."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np

from napari_tileseg._types import Shape
from napari_tileseg._words import by_axis
from napari_tileseg.errors import ImageError, NetworkError, SettingsError
from napari_tileseg.labels.splitting import split_strokes
from napari_tileseg.labels.teachable import check_teachable
from napari_tileseg.training.data.block_cache import BlockCache
from napari_tileseg.training.data.training_image import TrainingImage

if TYPE_CHECKING:
    from napari_tileseg.nets.network import Network


@dataclass(frozen=True, slots=True, eq=False)
class Dataset:
    """What is learned from, and what is held out.

    Parameters
    ----------
    training, held_out : tuple of TrainingImage
        Both may be parts of the labels of one image.
    notes : tuple of str
        What the user should know of the split.
    sha256 : str
        Hash of all labels.
    """

    training: tuple[TrainingImage, ...]
    held_out: tuple[TrainingImage, ...]
    notes: tuple[str, ...]
    sha256: str

    @property
    def teacher(self) -> dict[str, Any] | None:
        """The teacher network of distillation, in plain values; None without distillation."""
        return next((each.teacher.source for each in self.training if each.teacher is not None), None)

    @property
    def room(self) -> Shape:
        """Voxels that every padded image has along each grid axis."""
        shapes = [each.plan.grid.padded_shape for each in self.training]
        return tuple(min(sizes) for sizes in zip(*shapes, strict=True))

    def sources(self, images: Sequence[TrainingImage]) -> list[BlockCache]:
        """Return the voxels of images; those of one plan are kept once."""
        kept = {id(each.plan): BlockCache(each.plan.prepared) for each in images}
        return [kept[id(each.plan)] for each in images]


def gather(data: Sequence[TrainingImage], network: Network, held_out: float, seed: int) -> Dataset:
    """Check images and labels, and hold some out where none are.

    Raises
    ------
    ImageError
        If labels are on another grid, of other classes, or nothing can be learned from them.
    NetworkError
        If the network cannot learn from such labels.
    SettingsError
        If an image is resampled, or images have other axes than each other.
    """
    if not data:
        raise ImageError("A training needs one labelled image or more; got none.")
    for each in data:
        _check(each, network)
    if len({each.plan.grid.ndim for each in data}) > 1:
        raise SettingsError("The images of a training should have the same axes. Train on one kind only.")
    digest = hashlib.sha256("".join(f"{each.targets.sha256()} {each.held_out}" for each in data).encode())
    training, kept, notes = _split(data, held_out, seed)
    check_teachable([each.targets for each in data])
    if not training:
        raise ImageError("Nothing is left to learn from: all labels are held out. Hold out less.")
    try:
        check_teachable([each.targets for each in training])
    except ImageError as error:
        raise ImageError(
            f"Of the images that are not held out for validation it is so: {error} Hold out others."
        ) from error
    return Dataset(tuple(training), tuple(kept), tuple(notes), digest.hexdigest())


def _check(each: TrainingImage, network: Network) -> None:
    image, spec, targets = each.plan.tiles.image, network.spec, each.targets
    if each.plan.settings.resample and image.shape != targets.shape:
        raise SettingsError(
            f"{image.name} is resampled, and its labels are not. Train at the image's own voxel size."
        )
    if image.shape != targets.shape:
        raise ImageError(
            f"Labels should have the shape of the image, {by_axis(image.shape)}; they have "
            f"{by_axis(targets.shape)}. Take "
            "those of this image, at the same level."
        )
    if targets.classes != spec.classes:
        raise ImageError(
            f"Labels should be of the network's classes, {', '.join(spec.classes)}; they are of "
            f"{', '.join(targets.classes)}."
        )
    if spec.activation == "none":
        raise NetworkError(
            f"{spec.name} gives probabilities itself, so that its loss cannot be computed exactly. Describe "
            "its activation as sigmoid or softmax."
        )
    if spec.activation == "softmax" and targets.holds(len(spec.classes)):
        text = (
            f"{spec.name} gives every voxel one of its classes ({', '.join(spec.classes)}), and some voxels "
            "are labelled as none of them. Say which class is the background{flag}, or leave it unlabelled."
        )
        raise NetworkError(text.replace("{flag}", " (--map)"), in_panel=text.replace("{flag}", ""))


def _split(
    data: Sequence[TrainingImage], part: float, seed: int
) -> tuple[list[TrainingImage], list[TrainingImage], list[str]]:
    if any(each.held_out for each in data):
        chosen = [each for each in data if each.held_out]
        return [each for each in data if not each.held_out], chosen, []
    training: list[TrainingImage] = []
    kept: list[TrainingImage] = []
    notes: list[str] = []
    dense = [each for each in data if each.targets.strokes is None]
    for each in data:
        if each.targets.strokes is not None:
            split = split_strokes(each.targets, part, seed)
            notes += split.notes
            training.append(replace(each, targets=split.training))
            if split.held_out is not None:
                kept.append(replace(each, targets=split.held_out, held_out=True))
    count = min(len(dense) - 1, max(1, round(part * len(dense)))) if part > 0 and dense else 0
    held = set(np.random.default_rng(seed).permutation(len(dense))[:count].tolist())
    training += [each for number, each in enumerate(dense) if number not in held]
    kept += [replace(dense[number], held_out=True) for number in sorted(held)]
    if not kept and part > 0:
        notes.append("Nothing is held out, so that no score tells which weights are the best.")
    return training, kept, notes
