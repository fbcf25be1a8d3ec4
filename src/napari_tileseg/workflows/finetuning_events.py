"""The events of fine-tuning beside those of training, and its result."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal, TypeAlias

from napari_tileseg.tiling import Box
from napari_tileseg.training.events import Trained, TrainEvent
from napari_tileseg.workflows.scores import Numbers
from napari_tileseg.workflows.verdict import Verdict, compare

#: Which weights: those of the best validation score, or the last ones.
FinalWeights: TypeAlias = Literal["best", "last"]


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
    """How fine-tuning ended: its result, which nobody has decided about.

    Parameters
    ----------
    trained : Trained
        How training ended.
    which : {"best", "last"}
        Which weights `after` is of: the last ones, whatever was asked for, where nothing decides the best.
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
    which: FinalWeights
    step: int
    before: Numbers
    after: Numbers
    last: Numbers | None = None
    seconds: float = 0.0
    parts: Mapping[str, float] = field(default_factory=dict)

    @property
    def unimproved(self) -> Numbers | None:
        """Numbers of the last weights where the best ones are the network as it was; None elsewhere."""
        return self.last if self.step == 0 and self.after == self.before else None

    @property
    def verdict(self) -> Verdict:
        """Whether the network is better, by what was held out."""
        return compare(self.before, self.after)


@dataclass(frozen=True, slots=True)
class TileShown:
    """A tile was predicted with the newest weights, to be looked at.

    Parameters
    ----------
    box : Box
        Its voxels of the image.
    """

    box: Box


TuneEvent: TypeAlias = TrainEvent | Scored | TileShown
