"""What a training tells of itself: events made of its state."""

from __future__ import annotations

from math import nan
from typing import Literal, TypeAlias

from napari_tileseg.training.events import StepDone, Trained, Validated
from napari_tileseg.training.recipe import Recipe
from napari_tileseg.training.state import Snapshot, State
from napari_tileseg.training.steps.schedule import Limits
from napari_tileseg.training.validation import Score

#: Why a training has ended.
Reason: TypeAlias = Literal["done", "stopped", "diverged"]


def step_done(
    state: State, recipe: Recipe, loss: float, limits: Limits, *, seconds: float, left: float
) -> StepDone:
    """A step was taken, with this loss under these limits, after and before so many seconds of this run."""
    return StepDone(
        step=state.step,
        total=state.total(recipe),
        loss=loss,
        phase=limits.phase,
        r_max=limits.r_max,
        d_max=limits.d_max,
        seconds=seconds,
        seconds_left=max(0.0, left),
    )


def validated(step: int, score: Score, *, best: bool) -> Validated:
    """A network was scored after so many steps."""
    return Validated(step=step, loss=score.loss, dice=score.dice, score=score.mean, best=best)


def trained(state: State, best: Snapshot | None, seconds: float, reason: Reason, message: str) -> Trained:
    """The run has ended; `best` are the weights of the best score, where there was any."""
    return Trained(
        steps=state.step,
        seconds=seconds,
        reason=reason,
        phase=state.limits.phase,
        best_step=best.step if best else state.step,
        best_score=best.score.mean if best and best.score else nan,
        message=message,
    )


def divergence(lost: int, kept: int, recipe: Recipe) -> str:
    """What to say where the loss of step `lost` was no number, and the weights of `kept` are gone back to."""
    also = "" if recipe.dtype == "float32" else ", or compute in float32"
    return (
        f"The loss became infinite or NaN in step {lost}; it went back to the weights after step {kept}. "
        f"Try a lower learning rate, such as {recipe.learning_rate / 3:.1g}{also}."
    )


def unfinished(state: State) -> str:
    """What to say of a run that ended before its schedule did; "" where there is nothing to say."""
    schedule, limits = state.schedule, state.limits
    where = {
        "batch": "before the limits of batch renormalization rose",
        "ramp": "while the limits of batch renormalization rose",
    }.get(limits.phase)
    if where is None or schedule is None:
        return ""
    return (
        f"It ended {where}: r_max is {limits.r_max:.3g} of {schedule.r_max:g}, d_max {limits.d_max:.3g} of "
        f"{schedule.d_max:g}. Its file says so; train longer to reach them."
    )
