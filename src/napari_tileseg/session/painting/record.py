"""What painted labels are: the image they belong to, and the classes that their values mean."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from napari_tileseg._files import as_tuples
from napari_tileseg._types import Shape
from napari_tileseg.images.image import Image


@dataclass(frozen=True, slots=True, kw_only=True)
class StrokeClass:
    """What one value of painted labels means.

    Parameters
    ----------
    value : int
        The value.
    name : str
        The class.
    color : tuple of int
        Red, green and blue, 0 to 255.
    """

    value: int
    name: str
    color: tuple[int, int, int]


@dataclass(frozen=True, slots=True, kw_only=True)
class StrokeRecord:
    """Which image painted labels belong to, and what they mean.

    Parameters
    ----------
    image, uri : str
        What the image is called, and where it is; "" for an array in memory.
    fingerprint : str
        Of the image's voxels, so that it is known again wherever it lies.
    axes : str
        Names of the grid axes.
    shape : tuple of int
        Voxels along each of them.
    voxel_size, translation : tuple of float
        Place of the grid, in `units`.
    units : tuple of str
        Unit of each axis.
    kind : {"strokes", "classes", "instances"} or None
        What the labels hold; None if that is unknown.
    classes : tuple of StrokeClass
        What their values mean.
    fixed : bool
        Whether kind and classes are those with which the labels were made, and cannot be changed.
    """

    image: str
    uri: str
    fingerprint: str
    axes: str
    shape: Shape
    voxel_size: tuple[float, ...]
    translation: tuple[float, ...]
    units: tuple[str, ...]
    kind: str | None
    classes: tuple[StrokeClass, ...]
    fixed: bool = False

    @classmethod
    def of(
        cls,
        image: Image,
        fingerprint: str,
        kind: str | None,
        classes: tuple[StrokeClass, ...],
        *,
        fixed: bool,
    ) -> StrokeRecord:
        """Record of labels over the grid of an image."""
        return cls(
            image=image.name,
            uri=image.uri,
            fingerprint=fingerprint,
            axes=image.grid_axes,
            shape=image.shape,
            voxel_size=image.voxel_size,
            translation=image.translation,
            units=image.units,
            kind=kind,
            classes=classes,
            fixed=fixed,
        )

    @classmethod
    def from_dict(cls, values: dict[str, Any]) -> StrokeRecord:
        """Record from JSON, where tuples have become lists."""
        classes = tuple(StrokeClass(**{**each, "color": tuple(each["color"])}) for each in values["classes"])
        return cls(**{**as_tuples(values), "classes": classes})
