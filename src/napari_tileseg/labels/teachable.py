"""Whether anything can be learned from labels."""

from __future__ import annotations

from collections.abc import Sequence

from napari_tileseg.errors import ImageError
from napari_tileseg.labels.painted import Painted
from napari_tileseg.labels.targets import BACKGROUND, Targets
from napari_tileseg.tiling import Box

_RIGHT = "Are these the right labels?"


def check_teachable(labels: Sequence[Targets]) -> None:
    """Refuse labels from which nothing can be learned; most often they are not the ones that were meant.

    A network learns what something is from what it is not, so that two classes are needed, of which one may
    be background. Of several images they may lie in different ones.

    Parameters
    ----------
    labels : sequence of Targets
        All that a training learns from, of the same classes.

    Raises
    ------
    ImageError
        If no voxel is labelled, none is of a class of the network, or all are of one class.

    Examples
    --------
    >>> import numpy as np
    >>> check_teachable([Targets(("nucleus",), np.ones((4, 4), np.int8))])
    Traceback (most recent call last):
    napari_tileseg.errors.ImageError: The labels hold no object: every voxel is background. Are these the ...
    """
    names = labels[0].names
    found = [name for number, name in enumerate(names) if any(each.holds(number) for each in labels)]
    if not found:
        raise ImageError(f"The labels hold nothing: no voxel is labelled. {_RIGHT}")
    if found == [BACKGROUND]:
        raise ImageError(f"The labels hold no object: every voxel is background. {_RIGHT}")
    if len(found) == 1:
        others = ", ".join(dict.fromkeys(name for name in names if name != found[0]))
        raise ImageError(
            f"All that is labelled is {found[0]}: nothing shows what is not. Label another class, too "
            f"({others}). {_RIGHT}"
        )


def check_inside(labels: Targets, box: Box) -> None:
    """Refuse labels of which none lies in the part of the image that is asked for.

    Raises
    ------
    ImageError
        If all that is labelled lies outside.
    """
    if not _any_inside(labels, box):
        raise ImageError(
            f"All labels lie outside of the box {_words(box)}. Label something inside, or leave out the box."
        )


def _any_inside(labels: Targets, box: Box) -> bool:
    if isinstance(labels.index, Painted):
        voxels = labels.index.voxels()
        return bool(((voxels >= box.start) & (voxels < box.stop)).all(axis=1).any())
    return bool((labels.index[box.clip(Box.of_shape(labels.shape)).slices] >= 0).any())


def _words(box: Box) -> str:
    return ", ".join(f"{a}:{b}" for a, b in zip(box.start, box.stop, strict=True))
