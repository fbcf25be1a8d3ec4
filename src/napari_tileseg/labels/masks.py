"""Masks of a network's classes from dense labels: instances, or the class of each voxel."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import numpy.typing as npt
from scipy import ndimage

from napari_tileseg._types import Array, ImageSource, Shape
from napari_tileseg._words import by_axis
from napari_tileseg.errors import ImageError, SettingsError

#: Classes that follow from labelled objects.
INSTANCE_CLASSES = ("foreground", "boundary", "background")
_SHOWN = 5


def classes_from_instances(
    labels: Array, width: int = 1
) -> tuple[npt.NDArray[np.bool_], npt.NDArray[np.bool_]]:
    """Return foreground and boundary of labelled objects.

    The boundary is what of an object lies within `width` voxels, diagonals included, of another object or
    of the background; the foreground is the rest of the object.

    Parameters
    ----------
    labels : ndarray of int
        Object of each voxel; 0 is background.
    width : int
        Thickness of the boundary, at least 1.

    Returns
    -------
    foreground, boundary : ndarray of bool
        Of the shape of `labels`; what is in neither is background.
    """
    size = 2 * width + 1
    inner = ndimage.minimum_filter(labels, size, mode="nearest") == ndimage.maximum_filter(
        labels, size, mode="nearest"
    )
    objects = labels > 0
    return objects & inner, objects & ~inner


def instance_masks(labels: Array, classes: Sequence[str], shape: Shape) -> npt.NDArray[np.bool_]:
    """Return the masks of a network's classes from labelled objects.

    Parameters
    ----------
    labels : ndarray of int
        Object of each voxel; 0 is background.
    classes : sequence of str
        The network's, of "foreground", "boundary" and "background".
    shape : tuple of int
        Shape of the image.

    Returns
    -------
    ndarray of bool
        ``(classes, *shape)``; see `classes_from_instances`.

    Raises
    ------
    ImageError
        If the labels have another shape, or are not whole numbers of 0 or more.
    SettingsError
        If a class does not follow from objects.
    """
    check_labels(labels, shape)
    unknown = [name for name in classes if name not in INSTANCE_CLASSES]
    if unknown:
        raise SettingsError(
            f"Labelled objects give the classes {', '.join(INSTANCE_CLASSES)}; the network has "
            f"{', '.join(unknown)}. Give labels of classes, and state which value is which class."
        )
    if labels.min() < 0:
        raise ImageError(f"Objects should be numbered from 1, 0 being background; got {labels.min()}.")
    foreground, boundary = classes_from_instances(labels)
    masks = dict(zip(INSTANCE_CLASSES, (foreground, boundary, labels == 0), strict=True))
    return np.stack([masks[name] for name in classes])


def class_masks(
    labels: Array, classes: Sequence[str], values: Mapping[str, int], shape: Shape, *, background: int = 0
) -> npt.NDArray[np.bool_]:
    """Return the masks of a network's classes from labels that hold the class of each voxel.

    Parameters
    ----------
    labels : ndarray of int
        Class of each voxel.
    classes : sequence of str
        The network's.
    values : mapping of str to int
        Value of each class in the labels.
    shape : tuple of int
        Shape of the image.
    background : int
        Value of voxels that are in no class.

    Returns
    -------
    ndarray of bool
        ``(classes, *shape)``.

    Raises
    ------
    ImageError
        If the labels have another shape, are not whole numbers, or hold other values.
    SettingsError
        If a class has no value.
    """
    check_labels(labels, shape)
    missing = [name for name in classes if name not in values]
    if missing:
        raise SettingsError(
            f"Each class of the network needs its value in the labels; {', '.join(missing)} has none. "
            f"Give one for each of {', '.join(classes)}."
        )
    check_values(labels, {background, *values.values()})
    return np.stack([labels == values[name] for name in classes])


def check_values(labels: Array, known: set[int]) -> None:
    """Raise `ImageError` where labels hold a value without a stated meaning."""
    found = [int(value) for value in np.unique(labels)]
    unknown = [value for value in found if value not in known]
    if not unknown:
        return
    more = f" and {len(unknown) - _SHOWN} more" if len(unknown) > _SHOWN else ""
    should, hold = ", ".join(map(str, sorted(known))), ", ".join(map(str, unknown[:_SHOWN])) + more
    if not known.intersection(found) - {0}:
        text = (
            f"The labels should hold {should}; they hold {hold}, and none of them is the value of a class. "
            "Are these the right labels? If so, state which class each value is{flag}, or that they are of "
            "instances."
        )
    else:
        text = (
            f"The labels should hold {should} only; they also hold {hold}. Say which class these "
            "are{flag}, or take them for labels of instances."
        )
    raise ImageError(text.replace("{flag}", " (--map)"), in_panel=text.replace("{flag}", ""))


def check_labels(labels: ImageSource, shape: Shape) -> None:
    """Raise `ImageError` unless labels are whole numbers on the grid of the image."""
    if labels.shape != shape:
        raise ImageError(
            f"Labels should have the shape of the image, {by_axis(shape)}; they have "
            f"{by_axis(labels.shape)}. Take those of "
            "this image, at the same level and in the same box."
        )
    if labels.dtype.kind not in "biu":
        raise ImageError(
            f"Labels should be whole numbers; they are {labels.dtype}. Round them, or take the labels' file."
        )
