"""Strokes for training and strokes for validation."""

from __future__ import annotations

from dataclasses import dataclass

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
    raise NotImplementedError
