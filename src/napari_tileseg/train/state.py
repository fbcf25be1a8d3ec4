"""What decides the next step of a training, beside module and optimizer."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from math import isfinite
from typing import Any

from torch import Tensor

from napari_tileseg._types import Shape
from napari_tileseg.train.recipe import Recipe
from napari_tileseg.train.schedule import Limits, Schedule
from napari_tileseg.train.validation import Score

#: Most points of a curve in a network's provenance.
_POINTS = 200


@dataclass(frozen=True, slots=True, eq=False)
class Snapshot:
    """Weights after a step.

    Parameters
    ----------
    step : int
        Steps taken before.
    weights : mapping of str to Tensor
        On the CPU, statistics included.
    limits : Limits
        What batch renormalization may correct there.
    score : Score, optional
        On what is held out.
    """

    step: int
    weights: Mapping[str, Tensor]
    limits: Limits
    score: Score | None = None

    def as_dict(self) -> dict[str, Any]:
        """Tensors and plain values."""
        plain = {"step": self.step, "limits": asdict(self.limits)}
        return {**plain, "score": self.score and asdict(self.score), "weights": dict(self.weights)}

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> Snapshot:
        """Snapshot that `as_dict` gave."""
        score = values["score"]
        kept = score and Score(score["loss"], tuple(score["dice"]))
        return cls(values["step"], values["weights"], Limits(**values["limits"]), kept)


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
        Time that they took, in all runs.
    first : float
        Time of the first one.
    curve : list
        For each step: step, loss, phase, r_max, d_max, and loss and score of a validation after it or None.
    """

    patch: Shape
    batch: int
    accumulate: int
    schedule: Schedule | None = None
    step: int = 0
    seconds: float = 0.0
    first: float = 0.0
    curve: list[list[Any]] = field(default_factory=list)

    @classmethod
    def of(cls, recipe: Recipe) -> State:
        """State before the first step."""
        return cls(patch=recipe.patch, batch=recipe.batch, accumulate=recipe.accumulate)

    def as_dict(self) -> dict[str, Any]:
        """Plain values."""
        return asdict(self)

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> State:
        """State that `as_dict` gave."""
        schedule = values["schedule"] and Schedule(**values["schedule"])
        return cls(**{**values, "patch": tuple(values["patch"]), "schedule": schedule})

    def note_step(self, loss: float, limits: Limits) -> None:
        """Add a step to the curve."""
        self.curve.append([self.step, loss, limits.phase, limits.r_max, limits.d_max, None, None])

    def note_score(self, score: Score) -> None:
        """Add a validation to the last step's entry; one before the first step gets an entry of its own."""
        if not self.curve:
            self.curve.append([0, None, None, None, None, None, None])
        self.curve[-1][5:] = [score.loss, score.mean if isfinite(score.mean) else None]

    def short_curve(self) -> list[list[Any]]:
        """The curve with at most `_POINTS` entries, evenly spread, the last one included."""
        every = -(-len(self.curve) // _POINTS) or 1
        return self.curve[::-1][::every][::-1]


def unfinished(limits: Limits, schedule: Schedule) -> str:
    """What to say of a run that ended before the schedule did; "" where there is nothing to say."""
    where = {
        "batch": "before the limits of batch renormalization rose",
        "ramp": "while the limits of batch renormalization rose",
    }.get(limits.phase)
    if where is None:
        return ""
    return (
        f"It ended {where}: r_max is {limits.r_max:.3g} of {schedule.r_max:g}, d_max {limits.d_max:.3g} of "
        f"{schedule.d_max:g}. Its file says so; train longer to reach them."
    )
