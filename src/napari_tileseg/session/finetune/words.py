"""Labels, training and what it changed, in words for a panel."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING

from napari_tileseg._progress import Progress
from napari_tileseg._words import time_words
from napari_tileseg.nets.spec import NORM_NAMES
from napari_tileseg.session.painting.counts import Painted
from napari_tileseg.session.prediction.readiness import problem_words
from napari_tileseg.session.project.network_files import is_rescued
from napari_tileseg.session.text.network_words import NO_NUMBER
from napari_tileseg.training.events import Calibrated, Phase, StepDone, Trained, Validated

if TYPE_CHECKING:
    from napari_tileseg.nets.spec import NetworkSpec
    from napari_tileseg.session.finetune.log import TrainingLog
    from napari_tileseg.session.finetune.request import State
    from napari_tileseg.workflows.finetuning_events import Tuned
    from napari_tileseg.workflows.scores import Numbers

#: Normalization layers that conversion replaces.
_CONVERTED = ("batch", "instance", "instance_tracked", "group")
PHASES: dict[Phase, str] = {
    "batch": "each patch normalized by itself",
    "ramp": "going over to statistics of the whole image",
    "full": "normalized by statistics of the whole image",
    "none": "",
}


def conversion_words(spec: NetworkSpec, norm: str) -> str:
    """Return what becomes of a network's normalization layers when training begins.

    Parameters
    ----------
    spec : NetworkSpec
        Of the network.
    norm : {"batch_renorm", "keep"}
        What is asked for.
    """
    layers = {kind: count for kind, count in spec.norm_counts.items() if count}
    if not layers:
        return "The network has no normalization layers; nothing is converted."
    if norm == "keep":
        seams = "" if spec.seam_free else " Tiles may still disagree."
        return f"{_layers(layers)} stay as they are.{seams}"
    converted = {kind: count for kind, count in layers.items() if kind in _CONVERTED}
    if not converted:
        return f"{_layers(layers)} stay: nothing is left to convert."
    return f"{_layers(converted)} become BatchRenorm, their statistics measured on this image."


def _layers(counts: Mapping[str, int]) -> str:
    words = [f"{count} {NORM_NAMES.get(kind, kind)}" for kind, count in counts.items()]
    return f"{' and '.join(words)} layer{'' if sum(counts.values()) == 1 else 's'}"


#: Dice above which two predictions look nearly the same.
_NEARLY = 0.95


def calibrated_words(event: Calibrated) -> str:
    """Return what conversion has done to the prediction."""
    least = min(event.dice, default=1.0)
    done = f"{len(event.layers)} layers converted; "
    if least >= _NEARLY:
        return f"{done}the prediction is nearly what it was."
    return f"{done}the prediction has changed, which training has to make up for."


def calibrated_numbers(event: Calibrated) -> str:
    """Return the numbers behind `calibrated_words`."""
    least = min(event.dice, default=1.0)
    return (
        f"Predictions before and after conversion overlap with a Dice of {least:.2f} or more in each class, "
        f"where 1 is all; the probability of a single voxel changed by up to {event.max_abs_difference:.2f}."
    )


def step_words(event: StepDone, paused: bool = False) -> str:
    """Return how far training is, as a line."""
    of = f" / {event.total}" if event.total else ""
    left = f", about {time_words(event.seconds_left)} left" if event.total else ""
    return f"{'Paused at step' if paused else 'Step'} {event.step}{of}, loss {event.loss:.3f}{left}"


def progress_words(log: TrainingLog, state: State, *, paused: bool, stopping: bool) -> tuple[str, str]:
    """Return how far a training is, and what kind of words these are.

    Parameters
    ----------
    log : TrainingLog
        Its events.
    state : State
        Whether it runs, waits for a decision, is being kept, or is over.
    paused, stopping : bool
        What a running one was asked for.
    """
    trained = log.trained
    if state == "running":
        return _running_words(log, paused, stopping), ""
    if state == "keeping":
        return "Keeping\N{HORIZONTAL ELLIPSIS}", ""
    if trained is not None and (state == "deciding" or trained.reason == "diverged"):
        return trained_words(trained, log.tuned), "" if trained.reason == "done" else "warning"
    if state == "deciding":
        return "Training has ended early.", "warning"
    return "" if log.learned or log.error else "Stopped before the first step.", ""


def _running_words(log: TrainingLog, paused: bool, stopping: bool) -> str:
    if stopping and not log.learned:
        return "Stopping\N{HORIZONTAL ELLIPSIS}"
    match log.latest:
        case None:
            return "Starting\N{HORIZONTAL ELLIPSIS}"
        case Progress(what=what, fraction=fraction, seconds_left=left):
            when = "After the last step" if log.learned else "Before the first step"
            rest = f", about {time_words(left)} left of it" if left else ""
            return f"{'Paused. ' if paused else ''}{when}: {what[:1].lower()}{what[1:]}, {fraction:.0%}{rest}"
        case StepDone() as step:
            stop = "Stopping after the present step\N{HORIZONTAL ELLIPSIS}"
            return stop if stopping else step_words(step, paused)


def remark_words(log: TrainingLog, state: State) -> tuple[str, str]:
    """Return what the user should know of a training, one line each, and what kind of words these are.

    Parameters
    ----------
    log : TrainingLog
        Its events.
    state : State
        Whether it runs, waits for a decision, is being kept, or is over.
    """
    if state == "keeping" or (state == "idle" and log.learned):
        return "", ""
    lines = [error_words(log.error)] if log.error is not None else []
    lines += [log.why] if log.why else []
    if lines:
        ends = {"deciding": " What was learned can be kept.", "running": " Training stops."}
        lines[-1] += ends.get(state, "")
    if log.trained is not None and log.trained.message:
        lines.append(log.trained.message)
    lines += log.notes
    return "\n".join(lines), "error" if log.error is not None else "warning"


def error_words(error: BaseException) -> str:
    """Return what went wrong, as a sentence."""
    return problem_words(error)


def rescued_words(recent: Sequence[str]) -> str:
    """Return where the last opened network comes from, if it was saved without a decision; "" otherwise.

    Parameters
    ----------
    recent : sequence of str
        Networks opened last, latest first.
    """
    if not recent or not is_rescued(recent[0]):
        return ""
    return (
        f"A window closed on a training that had not been decided about; its best weights are saved as "
        f"{Path(recent[0]).stem}, among the networks of the Predict widget."
    )


def trained_words(event: Trained, tuned: Tuned | None = None) -> str:
    """Return how training ended, and what of its time the steps took, once all of it is known."""
    if event.reason == "diverged":
        return f"The loss became NaN; back at the weights after step {event.steps}."
    done = "Trained" if event.reason == "done" else "Stopped after"
    steps = f"{event.steps} step{'' if event.steps == 1 else 's'}"
    if tuned is None:
        return f"{done} {steps} in {time_words(event.seconds)}."
    took = tuned.parts.get("steps", 0.0)
    return (
        f"{done} {steps}; {time_words(tuned.seconds)} in all, of which the steps took {time_words(took)} and "
        "measuring before and after them the rest."
    )


def part_words(parts: Mapping[str, float]) -> str:
    """Return what each part of a training took, such as ``scoring before: 3 s; steps: 41 s``."""
    return "; ".join(f"{name}: {time_words(seconds)}" for name, seconds in parts.items())


def number_rows(
    before: Numbers | None, after: Numbers | None, live: Validated | None
) -> list[tuple[str, str, str]]:
    """Return rows of what is measured: its name, before, and now.

    Parameters
    ----------
    before, after : Numbers, optional
        Measured before and after training.
    live : Validated, optional
        The last validation of a training that runs.
    """
    numbers = after or before
    now = _dice(after) if after is not None else _number(None if live is None else live.score, 2)
    return [
        (_dice_of(numbers), _dice(before), now),
        ("tiles disagree", _mismatch(before), _mismatch(after)),
        ("statistics do not fit", _disparity(before), _disparity(after)),
    ]


#: What the rows of `number_rows` are, for whoever points at them.
NUMBER_TIPS = (
    "Overlap of prediction and labels: 1 is all of it, 0 is none.",
    "Tile mismatch: 1 - Dice of two tiles where they overlap. 0 is no seam.",
    "Train/eval disparity: 1 - Dice between a tile normalized by the statistics that the network has learned "
    "and by its own. 0 is best: the statistics fit this image.",
)


def _dice_of(numbers: Numbers | None) -> str:
    """Return what Dice is measured on."""
    if numbers is None:
        return "Dice"
    return "Dice on held-out strokes" if numbers.held_out else "Dice on labels it learned from"


def _dice(numbers: Numbers | None) -> str:
    return _number(None if numbers is None else numbers.dice, 2)


def _mismatch(numbers: Numbers | None) -> str:
    if numbers is not None and numbers.seam_free:
        return "not at all"
    return _number(None if numbers is None else numbers.tile_mismatch, 3)


def _disparity(numbers: Numbers | None) -> str:
    return _number(None if numbers is None else numbers.train_eval_disparity, 3)


def _number(value: float | None, digits: int) -> str:
    return NO_NUMBER if value is None or value != value else f"{value:.{digits}f}"


def painted_words(painted: Mapping[int, Painted]) -> str:
    """Return how much is painted in all, such as ``212 voxels in 9 strokes``."""
    voxels = sum(each.voxels for each in painted.values())
    strokes = [each.strokes for each in painted.values()]
    words = f"{voxels:,} voxel{'' if voxels == 1 else 's'}"
    if any(count is None for count in strokes):
        return words
    number = sum(count or 0 for count in strokes)
    return f"{words} in {number} stroke{'' if number == 1 else 's'}"


def moment_words(when: datetime, now: datetime) -> str:
    """Return a time as ``today at 10:42:07``, or with its day."""
    return f"today at {when:%H:%M:%S}" if when.date() == now.date() else f"on {when:%Y-%m-%d at %H:%M}"


def offer_words(moments: Sequence[datetime], now: datetime) -> str:
    """Return the offer of earlier labels of the image, as a sentence."""
    if not moments:
        return ""
    more = f" and {len(moments) - 1} earlier" if len(moments) > 1 else ""
    return f"Labels painted on this image were saved {moment_words(moments[0], now)}{more}."
