"""From labels and what their values mean to the class of each voxel."""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt

from napari_tileseg._types import Array, ImageSource, Shape
from napari_tileseg.errors import ImageError, SettingsError
from napari_tileseg.labels.masks import check_labels, check_values, instance_masks
from napari_tileseg.labels.painted import Painted, connect, find_painted
from napari_tileseg.settings import LabelSettings
from napari_tileseg.tiling import Box
from napari_tileseg.tiling.chunks import chunks_of

#: What voxels are called that are of no class of a network.
BACKGROUND = "background"
_KINDS = (
    "strokes (painted lines; 0 is not labelled), classes (one value for each class; 0 is background) or "
    "instances (one number for each object; 0 is background)"
)


@dataclass(frozen=True, slots=True, eq=False)
class Targets:
    """What is right at each voxel that is labelled.

    Parameters
    ----------
    classes : tuple of str
        The network's.
    index : ndarray or Painted, of int8 or int16
        Over the grid axes of the image: -1 where nothing is labelled, otherwise the number of the class, and
        ``len(classes)`` where none of them is. `Painted` where labels are strokes.
    strokes : Painted, of int32, optional
        Number of the stroke of each labelled voxel, from 1; 0 elsewhere. None where labels are dense.
    """

    classes: tuple[str, ...]
    index: npt.NDArray[np.signedinteger] | Painted
    strokes: Painted | None = None

    @property
    def shape(self) -> Shape:
        """Voxels along each grid axis."""
        return tuple(int(n) for n in self.index.shape)

    @property
    def names(self) -> tuple[str, ...]:
        """Name of each number in `index`: the classes, and background."""
        return (*self.classes, BACKGROUND)

    def holds(self, number: int) -> bool:
        """Return whether some voxel is labelled with a number of `names`."""
        return bool((self._numbers == number).any())

    @property
    def _numbers(self) -> Array:
        return self.index.values if isinstance(self.index, Painted) else self.index

    def voxels(self) -> npt.NDArray[np.int64]:
        """Return the positions of all that is labelled: ``(voxels, axes)``, in C order."""
        return self.index.voxels() if isinstance(self.index, Painted) else np.argwhere(self.index >= 0)

    def boxes(self, cell: Shape) -> Iterator[Box]:
        """Yield the boxes around what is labelled in each part of the image, of shape `cell`, that has some.

        They come in C order. Dense labels are looked at part by part: positions of all their voxels would
        take many times the memory of the labels.
        """
        if isinstance(self.index, Painted):
            voxels = self.index.voxels()
            order, cuts = _alike(voxels // np.array(cell))
            yield from map(_around, np.split(voxels[order], cuts))
            return
        for _, part in chunks_of(Box.of_shape(self.shape), cell, self.shape):
            found = np.argwhere(self.index[part.slices] >= 0)
            if len(found):
                yield _around(found + part.start)

    def sha256(self) -> str:
        """Return the hash of what is labelled."""
        digest = hashlib.sha256(repr((self.classes, self.shape, self.index.dtype.str)).encode())
        for values in (self.index, self.strokes):
            if isinstance(values, Painted):
                digest.update(values.places.data)
                digest.update(values.values.data)
            elif values is not None:
                digest.update(np.ascontiguousarray(values).data)
        return digest.hexdigest()

    def masks(self) -> npt.NDArray[np.bool_]:
        """Return the mask of each class: ``(classes, *shape)``."""
        index = np.asarray(self.index)
        return np.stack([index == number for number in range(len(self.classes))])


def _alike(rows: npt.NDArray[np.int64]) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int64]]:
    """Return an order in which equal rows follow one another, as sorted, and where others begin in it."""
    order = np.lexsort(rows.T[::-1])
    ordered = rows[order]
    return order, np.flatnonzero((ordered[1:] != ordered[:-1]).any(axis=1)) + 1


def _around(voxels: npt.NDArray[np.int64]) -> Box:
    """Return the smallest box that holds some positions."""
    return Box(tuple(map(int, voxels.min(axis=0))), tuple(map(int, voxels.max(axis=0) + 1)))


def read_targets(
    labels: ImageSource, classes: Sequence[str], settings: LabelSettings, shape: Shape
) -> Targets:
    """Return the class of each voxel.

    Parameters
    ----------
    labels : array of int
        Over the grid axes of the image: anything that is read by slicing. Strokes are read part by part, and
        take memory for what is painted only.
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
        If what the labels hold is not stated, or the map names what is no class.
    """
    if settings.labels_kind is None:
        text = f"{_KINDS}. Their values alone do not show that."
        raise SettingsError(
            f"What the labels hold has to be stated (--labels-kind): {text}",
            in_panel=f"Say what the labels hold: {text}",
        )
    check_labels(labels, shape)
    if settings.labels_kind == "instances":
        if settings.map is not None:
            raise SettingsError("A map is for strokes and classes; instances are numbered. Leave it out.")
        return _of_masks(instance_masks(_whole(labels), classes, shape), classes)
    meanings = value_meanings(classes, settings)
    if settings.labels_kind == "classes":
        return _read_classes(_whole(labels), classes, meanings)
    return _read_strokes(labels, classes, meanings)


def _whole(labels: ImageSource) -> Array:
    """Return all voxels, as they are now: an array may be painted on meanwhile."""
    return np.array(labels[(slice(None),) * len(labels.shape)])


def dense_masks(
    labels: ImageSource, classes: Sequence[str], settings: LabelSettings, shape: Shape
) -> npt.NDArray[np.bool_]:
    """Return a mask of each class, ``(classes, *shape)``, from labels of every voxel, to score a prediction.

    Raises
    ------
    ImageError, SettingsError
        As `read_targets`, and if the labels are strokes, which leave most voxels unlabelled.
    """
    if settings.labels_kind == "strokes":
        raise SettingsError(
            "A comparison needs labels of every voxel, and strokes are of few. Give labels of classes or "
            "instances."
        )
    return read_targets(labels, classes, settings, shape).masks()


def value_meanings(classes: Sequence[str], settings: LabelSettings) -> dict[int, str]:
    """Return which value of labels is which class, as the settings state or by default.

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

    Examples
    --------
    >>> value_meanings(("soma", "axon"), LabelSettings(labels_kind="strokes"))
    {1: 'soma', 2: 'axon', 3: 'background'}
    """
    strokes = settings.labels_kind == "strokes"
    if settings.map is None:
        named = [name for name in classes if strokes or name != BACKGROUND]
        named += [BACKGROUND] if strokes and BACKGROUND not in classes else []
        meanings = dict(enumerate(named, start=1))
    else:
        meanings = dict(settings.map)
        _check_map(settings.map, classes, strokes)
    return meanings if strokes else {0: BACKGROUND, **meanings}


def _check_map(pairs: Sequence[tuple[int, str]], classes: Sequence[str], strokes: bool) -> None:
    known = tuple(dict.fromkeys((*classes, BACKGROUND)))
    unknown = [name for _, name in pairs if name not in known]
    if unknown:
        raise SettingsError(
            f"A map names classes of the network or background: {', '.join(known)}; got {', '.join(unknown)}."
        )
    twice = [value for value, count in Counter(value for value, _ in pairs).items() if count > 1]
    if twice:
        raise SettingsError(f"A map gives each value one class; {twice[0]} has more. Name each value once.")
    if strokes and any(value == 0 for value, _ in pairs):
        raise SettingsError("In strokes 0 is not labelled; give the classes values from 1 on.")


def _read_classes(labels: Array, classes: Sequence[str], meanings: Mapping[int, str]) -> Targets:
    check_values(labels, set(meanings))
    numbers = _numbers(classes)
    index = np.empty(labels.shape, _index_type(classes))
    for value, name in meanings.items():
        index[labels == value] = numbers[name]
    return Targets(tuple(classes), index)


def _numbers(classes: Sequence[str]) -> dict[str, int]:
    """Return the number of each class, and of background where the network has no class of that name."""
    numbers = {name: number for number, name in enumerate(classes)}
    return {**numbers, BACKGROUND: numbers.get(BACKGROUND, len(classes))}


def _index_type(classes: Sequence[str]) -> type[np.signedinteger]:
    return np.int8 if len(classes) < np.iinfo(np.int8).max else np.int16


def _of_masks(masks: npt.NDArray[np.bool_], classes: Sequence[str]) -> Targets:
    index = np.full(masks.shape[1:], len(classes), _index_type(classes))
    for number, mask in enumerate(masks):
        index[mask] = number
    return Targets(tuple(classes), index)


def _read_strokes(labels: ImageSource, classes: Sequence[str], meanings: Mapping[int, str]) -> Targets:
    painted = find_painted(labels)
    check_values(painted.values, {0, *meanings})
    numbers = _numbers(classes)
    index = np.empty(painted.values.shape, _index_type(classes))
    for value, name in meanings.items():
        index[painted.values == value] = numbers[name]
    _check_painted(index, list(numbers), classes)
    # Two values may mean one class; they make separate strokes all the same.
    strokes = replace(painted, values=connect(painted))
    return Targets(tuple(classes), replace(painted, values=index, fill=-1), strokes)


def _check_painted(
    index: npt.NDArray[np.signedinteger], names: Sequence[str], classes: Sequence[str]
) -> None:
    every = (*classes, BACKGROUND)
    found = [every[number] for number in np.unique(index)]
    if not found:
        raise ImageError(
            f"The labels hold no stroke: nothing is painted. Paint a few strokes of {', '.join(names)}; or, "
            "if you have, choose the labels that hold them."
        )
    if len(found) == 1:
        others = ", ".join(name for name in names if name != found[0])
        raise ImageError(
            f"All strokes are {found[0]}: nothing shows what is not. Paint strokes of another class, too: "
            f"{others}."
        )
