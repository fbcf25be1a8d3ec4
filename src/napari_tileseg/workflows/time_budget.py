"""How much of what comes before and after the steps of a fine-tuning fits into its minutes."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, fields
from math import ceil, inf, prod
from typing import TYPE_CHECKING, Any

from napari_tileseg._words import time_words
from napari_tileseg.errors import SettingsError
from napari_tileseg.training.networks.calibration import EFFORT

if TYPE_CHECKING:
    from napari_tileseg.training.recipe import Recipe
    from napari_tileseg.training.watch import Watch
    from napari_tileseg.workflows.seam_check import SeamCheck

#: Parts of the minutes that each piece of work may take: the teacher, a score, statistics, tiles.
_DISTIL, _SCORE, _CALIBRATE, _TILES = 0.12, 0.06, 0.08, 0.2
#: A step takes about as long as three predictions of its patches: forward, and back for inputs and weights.
_STEP = 3
#: Predictions of a pair of tiles: both tiles before; the same after, and its first one in both modes.
_BEFORE, _AFTER = 2, 4


@dataclass(slots=True, kw_only=True)
class Efforts:
    """How much was done before the steps of a run, so that a resumed run does the same.

    Parameters
    ----------
    tiles, places : int, optional
        Tiles that the teacher predicts, and parts of the image that are scored; None for as many as usual.
    pairs : int, optional
        Pairs of tiles that are compared; None as above.
    afterwards : float
        Seconds to leave for what follows the steps.
    """

    tiles: int | None = None
    places: int | None = None
    pairs: int | None = None
    afterwards: float = 0.0

    def as_dict(self) -> dict[str, Any]:
        """Return plain values."""
        return asdict(self)

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> Efforts:
        """Read efforts that `as_dict` gave.

        Raises
        ------
        KeyError, TypeError
            If it did not give these.
        """
        known = {each.name: values[each.name] for each in fields(cls)}
        counts = {type(value) for name, value in known.items() if name != "afterwards"}
        if not counts <= {int, type(None)} or not isinstance(known["afterwards"], (int, float)):
            raise TypeError(f"efforts are numbers; got {known}")
        return cls(**known)


class TimeBudget:
    """Fits what comes before and after the steps into the minutes; without minutes nothing is left out.

    Parameters
    ----------
    watch : Watch
        Counts since the start.
    minutes : float, optional
        From the start to the decision.
    spare : float
        Seconds of them that whoever drives it takes at the end.
    """

    def __init__(self, watch: Watch, minutes: float | None, spare: float = 0.0) -> None:
        self._watch, self._spare = watch, spare
        self._seconds = inf if minutes is None else 60 * minutes
        self._speed = 0.0

    @property
    def limited(self) -> bool:
        """Whether the run has a limit in minutes."""
        return self._seconds < inf

    def distilled(self) -> Callable[[], bool]:
        """Return whether predicting with the teacher has taken its part of the minutes, from now on."""
        return self._over(_DISTIL)

    def scored(self) -> Callable[[], bool]:
        """Return whether scoring has taken its part of the minutes, from now on."""
        return self._over(_SCORE)

    def _over(self, share: float) -> Callable[[], bool]:
        begun = self._watch.elapsed
        return lambda: self._watch.elapsed - begun > share * self._seconds

    def count_prediction(self, voxels: int, seconds: float) -> None:
        """Record how quickly something was predicted; the first time is slower than others."""
        self._speed = max(self._speed, voxels / max(seconds, 1e-9))

    def calibration(self) -> int:
        """Return the voxels on which statistics are measured, about: they are predicted twice."""
        if not self.limited:
            return EFFORT
        return min(EFFORT, int(_CALIBRATE * self._seconds * self._speed / 2))

    def validation(self) -> float:
        """Return the seconds that a validation may take."""
        return _SCORE * self._seconds

    def pairs(self, check: SeamCheck) -> int:
        """Return how many of the pairs of tiles there is time to compare."""
        if check.pairs is None:
            return 0
        each = (_BEFORE + _AFTER) * prod(check.pairs.tile) / max(self._speed, 1e-9)
        most = len(check.pairs.pairs)
        return min(most, int(_TILES * self._seconds / each)) if self.limited else most

    def afterwards(self, score: float, compared: float, *, scores: int) -> float:
        """Return the seconds to leave for what follows the steps.

        Parameters
        ----------
        score, compared : float
            Seconds that scoring, and comparing tiles, took before.
        scores : int
            How many networks are scored afterwards.
        """
        return scores * score + compared * _AFTER / _BEFORE + self._spare

    def check(self, recipe: Recipe, score: float, afterwards: float) -> None:
        """Refuse minutes in which not even one step can be taken.

        Parameters
        ----------
        recipe : Recipe
            What a step is.
        score : float
            Seconds that scoring took, which is done twice more beside the steps.
        afterwards : float
            Seconds of what follows the steps.

        Raises
        ------
        SettingsError
            If there is no time for a step, with the least minutes that would do.
        """
        patch = prod(recipe.patch)
        step = _STEP * patch * recipe.batch * recipe.accumulate / max(self._speed, 1e-9)
        statistics = 2 * patch / max(self._speed, 1e-9) if recipe.convert else 0.0
        needed = self._watch.elapsed + statistics + 2 * score + step + afterwards
        if self.limited and needed > self._seconds:
            least = ceil(10 * 1.2 * needed / 60) / 10
            raise SettingsError(
                f"A training of {time_words(self._seconds)} should have time for a step; here what comes "
                f"before and after the steps takes about {time_words(needed - step)}, and a step about "
                f"{time_words(step)}. Give it {least:g} min or more."
            )
