"""How much two overlapping tiles disagree where both should be right."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from napari_tileseg._types import Array, Halo, Shape
from napari_tileseg.diagnose.events import Countdown, PairDone
from napari_tileseg.diagnose.pairs import PairPlan, TilePair
from napari_tileseg.diagnose.regions import RegionPredictor, part_of
from napari_tileseg.errors import SettingsError
from napari_tileseg.labels.dice import both_empty, hard_dice, soft_dice
from napari_tileseg.tiling import Box

#: Largest difference of right results: sums taken in another order differ by up to 2e-5 in float32.
TOLERANCE = 1e-4
#: Edges of the histogram: 0, then four bins a decade up to 1, where larger differences are counted, too.
EDGES = (0.0, *(float(edge) for edge in np.logspace(-6, 0, 25)))
_RESAMPLES = 1000


@dataclass(frozen=True, slots=True, kw_only=True)
class ClassMismatch:
    """Tile mismatch of one class.

    Parameters
    ----------
    name : str
        The class.
    tile_mismatch : float
        Mean over the pairs of 1 - Dice of the probabilities (`soft_dice`), 0 to 1.
    tile_mismatch_thresholded : float
        The same of the masks (`hard_dice`), 0 to 1.
    interval : tuple of float, optional
        95 % confidence interval of `tile_mismatch`, by bootstrap over pairs; None where every pair was
        compared, or one only.
    worst : float
        Largest 1 - Dice of the probabilities.
    empty_pairs : int
        Pairs in which neither mask has a voxel; their thresholded Dice is 1 by definition.
    """

    name: str
    tile_mismatch: float
    tile_mismatch_thresholded: float
    interval: tuple[float, float] | None
    worst: float
    empty_pairs: int


@dataclass(frozen=True, slots=True, kw_only=True)
class WorstPlace:
    """Where two tiles differ most.

    Parameters
    ----------
    point : tuple of int
        Voxel of the image.
    class_name : str
        The class.
    difference : float
        Absolute difference there.
    first, second : Box
        The two tiles.
    """

    point: Shape
    class_name: str
    difference: float
    first: Box
    second: Box


@dataclass(frozen=True, slots=True, kw_only=True)
class Histogram:
    """How many compared values differ by how much.

    Parameters
    ----------
    counts : tuple of int
        Values, over voxels and classes, whose absolute difference lies in each bin.
    edges : tuple of float
        Edges of the bins, one more than there are bins; the last bin holds all that is larger, too.
    """

    counts: tuple[int, ...]
    edges: tuple[float, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Mismatch:
    """Tile mismatch of a network on an image.

    Parameters
    ----------
    classes : tuple of ClassMismatch
        One for each class.
    max_dice_mismatch : float
        Largest 1 - Dice of the probabilities over pairs and classes.
    max_abs_difference : float
        Largest absolute difference over pairs, classes and voxels.
    mean_abs_difference : float
        Mean absolute difference over all compared voxels and classes.
    seam_free : bool
        Whether `max_abs_difference` is within `tolerance`.
    tolerance : float
        Difference that rounding explains: that asked for, times the largest output where that is above 1.
    pairs, total : int
        Pairs compared, and pairs on the whole grid.
    tile, halo, stride, shift, skipped
        Of the `PairPlan`.
    worst : tuple of WorstPlace
        The places of the largest differences above the tolerance, largest first; one a pair and class.
    histogram : Histogram
        Of the absolute differences.
    """

    classes: tuple[ClassMismatch, ...]
    max_dice_mismatch: float
    max_abs_difference: float
    mean_abs_difference: float
    seam_free: bool
    tolerance: float
    pairs: int
    total: int
    tile: Shape
    halo: Halo
    stride: Shape
    shift: Shape
    skipped: tuple[tuple[str, str], ...]
    worst: tuple[WorstPlace, ...]
    histogram: Histogram

    def as_dict(self) -> dict[str, Any]:
        """Plain values, ready for JSON."""
        return asdict(self)


@dataclass(frozen=True, slots=True)
class Measured:
    """All pairs are compared."""

    mismatch: Mismatch


def measure_mismatch(
    regions: RegionPredictor,
    plan: PairPlan,
    classes: Sequence[str],
    *,
    threshold: float = 0.5,
    tolerance: float = TOLERANCE,
    places: int = 20,
) -> Iterator[PairDone | Measured]:
    """Compare pairs of tiles.

    Closing the iterator stops it after the current pair.

    Parameters
    ----------
    regions : RegionPredictor
        What predicts a tile.
    plan : PairPlan
        Which tiles.
    classes : sequence of str
        Name of each class.
    threshold : float
        Least probability that belongs to a mask.
    tolerance : float
        Largest difference that rounding explains, for outputs up to 1.
    places : int
        Most worst places to keep.

    Yields
    ------
    PairDone or Measured
        One `PairDone` for each pair, with the predictions that were compared, and `Measured` at the end.

    Raises
    ------
    NetworkError
        If a prediction is NaN or infinite, with its place, or has not one channel for each class; and what
        `regions` raises.
    SettingsError
        If the plan has no pairs.
    """
    if not plan.pairs:
        raise SettingsError("There should be pairs of tiles to compare; the plan has none.")
    tally, count = _Tally(plan, tuple(classes), threshold, max(places, 1)), Countdown(len(plan.pairs))
    predict = _remembering(regions)
    for done, pair in enumerate(plan.pairs, start=1):
        first, second = (
            part_of(predict(box), box, pair.valid, tally.names) for box in (pair.first, pair.second)
        )
        tally.add(pair, first, second)
        yield PairDone(pair, first, second, done, len(plan.pairs), count.left(done))
    yield Measured(tally.result(tolerance))


def _remembering(regions: RegionPredictor) -> Callable[[Box], Array]:
    """Predict boxes, keeping the last: the second tile of a pair often is the first of the next."""
    last: list[tuple[Box, Array]] = []

    def predict(box: Box) -> Array:
        if not last or last[0][0] != box:
            values = regions(box)
            last[:] = [(box, values)]
        return last[0][1]

    return predict


class _Tally:
    """What is kept of the pairs compared so far."""

    def __init__(self, plan: PairPlan, names: tuple[str, ...], threshold: float, places: int) -> None:
        self.names = names
        self._places = places
        self._plan = plan
        self._threshold = threshold
        self._soft: list[list[float]] = []
        self._hard: list[list[float]] = []
        self._empty = np.zeros(len(names), int)
        self._counts = np.zeros(len(EDGES) - 1, int)
        self._sum, self._values, self._size = 0.0, 0, 0.0
        self._worst: list[WorstPlace] = []

    def add(self, pair: TilePair, first: Array, second: Array) -> None:
        """Enter one pair's valid predictions."""
        both = list(zip(first, second, strict=True))
        # Rounding may lift a Dice above 1.
        self._soft.append([max(0.0, 1 - soft_dice(a, b)) for a, b in both])
        self._hard.append([1 - hard_dice(a, b, self._threshold) for a, b in both])
        self._empty += [both_empty(a, b, self._threshold) for a, b in both]
        difference = np.abs(first - second)
        self._counts += np.histogram(np.minimum(difference, EDGES[-1]), EDGES)[0]
        self._sum += float(difference.sum(dtype=np.float64))
        self._values += difference.size
        self._size = max(self._size, float(np.abs(first).max()), float(np.abs(second).max()))
        found = [_worst_place(name, at, pair) for name, at in zip(self.names, difference, strict=True)]
        ranked = sorted([*self._worst, *found], key=lambda place: place.difference, reverse=True)
        self._worst = ranked[: self._places]

    def result(self, tolerance: float) -> Mismatch:
        """What all pairs say together."""
        plan, soft = self._plan, np.array(self._soft)
        within, largest = tolerance * max(1.0, self._size), self._worst[0].difference
        return Mismatch(
            classes=tuple(self._class(number, soft) for number in range(len(self.names))),
            max_dice_mismatch=float(soft.max()),
            max_abs_difference=largest,
            mean_abs_difference=self._sum / self._values,
            seam_free=largest <= within,
            tolerance=within,
            pairs=len(soft),
            total=plan.total,
            tile=plan.tile,
            halo=plan.halo,
            stride=plan.stride,
            shift=plan.shift,
            skipped=plan.skipped,
            worst=tuple(place for place in self._worst if place.difference > within),
            histogram=Histogram(counts=tuple(map(int, self._counts)), edges=EDGES),
        )

    def _class(self, number: int, soft: npt.NDArray[np.float64]) -> ClassMismatch:
        values = soft[:, number]
        return ClassMismatch(
            name=self.names[number],
            tile_mismatch=float(values.mean()),
            tile_mismatch_thresholded=float(np.mean([pair[number] for pair in self._hard])),
            interval=mean_interval(values) if self._plan.sampled else None,
            worst=float(values.max()),
            empty_pairs=int(self._empty[number]),
        )


def _worst_place(name: str, difference: Array, pair: TilePair) -> WorstPlace:
    place = np.unravel_index(int(difference.argmax()), difference.shape)
    return WorstPlace(
        point=tuple(int(a) + b for a, b in zip(place, pair.valid.start, strict=True)),
        class_name=name,
        difference=float(difference[place]),
        first=pair.first,
        second=pair.second,
    )


def mean_interval(values: npt.NDArray[np.float64], seed: int = 0) -> tuple[float, float] | None:
    """95 % confidence interval of the mean: percentiles of resampled means (Efron 1979).

    Parameters
    ----------
    values : ndarray
        One for each pair.
    seed : int
        Of the resampling.

    Returns
    -------
    tuple of float or None
        None for fewer than two values, which do not say how much they vary.
    """
    if len(values) < 2:
        return None
    random = np.random.default_rng(seed)
    means = [values[random.integers(len(values), size=len(values))].mean() for _ in range(_RESAMPLES)]
    low, high = np.percentile(means, (2.5, 97.5))
    return float(low), float(high)
