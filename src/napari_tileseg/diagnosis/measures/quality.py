"""How well a network finds what is labelled, with running and with batch statistics."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

import dask.array as da
import numpy as np
import numpy.typing as npt
from dask.base import compute

from napari_tileseg._types import Array
from napari_tileseg._words import by_axis
from napari_tileseg.errors import ImageError, SettingsError
from napari_tileseg.images.image import Image


@dataclass(frozen=True, slots=True, kw_only=True)
class ClassQuality:
    """Dice of one class against labels, as the median over images.

    Parameters
    ----------
    name : str
        The class.
    dice_eval : float
        Of the mask predicted with running statistics, 0 to 1.
    dice_train : float, optional
        Of that predicted with batch statistics; None where it was not predicted.
    empty_images : int
        Images in which neither the labels nor the eval mask have a voxel; their Dice is 1 by definition.
    """

    name: str
    dice_eval: float
    dice_train: float | None
    empty_images: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Quality:
    """Quality of a network on labelled images.

    Parameters
    ----------
    classes : tuple of ClassQuality
        One for each class.
    images : int
        Number of images.
    """

    classes: tuple[ClassQuality, ...]
    images: int

    def as_dict(self) -> dict[str, Any]:
        """Return plain values, ready for JSON."""
        return asdict(self)


@dataclass(frozen=True, slots=True)
class ImageQuality:
    """Dice of each class on one image.

    Parameters
    ----------
    dice_eval : tuple of float
        Of the masks predicted with running statistics.
    dice_train : tuple of float, optional
        Of those predicted with batch statistics.
    empty : tuple of bool
        Whether labels and eval mask both have no voxel.
    """

    dice_eval: tuple[float, ...]
    dice_train: tuple[float, ...] | None
    empty: tuple[bool, ...]


def compare_with_labels(
    masks: npt.NDArray[np.bool_],
    predicted: Array | da.Array,
    predicted_train: Array | da.Array | None = None,
    *,
    threshold: float = 0.5,
) -> ImageQuality:
    """Measure Dice of each class on one image; lazy predictions are computed chunk by chunk.

    Parameters
    ----------
    masks : ndarray of bool
        What is labelled: ``(classes, *shape)``.
    predicted, predicted_train : ndarray or dask.array.Array
        Probabilities of the same shape, with running and with batch statistics.
    threshold : float
        Least probability that belongs to a mask.

    Raises
    ------
    ImageError
        If the shapes differ.
    """
    both = [predicted] if predicted_train is None else [predicted, predicted_train]
    for each in both:
        if each.shape != masks.shape:
            raise ImageError(
                f"A prediction and its labels should have one shape; got {by_axis(each.shape)} and "
                f"{by_axis(masks.shape)}. Cut "
                "both to the same box."
            )
    # The same sums in one pass for both predictions: a chunk is dropped as soon as it is counted.
    sums: Any = [_counts(masks, each, threshold) for each in both]
    counts = np.array(compute(sums)[0])
    dice = [
        tuple(2 * c / (a + b) if a + b else 1.0 for a, b, c in zip(*rows, strict=True))
        for rows in counts.tolist()
    ]
    empty = tuple(a + b == 0 for a, b in zip(counts[0][0].tolist(), counts[0][1].tolist(), strict=True))
    return ImageQuality(dice[0], None if predicted_train is None else dice[1], empty)


def _counts(masks: npt.NDArray[np.bool_], predicted: Array | da.Array, threshold: float) -> list[Any]:
    """Count the voxels of each class that are labelled, predicted, and both; lazily."""
    found = da.asarray(predicted) >= threshold
    wanted = da.from_array(masks, chunks=found.chunks)
    space = tuple(range(1, masks.ndim))
    return [each.sum(axis=space) for each in (wanted, found, wanted & found)]


def summarize(images: Sequence[ImageQuality], classes: Sequence[str]) -> Quality:
    """Take the median over images.

    Parameters
    ----------
    images : sequence of ImageQuality
        One or more.
    classes : sequence of str
        Name of each class.

    Raises
    ------
    SettingsError
        If there is no image.
    """
    if not images:
        raise SettingsError("Quality needs one labelled image or more; got none.")
    usual = np.median([image.dice_eval for image in images], axis=0)
    trained = [image.dice_train for image in images if image.dice_train is not None]
    batch = np.median(trained, axis=0) if len(trained) == len(images) else None
    return Quality(
        classes=tuple(
            ClassQuality(
                name=name,
                dice_eval=float(usual[number]),
                dice_train=None if batch is None else float(batch[number]),
                empty_images=sum(image.empty[number] for image in images),
            )
            for number, name in enumerate(classes)
        ),
        images=len(images),
    )


def check_masks(masks: Array, classes: Sequence[str], image: Image) -> None:
    """Raise `ImageError` unless masks are ``(classes, *image.shape)``."""
    expected = (len(classes), *image.shape)
    if masks.shape != expected:
        raise ImageError(
            f"The labels should be masks of {by_axis(expected)}, one for each class; got "
            f"{by_axis(masks.shape)}. "
            "Take the labels of this image."
        )


def masks_on(masks: npt.NDArray[np.bool_], image: Image, target: Image) -> npt.NDArray[np.bool_]:
    """Bring masks of an image to the voxels of another that shows the same, such as the image resampled.

    Parameters
    ----------
    masks : ndarray of bool
        ``(classes, *image.shape)``.
    image, target : Image
        Images of the same grid axes.

    Returns
    -------
    ndarray of bool
        ``(classes, *target.shape)``: at each voxel the masks at the nearest one.
    """
    rows = zip(image.shape, target.shape, image.voxel_size, target.voxel_size, strict=True)
    offsets = zip(image.translation, target.translation, strict=True)
    for axis, ((old, new, size, other), (first, begin)) in enumerate(
        zip(rows, offsets, strict=True), start=1
    ):
        at = np.floor((begin - first + other * np.arange(new)) / size + 0.5).astype(int)
        if old != new or (at != np.arange(new)).any():
            masks = masks.take(at.clip(0, old - 1), axis=axis)
    return masks
