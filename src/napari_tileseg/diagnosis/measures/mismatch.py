"""How much two overlapping tiles disagree where both should be right."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Generator, Sequence

import numpy as np
import numpy.typing as npt

from napari_tileseg._progress import Steps
from napari_tileseg._types import Array
from napari_tileseg.diagnosis.events import PairDone
from napari_tileseg.diagnosis.measured import ClassMismatch, Histogram, Mismatch, WorstPlace
from napari_tileseg.diagnosis.pairs.pair_plan import PairPlan, TilePair
from napari_tileseg.diagnosis.region_predictor import (
    CorePredictor,
    NetworkRegions,
    RegionPredictor,
    core_predictor_of,
    part_of,
)
from napari_tileseg.errors import SettingsError
from napari_tileseg.labels.dice import both_empty, hard_dice, soft_dice
from napari_tileseg.tiling import Box, TileGrid

#: Largest difference of right results: sums taken in another order differ by up to 2e-5 in float32.
TOLERANCE = 1e-4
#: Edges of the histogram: 0, then four bins a decade up to 1, where larger differences are counted, too.
EDGES = (0.0, *(float(edge) for edge in np.logspace(-6, 0, 25)))
#: Bytes of predictions to cache while pairs are compared.
MEMORY = 2**29
_RESAMPLES = 1000
_WHAT = "Comparing tiles"


def measure_mismatch(
    regions: RegionPredictor | NetworkRegions,
    plan: PairPlan,
    classes: Sequence[str],
    *,
    threshold: float = 0.5,
    tolerance: float = TOLERANCE,
    places: int = 20,
) -> Generator[PairDone, None, Mismatch]:
    """Compare pairs of tiles.

    Closing the generator stops it after the current pair.

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
        Most worst places to return.

    Yields
    ------
    PairDone
        One for each pair, with the predictions that were compared.

    Returns
    -------
    Mismatch
        What all pairs show together.

    Raises
    ------
    NetworkError
        If a prediction is NaN or infinite, with its position, or has not one channel for each class; and what
        `regions` raises.
    SettingsError
        If the plan has no pairs.
    """
    if not plan.pairs:
        raise SettingsError("There should be pairs of tiles to compare; the plan has none.")
    tally, steps = _Tally(plan, tuple(classes), threshold, max(places, 1)), Steps(_WHAT, len(plan.pairs))
    predict = _Remembering(core_predictor_of(regions))
    for pair in plan.pairs:
        cores = pair.cores or (pair.first, pair.second)
        first, second = (
            part_of(predict(read, core), core, pair.valid, tally.names)
            for read, core in zip((pair.first, pair.second), cores, strict=True)
        )
        tally.add(pair, first, second)
        yield PairDone(pair, first, second, steps.count())
    return tally.result(tolerance)


class _Remembering:
    """Predicts tiles, and caches the last ones as far as memory allows: pairs share them."""

    def __init__(self, predict: CorePredictor, limit: int = MEMORY) -> None:
        self._predict, self._limit = predict, limit
        self._kept: OrderedDict[tuple[Box, Box], Array] = OrderedDict()

    def __call__(self, read: Box, core: Box) -> Array:
        tile = read, core
        if tile not in self._kept:
            self._kept[tile] = self._predict(read, core)
        self._kept.move_to_end(tile)
        while len(self._kept) > 2 and sum(values.nbytes for values in self._kept.values()) > self._limit:
            self._kept.popitem(last=False)
        return self._kept[tile]


class _Tally:
    """What is accumulated over the pairs compared so far."""

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
        self._largest = np.zeros(len(names))

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
        self._largest = np.maximum(self._largest, difference.reshape(len(self.names), -1).max(axis=1))
        found = [_worst_place(name, at, pair) for name, at in zip(self.names, difference, strict=True)]
        ranked = sorted([*self._worst, *found], key=lambda place: place.difference, reverse=True)
        self._worst = ranked[: self._places]

    def result(self, tolerance: float) -> Mismatch:
        """Summarize all pairs."""
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
            compared=plan.compared,
            largest=self._worst[0],
        )

    def _class(self, number: int, soft: npt.NDArray[np.float64]) -> ClassMismatch:
        values = soft[:, number]
        return ClassMismatch(
            name=self.names[number],
            tile_mismatch=float(values.mean()),
            tile_mismatch_thresholded=float(np.mean([pair[number] for pair in self._hard])),
            interval=mean_interval(values) if self._plan.sampled else None,
            worst=float(values.max()),
            largest=float(self._largest[number]),
            empty_pairs=int(self._empty[number]),
        )


def nothing_to_compare(grid: TileGrid, classes: Sequence[str], compared: str) -> Mismatch:
    """Return the mismatch where no two tiles meet: 0, as nothing can differ.

    Parameters
    ----------
    grid : TileGrid
        The tiles.
    classes : sequence of str
        Name of each class.
    compared : str
        Why there is nothing to compare.
    """
    none = ("tile_mismatch", "tile_mismatch_thresholded", "worst", "largest")
    zero = dict.fromkeys(none, 0.0)
    return Mismatch(
        classes=tuple(ClassMismatch(name=name, interval=None, empty_pairs=0, **zero) for name in classes),
        max_dice_mismatch=0.0,
        max_abs_difference=0.0,
        mean_abs_difference=0.0,
        seam_free=True,
        tolerance=TOLERANCE,
        pairs=0,
        total=0,
        tile=grid.read_shape,
        halo=grid.aligned_halo,
        stride=grid.stride,
        shift=(0,) * grid.ndim,
        skipped=(),
        worst=(),
        histogram=Histogram(counts=(0,) * (len(EDGES) - 1), edges=EDGES),
        compared=compared,
    )


def _worst_place(name: str, difference: Array, pair: TilePair) -> WorstPlace:
    at = np.unravel_index(int(difference.argmax()), difference.shape)
    return WorstPlace(
        point=tuple(int(a) + b for a, b in zip(at, pair.valid.start, strict=True)),
        class_name=name,
        difference=float(difference[at]),
        first=pair.first,
        second=pair.second,
        valid=pair.valid,
        axis=pair.axis,
    )


def mean_interval(values: npt.NDArray[np.float64], seed: int = 0) -> tuple[float, float] | None:
    """Estimate the 95 % confidence interval of the mean by percentiles of resampled means (Efron 1979).

    Parameters
    ----------
    values : ndarray
        One for each pair.
    seed : int
        Of the resampling.

    Returns
    -------
    tuple of float or None
        None for fewer than two values, which do not show how much they vary.
    """
    if len(values) < 2:
        return None
    random = np.random.default_rng(seed)
    means = [values[random.integers(len(values), size=len(values))].mean() for _ in range(_RESAMPLES)]
    low, high = np.percentile(means, (2.5, 97.5))
    return float(low), float(high)
