"""Strokes for training and strokes for validation."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt

from napari_tileseg.errors import SettingsError
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
        How much of the strokes of each class is held out, 0 to 0.9; of two strokes or more at least one
        is (unless `part` is 0), and one always stays.
    seed : int
        The same seed holds out the same strokes.

    Raises
    ------
    SettingsError
        If the targets are no strokes.
    """
    if targets.strokes is None:
        raise SettingsError("Only strokes are split; hold out whole images where labels are dense.")
    rng = np.random.default_rng(seed)
    chosen: list[int] = []
    notes = []
    for number, strokes in enumerate(_strokes_of_classes(targets)):
        if len(strokes) == 1 and part > 0:
            notes.append(
                f"{targets.names[number]} has one stroke only: it is learned from, and not scored. Paint "
                "another one to see how well this class is found."
            )
        count = min(len(strokes) - 1, max(1, round(part * len(strokes)))) if part > 0 and len(strokes) else 0
        chosen += rng.permutation(strokes)[:count].tolist()
    if not chosen:
        return Split(targets, None, tuple(notes))
    held = np.isin(targets.strokes, chosen)
    return Split(_keep(targets, ~held), _keep(targets, held), tuple(notes))


def _strokes_of_classes(targets: Targets) -> list[npt.NDArray[np.int32]]:
    """Numbers of the strokes of each class, background last."""
    assert targets.strokes is not None
    return [np.unique(targets.strokes[targets.index == number]) for number in range(len(targets.names))]


def _keep(targets: Targets, mask: npt.NDArray[np.bool_]) -> Targets:
    assert targets.strokes is not None
    return replace(
        targets,
        index=np.where(mask, targets.index, targets.index.dtype.type(-1)),
        strokes=np.where(mask, targets.strokes, np.int32(0)),
    )
