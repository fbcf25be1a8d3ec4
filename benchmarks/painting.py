"""Paints as somebody would who looks for the worst errors: a few short strokes, each in one slice."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import cycle, islice, product

import numpy as np
from scipy import ndimage

#: Most voxels of a stroke, and least: shorter ones are tried elsewhere.
LONGEST, SHORTEST = 20, 8
#: Voxels around a stroke in which no other is begun in the same round, along each axis.
APART = (4, 10, 10)
_STEPS = [np.array(step) for step in product((-1, 0, 1), repeat=2) if any(step)]


def paint(
    probabilities: np.ndarray, truth: np.ndarray, painted: np.ndarray, strokes: int
) -> tuple[np.ndarray, int]:
    """Add strokes where a prediction is most wrong, each class in turn.

    Parameters
    ----------
    probabilities : ndarray
        Present prediction, ``(classes, z, y, x)``.
    truth : ndarray of int
        Number of each voxel's class; the number of classes for background.
    painted : ndarray of int
        Strokes so far: 0 is not labelled, then the class's number and one more.
    strokes : int
        How many to add.

    Returns
    -------
    ndarray of int
        Strokes so far and the new ones.
    int
        Voxels that were painted.
    """
    labels = painted.copy()
    wrong = wrongness(probabilities, truth)
    for number in islice(cycle(range(len(probabilities) + 1)), strokes):
        stroke = _stroke(np.where((truth == number) & (labels == 0), wrong, 0))
        labels[tuple(stroke.T)] = number + 1
        _leave_alone(wrong, stroke)
    return labels, int(np.count_nonzero(labels) - np.count_nonzero(painted))


def wrongness(probabilities: np.ndarray, truth: np.ndarray) -> np.ndarray:
    """How wrong the surroundings of each voxel are, above 0: a person sees places, not voxels."""
    wanted = np.stack([truth == number for number in range(len(probabilities))])
    error = np.abs(probabilities - wanted).mean(axis=0)
    return np.asarray(ndimage.gaussian_filter(error.astype(np.float32), (0.7, 1.5, 1.5)) + 1e-6)


def _stroke(wrong: np.ndarray) -> np.ndarray:
    """Voxels of a stroke, ``(length, 3)``, from the worst voxel of a class along its worst neighbours."""
    longest = np.empty((0, 3), int)
    for start in _worst(wrong.copy()):
        found = _walk(wrong[start[0]], np.array(start[1:]))
        stroke = np.insert(found, 0, start[0], axis=1)
        if len(stroke) > len(longest):
            longest = stroke
        if len(longest) >= SHORTEST:
            break
    return longest


def _worst(wrong: np.ndarray, tries: int = 20) -> Iterator[tuple[int, ...]]:
    for _ in range(tries):
        place = np.unravel_index(int(wrong.argmax()), wrong.shape)
        if wrong[place] == 0:
            return
        yield tuple(int(n) for n in place)
        wrong[place] = 0


def _walk(wrong: np.ndarray, start: np.ndarray) -> np.ndarray:
    """One voxel wide: each step leads away from all of the stroke but its end."""
    path = [start]
    while len(path) < LONGEST:
        steps = [path[-1] + step for step in _STEPS]
        fresh = [place for place in steps if _is_free(place, path, wrong)]
        if not fresh:
            break
        path.append(max(fresh, key=lambda place: float(wrong[tuple(place)])))
    return np.stack(path)


def _is_free(place: np.ndarray, path: list[np.ndarray], wrong: np.ndarray) -> bool:
    inside = all(0 <= n < size for n, size in zip(place, wrong.shape, strict=True))
    apart = all(np.abs(place - other).max() > 1 for other in path[:-1])
    return inside and apart and bool(wrong[tuple(place)] > 0)


def _leave_alone(wrong: np.ndarray, stroke: np.ndarray) -> None:
    low = np.maximum(stroke.min(axis=0) - APART, 0)
    high = stroke.max(axis=0) + np.array(APART) + 1
    wrong[tuple(slice(a, b) for a, b in zip(low, high, strict=True))] *= 1e-3
