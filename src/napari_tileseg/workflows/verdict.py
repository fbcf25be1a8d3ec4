"""Whether a training made a network better: the same held-out strokes before and after it."""

from __future__ import annotations

from typing import Literal, TypeAlias

from napari_tileseg.workflows.scores import Numbers

#: Better, worse, or neither by what was held out; unknown where nothing was.
Verdict: TypeAlias = Literal["better", "same", "worse", "unknown"]
#: Change of Dice that is shown with two digits, so that what is called better also looks so.
_LEAST = 0.005
#: Fewer held-out strokes than this show little: six have chosen the worse of two networks (BBBC050).
ENOUGH = 10


def compare(before: Numbers, after: Numbers) -> Verdict:
    """Compare a network before and after, by the mean Dice on what was held out.

    Parameters
    ----------
    before, after : Numbers
        Measured on the same labels.
    """
    if not after.held_out or before.dice is None or after.dice is None:
        return "unknown"
    change = after.dice - before.dice
    if abs(change) < _LEAST:
        return "same"
    return "better" if change > 0 else "worse"


def is_better(verdict: Verdict) -> bool | None:
    """Return whether it is better; None where nothing decides that."""
    return None if verdict == "unknown" else verdict == "better"


def kept_words(kept: Literal["best", "last"], step: int) -> str:
    """Return a clause that names the weights that were kept.

    Parameters
    ----------
    kept : {"best", "last"}
        Those of the best score, or the last ones.
    step : int
        After which step they were.
    """
    if step == 0:
        return "the weights before the first step are kept"
    return f"the {kept} weights are kept, those after step {step}"


def verdict_words(before: Numbers, after: Numbers) -> str:
    """Return sentences on whether a network is better, and how far that can be trusted.

    Parameters
    ----------
    before, after : Numbers
        Measured on the same labels.
    """
    return " ".join(filter(None, (_change(before, after), _seams(before, after), _weakness(after))))


def _change(before: Numbers, after: Numbers) -> str:
    verdict = compare(before, after)
    if verdict == "unknown":
        why = "Nothing was held out to compare on" if not after.held_out else "No class was held out"
        return f"{why}, so that no number shows whether it is better."
    if verdict == "same":
        return f"No better and no worse on what was held out: Dice {before.dice:.2f} before and after."
    how = "Better" if verdict == "better" else "Worse"
    return f"{how} on what was held out: Dice {before.dice:.2f} before, {after.dice:.2f} after."


def _seams(before: Numbers, after: Numbers) -> str:
    gone = before.seam_free is False and after.seam_free is True
    return "Its tiles agree now, and did not before." if gone else ""


def _weakness(after: Numbers) -> str:
    """Return a clause on how little few strokes show."""
    if not after.held_out or after.strokes is None or after.strokes >= ENOUGH:
        return ""
    strokes = "one stroke was" if after.strokes == 1 else f"{after.strokes} strokes were"
    return f"Only {strokes} held out, which is little to compare by: look at the image, too."
