"""Labels on the command line: any image that can be opened, with what its values mean."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from napari_tileseg._types import Shape
from napari_tileseg.errors import SettingsError
from napari_tileseg.settings import LabelSettings, knob

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt


@dataclass(frozen=True, slots=True, kw_only=True)
class ComparedLabels:
    """Where labels to compare with are."""

    labels: str | None = knob(
        "text", None, "Labels of the image, to compare with: any file that can be an image, of its shape."
    )


def read_masks(
    given: ComparedLabels, settings: LabelSettings, classes: Sequence[str], shape: Shape
) -> npt.NDArray[np.bool_] | None:
    """Return the masks of a network's classes from the labels that were chosen.

    Parameters
    ----------
    given : ComparedLabels
        Where the labels are.
    settings : LabelSettings
        What their values mean.
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
        If what the labels hold is not given, or they are strokes, which leave most voxels unlabelled.
    """
    from napari_tileseg.labels import dense_masks
    from napari_tileseg.workflows.label_file import read_labels

    if given.labels is None:
        if settings != LabelSettings():
            raise SettingsError("labels_kind and map describe labels; give labels, too.")
        return None
    return dense_masks(read_labels(given.labels, shape), classes, settings, shape)
