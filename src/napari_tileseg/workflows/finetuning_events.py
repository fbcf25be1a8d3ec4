"""What fine-tuning tells beside what training tells."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal, TypeAlias

from napari_tileseg.training.events import Trained, TrainEvent
from napari_tileseg.workflows.scores import Numbers
from napari_tileseg.workflows.verdict import Verdict, compare

#: Which weights are kept: those of the best validation score, or the last ones.
Kept: TypeAlias = Literal["best", "last"]


@dataclass(frozen=True, slots=True)
class Scored:
    """The numbers before, or after, training are there.

    Parameters
    ----------
    when : {"before", "after"}
        Before: of the network as it was opened, before any conversion.
    numbers : Numbers
        The numbers.
    """

    when: Literal["before", "after"]
    numbers: Numbers


@dataclass(frozen=True, slots=True, kw_only=True)
class Tuned:
    """Fine-tuning has ended; `FineTuning.save` writes the network, or nothing is kept.

    Parameters
    ----------
    trained : Trained
        How training ended.
    kept : {"best", "last"}
        Which weights `after` is of: the last ones, whatever was asked for, where nothing tells the best.
    step : int
        After which step these were; 0 for those before the first.
    before, after : Numbers
        Of the network as it was, and as it is now.
    last : Numbers, optional
        Of the last weights, Dice and loss alone, where these are others and were asked for.
    seconds : float
        From the start of this run to the decision, pauses left out.
    parts : mapping of str to float
        Seconds of each part of it, in order.
    """

    trained: Trained
    kept: Kept
    step: int
    before: Numbers
    after: Numbers
    last: Numbers | None = None
    seconds: float = 0.0
    parts: Mapping[str, float] = field(default_factory=dict)

    @property
    def verdict(self) -> Verdict:
        """Whether the network is better, by what was held out."""
        return compare(self.before, self.after)


TuneEvent: TypeAlias = TrainEvent | Scored | Tuned
