"""From labels and what their values mean to the class of each voxel."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from napari_tileseg._types import Array, Shape
from napari_tileseg.settings import LabelSettings

#: What voxels are called that are of no class of a network.
BACKGROUND = "background"


@dataclass(frozen=True, slots=True, eq=False)
class Targets:
    """What is right at each voxel that is labelled.

    Parameters
    ----------
    classes : tuple of str
        The network's.
    index : ndarray of int8 or int16
        Over the grid axes of the image: -1 where nothing is labelled, otherwise the number of the class, and
        ``len(classes)`` where none of them is.
    strokes : ndarray of int32, optional
        Number of the stroke of each labelled voxel, from 1; 0 elsewhere. None where labels are dense.
    """

    classes: tuple[str, ...]
    index: npt.NDArray[np.integer]
    strokes: npt.NDArray[np.int32] | None = None

    @property
    def shape(self) -> Shape:
        """Voxels along each grid axis."""
        return tuple(int(n) for n in self.index.shape)

    @property
    def names(self) -> tuple[str, ...]:
        """Name of each number in `index`: the classes, and background."""
        raise NotImplementedError

    def sha256(self) -> str:
        """Hash of what is labelled."""
        raise NotImplementedError

    def masks(self) -> npt.NDArray[np.bool_]:
        """Mask of each class: ``(classes, *shape)``."""
        raise NotImplementedError


def read_targets(labels: Array, classes: Sequence[str], settings: LabelSettings, shape: Shape) -> Targets:
    """Class of each voxel.

    Parameters
    ----------
    labels : ndarray of int
        Over the grid axes of the image.
    classes : sequence of str
        The network's.
    settings : LabelSettings
        What the values mean.
    shape : tuple of int
        Voxels of the image along each grid axis.

    Raises
    ------
    ImageError
        If the labels are on another grid, not whole numbers, hold no stroke or strokes of one class only, or
        a value that is of no class.
    SettingsError
        If nobody says what the labels hold, or the map names what is no class.
    """
    raise NotImplementedError


def value_meanings(classes: Sequence[str], settings: LabelSettings) -> dict[int, str]:
    """Which value of labels is which class, as the settings say or by default.

    Parameters
    ----------
    classes : sequence of str
        The network's.
    settings : LabelSettings
        What the values mean; for strokes or classes.

    Returns
    -------
    dict of int to str
        By default 1, 2, ... are the classes in the network's order, and for strokes the next one is
        background, unless the network has a class of that name. In classes, 0 is background.

    Raises
    ------
    SettingsError
        If the map names what is no class, or gives a value twice.
    """
    raise NotImplementedError
