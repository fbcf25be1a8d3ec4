"""Images and labels of a training, checked, split and ready to be read."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from napari_tileseg._types import Shape
from napari_tileseg._words import by_axis
from napari_tileseg.errors import ImageError, NetworkError, SettingsError
from napari_tileseg.labels.painted import Painted
from napari_tileseg.labels.targets import Targets
from napari_tileseg.labels.teachable import check_teachable
from napari_tileseg.prediction.plan.plan import Plan
from napari_tileseg.training.data.block_cache import BlockCache
from napari_tileseg.training.data.distillation import TeacherOutputs

if TYPE_CHECKING:
    from napari_tileseg.nets.network import Network


@dataclass(frozen=True, slots=True, eq=False)
class TrainingImage:
    """An image, prepared as it would be predicted, and what is labelled in it.

    Parameters
    ----------
    plan : Plan
        How the image is prepared; not resampled.
    targets : Targets
        On the grid of the image.
    held_out : bool
        Whether it is for validation only. Where no image of a training is, a part of the strokes, or of the
        images, is held out.
    teacher : TeacherOutputs, optional
        Probabilities that the teacher network gives where nobody has labelled, for distillation.
    """

    plan: Plan
    targets: Targets
    held_out: bool = False
    teacher: TeacherOutputs | None = None


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
        """Return the voxels of images; those of one plan are cached once."""
        caches = {id(each.plan): BlockCache(each.plan.prepared) for each in images}
        return [caches[id(each.plan)] for each in images]


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
    training, validation, notes = _split(data, held_out, seed)
    check_teachable([each.targets for each in data])
    if not training:
        raise ImageError("Nothing is left to learn from: all labels are held out. Hold out less.")
    try:
        check_teachable([each.targets for each in training])
    except ImageError as error:
        raise ImageError(
            f"Of the images that are not held out for validation it is so: {error} Hold out others."
        ) from error
    return Dataset(tuple(training), tuple(validation), tuple(notes), digest.hexdigest())


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
    validation: list[TrainingImage] = []
    notes: list[str] = []
    dense = [each for each in data if each.targets.strokes is None]
    for each in data:
        if each.targets.strokes is not None:
            split = split_strokes(each.targets, part, seed)
            notes += split.notes
            training.append(replace(each, targets=split.training))
            if split.held_out is not None:
                validation.append(replace(each, targets=split.held_out, held_out=True))
    count = min(len(dense) - 1, max(1, round(part * len(dense)))) if part > 0 and dense else 0
    held = set(np.random.default_rng(seed).permutation(len(dense))[:count].tolist())
    training += [each for number, each in enumerate(dense) if number not in held]
    validation += [replace(dense[number], held_out=True) for number in sorted(held)]
    if not validation and part > 0:
        notes.append("Nothing is held out, so that no score shows which weights are the best.")
    return training, validation, notes


@dataclass(frozen=True, slots=True)
class Split:
    """Strokes in two parts.

    Parameters
    ----------
    training : Targets
        What is learned from.
    held_out : Targets, optional
        What is scored on; None where no stroke is held out.
    notes : tuple of str
        What the user should know, such as a class with one stroke only, which is not held out.
    """

    training: Targets
    held_out: Targets | None
    notes: tuple[str, ...] = ()


def split_strokes(targets: Targets, part: float, seed: int = 0) -> Split:
    """Hold out a part of the strokes of each class, whole strokes at a time.

    Parameters
    ----------
    targets : Targets
        Strokes.
    part : float
        How much of the strokes of each class is held out, about, 0 to 0.9; of two strokes or more at least
        one is (unless `part` is 0), and one always stays.
    seed : int
        The same seed holds out the same strokes.

    Raises
    ------
    SettingsError
        If the targets are no strokes.

    Notes
    -----
    Each stroke has a lot: a number in [0, 1) that follows from the seed, its class and its first voxel in C
    order. Those below `part` are held out. So painting more moves no stroke to the other side, and no round
    scores what a former one has learned from, but where the least number decides: the only stroke of a class
    is learned from, whatever its lot; where all lots lie below `part`, the highest is learned from; and where
    none does, the lowest is held out. A stroke that is given another first voxel is another stroke.
    """
    if targets.strokes is None:
        raise SettingsError("Only strokes are split; hold out whole images where labels are dense.")
    chosen: list[int] = []
    notes = []
    for name, strokes in zip(targets.names, _strokes_of_classes(targets), strict=True):
        if len(strokes) == 1 and part > 0:
            notes.append(
                f"{name} has one stroke only: it is learned from, and not scored. Paint another one to see "
                "how well this class is found."
            )
        chosen += _held({stroke: _lot(seed, name, voxel) for stroke, voxel in strokes.items()}, part)
    if not chosen:
        return Split(targets, None, tuple(notes))
    held = np.isin(targets.strokes.values, chosen)
    return Split(_keep(targets, ~held), _keep(targets, held), tuple(notes))


def _held(lots: dict[int, float], part: float) -> list[int]:
    """Return the strokes of one class that are held out."""
    if len(lots) < 2 or part <= 0:
        return []
    below = sum(lot < part for lot in lots.values())
    return sorted(lots, key=lots.__getitem__)[: min(len(lots) - 1, max(1, below))]


def _lot(seed: int, name: str, voxel: Shape) -> float:
    """Return a number in [0, 1) that is the same in every process."""
    digest = hashlib.sha256(repr((seed, name, voxel)).encode()).digest()
    return int.from_bytes(digest[:6], "big") / 2**48


def _strokes_of_classes(targets: Targets) -> list[dict[int, Shape]]:
    """Return the number and first voxel of each stroke of each class, background last."""
    assert isinstance(targets.index, Painted)
    assert targets.strokes is not None
    numbers, firsts = np.unique(targets.strokes.values, return_index=True)
    voxels = np.unravel_index(targets.strokes.places[firsts], targets.shape)
    found: list[dict[int, Shape]] = [{} for _ in targets.names]
    for number, kind, *voxel in zip(numbers, targets.index.values[firsts], *voxels, strict=True):
        found[int(kind)][int(number)] = tuple(int(n) for n in voxel)
    return found


def _keep(targets: Targets, chosen: npt.NDArray[np.bool_]) -> Targets:
    assert isinstance(targets.index, Painted)
    assert targets.strokes is not None
    return replace(targets, index=targets.index.kept(chosen), strokes=targets.strokes.kept(chosen))
