"""What decides the next step of a training, beside module and optimizer."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, replace
from math import isfinite
from typing import Any

from napari_tileseg._types import Shape
from napari_tileseg.tiling.rounding import ceil_div
from napari_tileseg.training.events import Phase
from napari_tileseg.training.recipe import Recipe
from napari_tileseg.training.steps.schedule import Limits, Schedule
from napari_tileseg.training.validation import Score

#: Most points of a curve in a network's provenance.
_POINTS = 200


@dataclass(slots=True, kw_only=True)
class State:
    """Counters of a training.

    Parameters
    ----------
    patch, batch, accumulate : tuple of int, int, int
        As in the recipe, until memory runs out.
    schedule : Schedule, optional
        None until layers are converted.
    step : int
        Steps taken.
    seconds : float
        From the start to the end of the last one, in all runs.
    places : int, optional
        Parts of the images that a validation looks at; None for all that were chosen.
    curve : list
        For each step: step, loss, phase, r_max, d_max, and loss and score of a validation after it or None.
    """

    patch: Shape
    batch: int
    accumulate: int
    schedule: Schedule | None = None
    step: int = 0
    seconds: float = 0.0
    places: int | None = None
    curve: list[list[Any]] = field(default_factory=list)

    @classmethod
    def of(cls, recipe: Recipe) -> State:
        """Return the state before the first step."""
        return cls(patch=recipe.patch, batch=recipe.batch, accumulate=recipe.accumulate)

    def as_dict(self) -> dict[str, Any]:
        """Return plain values."""
        return asdict(self)

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> State:
        """Return the state that `as_dict` gave."""
        schedule = values["schedule"] and Schedule(**values["schedule"])
        return cls(**{**values, "patch": tuple(values["patch"]), "schedule": schedule})

    def total(self, recipe: Recipe) -> int:
        """Return the planned steps; 0 until minutes are turned into steps."""
        return (self.schedule and self.schedule.total) or recipe.steps or 0

    @property
    def limits(self) -> Limits:
        """Limits of the last step that was taken."""
        return self._limits_after(max(0, self.step - 1))

    @property
    def next_limits(self) -> Limits:
        """Limits of the next step."""
        return self._limits_after(self.step)

    def _limits_after(self, step: int) -> Limits:
        return Limits("none", 1.0, 0.0) if self.schedule is None else self.schedule.limits(step)

    def begin(self, recipe: Recipe, *, renormalizes: bool) -> None:
        """Lay out the schedule, once it is known whether batch renormalization is among what learns."""
        # Statistics that were measured are good: fresh weights, and whoever asks for it, begin without them.
        start: Phase = "none" if not renormalizes else "batch" if recipe.follow else "full"
        self.schedule = Schedule(
            start=start,
            r_max=recipe.r_max,
            d_max=recipe.d_max,
            first_phase=recipe.first_phase,
            total=recipe.steps,
        )

    def count_step(self, loss: float, limits: Limits, elapsed: float) -> None:
        """Record a step that ended `elapsed` seconds after the start."""
        assert self.schedule is not None
        self.step += 1
        self.seconds = elapsed
        self.curve.append([self.step, loss, limits.phase, limits.r_max, limits.d_max, None, None])
        self.schedule = self.schedule.after(self.step, loss)

    def plan(self, more: int | None) -> None:
        """Plan `more` steps from here, until the ramp begins: its length follows from that of the run."""
        assert self.schedule is not None
        if self.schedule.ramp_start is None:
            self.schedule = replace(self.schedule, total=None if more is None else self.step + more)

    def note_score(self, score: Score) -> None:
        """Add a validation to the last step's entry; one before the first step gets a new entry."""
        if not self.curve:
            self.curve.append([0, None, None, None, None, None, None])
        self.curve[-1][5:] = [score.loss, score.mean if isfinite(score.mean) else None]

    def short_curve(self) -> list[list[Any]]:
        """Return the curve with at most `_POINTS` entries, evenly spread, the last one included."""
        every = ceil_div(len(self.curve), _POINTS) or 1
        return self.curve[::-1][::every][::-1]
