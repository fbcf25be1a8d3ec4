"""The events of a training, and how they are made of its state."""

from __future__ import annotations

from dataclasses import dataclass
from math import nan
from pathlib import Path
from typing import TYPE_CHECKING, Literal, TypeAlias

from napari_tileseg._progress import Noted, Progress

if TYPE_CHECKING:
    from napari_tileseg.training.recipe import Recipe
    from napari_tileseg.training.state import State
    from napari_tileseg.training.steps.schedule import Limits
    from napari_tileseg.training.validation import Score
    from napari_tileseg.training.weights import Snapshot

#: Why a training has ended.
Reason: TypeAlias = Literal["done", "stopped", "diverged"]
#: Batch statistics only; r_max and d_max rising; both at their ends; or no BatchRenorm in the network.
Phase: TypeAlias = Literal["batch", "ramp", "full", "none"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Calibrated:
    """Layers are converted to BatchRenorm and their statistics measured; training has not begun.

    Parameters
    ----------
    layers : tuple of str
        Paths of the converted layers.
    dice : tuple of float
        Soft Dice of each class between the predictions before and after, over the tiles looked at; 1 is no
        change.
    max_abs_difference : float
        Largest absolute difference of probabilities.
    """

    layers: tuple[str, ...]
    dice: tuple[float, ...]
    max_abs_difference: float


@dataclass(frozen=True, slots=True, kw_only=True)
class StepDone:
    """One step of the optimizer is taken.

    Parameters
    ----------
    step, total : int
        Steps taken, and planned. `total` is 0 until minutes are turned into steps, and follows the speed
        of the steps until the limits begin to rise.
    loss : float
        Mean loss of the step's patches.
    phase : {"batch", "ramp", "full", "none"}
        Where the schedule of batch renormalization is.
    r_max, d_max : float
        Its limits in this step.
    seconds, seconds_left : float
        Since the start of this run, and an estimate until the decision, what is measured after the last step
        included.
    """

    step: int
    total: int
    loss: float
    phase: Phase
    r_max: float
    d_max: float
    seconds: float
    seconds_left: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Validated:
    """The network was scored on held-out strokes or volumes, in evaluation mode.

    Parameters
    ----------
    step : int
        Steps taken before.
    loss : float
        Loss on what is held out.
    dice : tuple of float
        Dice of each class on what is held out; NaN for a class that is not there.
    score : float
        Mean of `dice` over the classes that are there.
    best : bool
        Whether it is the best so far, and therefore saved.
    """

    step: int
    loss: float
    dice: tuple[float, ...]
    score: float
    best: bool


@dataclass(frozen=True, slots=True)
class Checkpointed:
    """A checkpoint is on disk, whole."""

    step: int
    path: Path


@dataclass(frozen=True, slots=True, kw_only=True)
class Trained:
    """Training has ended.

    Parameters
    ----------
    steps : int
        Steps taken in all, those before a resumption included.
    seconds : float
        Time of this run.
    reason : {"done", "stopped", "diverged"}
        All steps are taken; it was asked to stop; or the loss became NaN, and the last good weights are
        restored.
    phase : {"batch", "ramp", "full", "none"}
        Where the schedule was.
    best_step : int
        After which step the best validation score was reached.
    best_score : float
        That score; NaN where nothing was held out.
    message : str
        What the user should know, such as that it was stopped in the middle of the ramp; "" for nothing.
    """

    steps: int
    seconds: float
    reason: Reason
    phase: Phase
    best_step: int
    best_score: float
    message: str = ""


TrainEvent: TypeAlias = Progress | Noted | Calibrated | StepDone | Validated | Checkpointed | Trained


def step_done(
    state: State, recipe: Recipe, loss: float, limits: Limits, *, seconds: float, left: float
) -> StepDone:
    """Build the event of a step; `seconds` have passed in this run, and `left` remain."""
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
    """Build the event of a validation after `step` steps."""
    return Validated(step=step, loss=score.loss, dice=score.dice, score=score.mean, best=best)


def trained(state: State, best: Snapshot | None, seconds: float, reason: Reason, message: str) -> Trained:
    """Build the result of a run; `best` are the weights of the best score, where there was any."""
    return Trained(
        steps=state.step,
        seconds=seconds,
        reason=reason,
        phase=state.limits.phase,
        best_step=best.step if best else state.step,
        best_score=best.score.mean if best and best.score else nan,
        message=message,
    )


def divergence(lost: int, restored: int, recipe: Recipe) -> str:
    """Return the message for a loss of step `lost` that is no number; those of `restored` are back."""
    also = "" if recipe.dtype == "float32" else ", or compute in float32"
    return (
        f"The loss became infinite or NaN in step {lost}; it went back to the weights after step {restored}. "
        f"Try a lower learning rate, such as {recipe.learning_rate / 3:.1g}{also}."
    )


def unfinished(state: State) -> str:
    """Return the message for a run that ended before its schedule did; "" for any other."""
    schedule, limits = state.schedule, state.limits
    where = {
        "batch": "before the limits of batch renormalization rose",
        "ramp": "while the limits of batch renormalization rose",
    }.get(limits.phase)
    if where is None or schedule is None:
        return ""
    return (
        f"It ended {where}: r_max is {limits.r_max:.3g} of {schedule.r_max:g}, d_max {limits.d_max:.3g} of "
        f"{schedule.d_max:g}. Its file records that; train longer to reach them."
    )
