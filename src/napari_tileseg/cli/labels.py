"""Labels for a diagnosis: any image that can be opened, as objects or as classes."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from napari_tileseg._types import Array, Shape
from napari_tileseg.errors import ImageError, SettingsError
from napari_tileseg.settings import knob

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt


@dataclass(frozen=True, slots=True, kw_only=True)
class LabelSettings:
    """What is right, and how it is written down."""

    labels: str | None = knob(
        "text", None, "Labels of the image, to compare with: any file that can be an image, of its shape."
    )
    labels_kind: str = knob(
        "choice",
        "derived",
        "What the labels number: objects (instances), or classes. By default objects, where the network's "
        "classes follow from them.",
        choices=("derived", "instances", "classes"),
    )
    labels_values: Shape | None = knob(
        "ints",
        None,
        "Value of each class in labels of classes, in the network's order; 1, 2, ... by default.",
        minimum=0,
    )


def read_masks(settings: LabelSettings, classes: Sequence[str], shape: Shape) -> npt.NDArray[np.bool_] | None:
    """Masks of a network's classes from the labels that were chosen.

    Parameters
    ----------
    settings : LabelSettings
        Where the labels are, and what they number.
    classes : sequence of str
        The network's.
    shape : tuple of int
        Voxels along the grid axes of the image.

    Returns
    -------
    ndarray of bool or None
        ``(classes, *shape)``; None where no labels were given.

    Raises
    ------
    ImageError
        If the labels cannot be opened, have another shape, or hold values that are not known.
    SettingsError
        If the classes do not follow from the labels, or the values are not one for each class.
    """
    from napari_tileseg.diagnose.quality import INSTANCE_CLASSES, class_masks, instance_masks

    if settings.labels is None:
        if settings.labels_values is not None or settings.labels_kind != "derived":
            raise SettingsError("labels_kind and labels_values say how to read labels; give labels, too.")
        return None
    kind = settings.labels_kind
    if kind == "derived":
        objects = settings.labels_values is None and set(classes) <= set(INSTANCE_CLASSES)
        kind = "instances" if objects else "classes"
    values = None if kind == "instances" else _values(settings, classes)
    voxels = _read(settings.labels, shape)
    if values is None:
        return instance_masks(voxels, classes, shape)
    return class_masks(voxels, classes, values, shape)


def _read(path: str, shape: Shape) -> Array:
    from napari_tileseg.images import open_image
    from napari_tileseg.tiling import Box

    image = open_image(path)
    if image.shape != shape:
        raise ImageError(
            f"Labels should have the shape of the image, {shape}; {path} has {image.shape}. Take those of "
            "this image, at the same level."
        )
    if len(image.channel_indices) != 1:
        raise ImageError(
            f"Labels should have one channel; {path} has {len(image.channel_indices)}. Save the one that "
            "holds the labels by itself."
        )
    voxels: Array = image.read(Box.of_shape(shape))[0]
    return voxels


def _values(settings: LabelSettings, classes: Sequence[str]) -> dict[str, int]:
    if settings.labels_kind == "instances":
        raise SettingsError("labels_values are for labels of classes; leave them out for instances.")
    given = settings.labels_values or tuple(range(1, len(classes) + 1))
    if len(given) != len(classes) or len(set(given)) != len(given):
        raise SettingsError(
            f"labels_values should be {len(classes)} different numbers, one for each of "
            f"{', '.join(classes)}; got {given}."
        )
    return dict(zip(classes, given, strict=True))
