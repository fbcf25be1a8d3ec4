"""Strokes for training and strokes for validation."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt

from napari_tileseg._types import Shape
from napari_tileseg.errors import SettingsError
from napari_tileseg.labels.painted import Painted
from napari_tileseg.labels.targets import Targets


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
