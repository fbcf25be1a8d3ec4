"""What can be done with a training that has ended: keep it or discard it, and which is advised."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Literal

from napari_tileseg.workflows.verdict import compare, verdict_words

if TYPE_CHECKING:
    from napari_tileseg.workflows.finetuning_events import FinalWeights, Tuned
    from napari_tileseg.workflows.scores import Numbers


@dataclass(frozen=True, slots=True)
class Choice:
    """Something that can be done.

    Parameters
    ----------
    key : {"best", "last", "discard"}
        What.
    text : str
        What is written on it: what it does, and whether that is better or worse than before.
    advised : bool
        Whether it is what the numbers advise.
    """

    key: Literal["best", "last", "discard"]
    text: str
    advised: bool = False


@dataclass(frozen=True, slots=True)
class Decision:
    """The result of a training in words, and what can be done, the advised first.

    Parameters
    ----------
    words : str
        The result.
    kind : {"", "ok", "warning"}
        What kind of words these are.
    choices : tuple of Choice
        What can be done.
    """

    words: str
    kind: Literal["", "ok", "warning"]
    choices: tuple[Choice, ...]


_DISCARD = Choice("discard", "Discard: the network stays as it was")


def decision(tuned: Tuned | None) -> Decision:
    """Return what can be done with a training.

    Parameters
    ----------
    tuned : Tuned, optional
        How it ended; None where it ended before that could be measured.
    """
    if tuned is None:
        words = "It ended early, and what was learned was not measured."
        return Decision(
            words, "warning", (Choice("best", "Keep best"), Choice("last", "Keep last"), _DISCARD)
        )
    before, found = tuned.before, _found(tuned)
    keep = [Choice(key, _text(key, before, numbers)) for key, numbers in found.items()]
    result = next(iter(found.values()))
    words = verdict_words(before, result)
    if tuned.unimproved is not None:
        words += " The best weights are those before the first step."
    match compare(before, result):
        case "worse":
            choices = (replace(_DISCARD, advised=True), *keep)
            return Decision(f"{words} Discard is advised.", "warning", choices)
        case "better":
            choices = (replace(keep[0], advised=True), *keep[1:], _DISCARD)
            return Decision(words, "ok", choices)
        case _:
            return Decision(words, "", (*keep, _DISCARD))


def _found(tuned: Tuned) -> dict[FinalWeights, Numbers]:
    """Return the numbers of the weights that there are to keep, of those that count first."""
    if tuned.unimproved is not None:
        return {"last": tuned.unimproved}
    last: dict[FinalWeights, Numbers] = {} if tuned.last is None else {"last": tuned.last}
    return {tuned.which: tuned.after, **last}


def _text(key: str, before: Numbers, numbers: Numbers) -> str:
    """Return what is written on a choice to keep weights."""
    if numbers.dice is None or before.dice is None or not numbers.held_out:
        return f"Keep {key}"
    how = {"better": "better", "same": "no better", "worse": "worse"}[compare(before, numbers)]
    return f"Keep {key}: {how}, Dice {before.dice:.2f} \N{RIGHTWARDS ARROW} {numbers.dice:.2f}"
