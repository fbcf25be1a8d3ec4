"""The numbers of steps, measured in an image that is seen several times, a block at a time.

The numbers of a step are those of the image after all steps before it. Quantiles are exact, too: where the
steps before are linear, clip or scale all voxels of a channel, they leave the order of its intensities as it
is, or reverse it. The value at a rank is then that of the stored intensity at the same rank, put through
these steps, and the search looks at stored intensities: one pass for 8 and 16 bits, two for 32. Elsewhere
(zeros that were left alone, channels together that were changed each in its own way) it looks at the doubles
that the steps make, in four.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from math import isfinite
from typing import Any, final

import numpy as np
import numpy.typing as npt

from napari_tileseg._types import Array, Shape
from napari_tileseg.errors import ImageError
from napari_tileseg.nets.intensities.foreground import Foreground, Runs, holes_in
from napari_tileseg.nets.intensities.quantiles import RankSearch
from napari_tileseg.nets.intensities.resolved import (
    ResolvedStep,
    apply_steps,
    is_measured,
    over_of,
    run_steps,
)
from napari_tileseg.nets.intensities.searches import (
    Block,
    MeanSearch,
    QuantileSearch,
    Search,
    groups_of,
)
from napari_tileseg.nets.intensities.steps import Percentiles, Step, ZeroMean, check_steps
from napari_tileseg.nets.intensities.words import steps_words


def prepare_array(values: Array, steps: Sequence[Step], name: str = "the array") -> npt.NDArray[np.float32]:
    """Prepare a whole image in memory: measure what the steps need, and do them.

    Parameters
    ----------
    values : ndarray
        ``(channels, *shape)``, finite, of any type of numbers.
    steps : sequence of Step
        In their order.
    name : str
        What to call it in messages.

    Returns
    -------
    ndarray of float32
        Of the same shape.

    Raises
    ------
    NetworkError
        If the steps are about other channels.
    ImageError
        If a result would be infinite, such as that of a constant channel without eps.
    """
    values = np.asarray(values)
    values = values.astype(values.dtype.newbyteorder("="), copy=False)
    check_steps(steps, len(values))
    labels = tuple(range(len(values)))
    work = Measuring(steps, Subject(name, labels, values.dtype, values.shape[1:]))
    while not work.done:
        work.add(values, (0,) * (values.ndim - 1))
        work.end_pass()
    holes = holes_in(work.holes, values.shape[1:], (0,) * (values.ndim - 1), values.shape[1:])
    return apply_steps(values, work.resolved, holes)


@dataclass(frozen=True, slots=True)
class Subject:
    """What is measured.

    Parameters
    ----------
    name : str
        What to call the image in messages.
    labels : tuple of int
        How its channels are called there.
    dtype : dtype
        Type of its intensities, in the machine's byte order.
    shape : tuple of int, optional
        Its shape without channels; None where not all of it will be shown.
    lead : int
        Axes of `shape` in front that are not of space, such as time.
    """

    name: str
    labels: tuple[int, ...]
    dtype: np.dtype[Any]
    shape: Shape | None
    lead: int = 0


@final
class Measuring:
    """Finds the numbers of steps.

    Show the image block by block with `add`, in any order, end the pass with `end_pass`, and begin again,
    until `done`.

    Parameters
    ----------
    steps : sequence of Step
        In their order.
    subject : Subject
        The image.
    """

    def __init__(self, steps: Sequence[Step], subject: Subject) -> None:
        self._steps, self._subject = tuple(steps), subject
        self._known = {
            index: ResolvedStep(step=step) for index, step in enumerate(steps) if not is_measured(step)
        }
        self._rounds = _rounds(steps, len(subject.labels))
        about = {over_of(step) for step in steps}
        self._foreground: Foreground | None = None
        if about & {"box", "mask"}:
            self._foreground = Foreground(subject.shape if "mask" in about else None, subject.lead)
        self._needs_box = "box" in about
        self._looking = self._foreground is not None
        #: Passes over the image that are needed in all.
        self.passes = self._looking + sum(max(map(self._passes, indices)) for indices in self._rounds)
        self._searches: dict[int, Search] = {}
        self._begin()

    @property
    def done(self) -> bool:
        """Whether all numbers are there."""
        return not (self._looking or self._searches)

    @property
    def looking(self) -> bool:
        """Whether the present pass is about what is foreground, which needs the whole image."""
        return self._looking

    @property
    def resolved(self) -> tuple[ResolvedStep, ...]:
        """The steps with their numbers, once all are there."""
        return tuple(self._known[index] for index in range(len(self._steps)))

    @property
    def holes(self) -> Runs:
        """Voxels in holes of what is not zero, where a step is about that."""
        return self._foreground.holes if self._foreground is not None else ()

    def add(self, values: Array, start: Shape) -> None:
        """Look at a block ``(channels, *shape)`` of finite intensities, and where in the image it begins."""
        if self._looking and self._foreground is not None:
            self._foreground.add(values, start)
            return
        before = self._before(max(self._searches))
        block = Block(values, values, start, self._foreground)
        if before:
            block = replace(block, current=run_steps(values, before, block.holes))
        for search in self._searches.values():
            search.add(block)

    def end_pass(self) -> None:
        """Take note that the whole image was shown.

        Raises
        ------
        ImageError
            If a step would make intensities infinite, or holes in what is not zero are too many.
        """
        if self._looking and self._foreground is not None:
            self._looking = False
            self._foreground.end(self._subject.name)
            if self._needs_box and not self._foreground.stop:
                raise ImageError(
                    f"An image to predict should have voxels that are not zero; {self._subject.name} has "
                    "none. Pick other channels or another level."
                )
            return
        for index, search in list(self._searches.items()):
            search.end_pass()
            if search.passes == 0:
                self._known[index] = self._numbers(index, search)
                del self._searches[index]
        if not self._searches:
            self._begin()

    def _begin(self) -> None:
        if self._rounds:
            self._searches = {index: self._search(index) for index in self._rounds.pop(0)}

    def _before(self, index: int) -> list[ResolvedStep]:
        """Return the steps before one that have their numbers; others are about other channels."""
        return [self._known[each] for each in range(index) if each in self._known]

    def _passes(self, index: int) -> int:
        step = self._steps[index]
        if isinstance(step, ZeroMean):
            return 1
        return RankSearch(self._subject.dtype if self._keeps_order(index) else np.dtype(np.float64)).passes

    def _keeps_order(self, index: int) -> bool:
        """Return whether a search for quantiles may look at stored intensities."""
        step, count = self._steps[index], len(self._subject.labels)
        mine = set(step.indices(count))
        before = [each for each in self._steps[:index] if mine & set(each.indices(count))]
        if any(over_of(each) in {"mask", "nonzero"} for each in before):
            return False
        together = isinstance(step, Percentiles) and not step.per_channel and len(mine) > 1
        return not (together and before)

    def _search(self, index: int) -> Search:
        step, count = self._steps[index], len(self._subject.labels)
        if isinstance(step, ZeroMean):
            return MeanSearch(step, count)
        assert isinstance(step, Percentiles)
        if self._keeps_order(index):
            return QuantileSearch(step, count, self._subject.dtype, self._before(index))
        return QuantileSearch(step, count, np.dtype(np.float64), None)

    def _numbers(self, index: int, search: Search) -> ResolvedStep:
        """Divide by what was found, as eps and floor say, and refuse what would be infinite."""
        step, count = self._steps[index], len(self._subject.labels)
        assert isinstance(step, (ZeroMean, Percentiles))
        pairs = []
        for channel, group in zip(step.indices(count), groups_of(step, count), strict=True):
            seen, offset, spread = search.found(group)
            scale = max(spread, step.eps) if step.floor else spread + step.eps
            if not seen:
                # Nothing of that channel is changed, so that it does not matter by what.
                offset, scale = 0.0, 1.0
            where = f"channel {self._subject.labels[channel]} of {self._subject.name}"
            if scale == 0:
                raise self._without_contrast(index, search.is_constant(group), where, offset)
            if not (isfinite(offset) and isfinite(scale)):
                raise ImageError(
                    f"Intensities should be of a size that can be scaled; some in {where} are too large, or "
                    "too far apart. See that the file is whole, or give a range."
                )
            pairs.append((offset, scale))
        return ResolvedStep(step=step, offset=tuple(a for a, _ in pairs), scale=tuple(b for _, b in pairs))

    def _without_contrast(self, index: int, constant: bool, where: str, value: float) -> ImageError:
        step, before = self._steps[index], self._steps[:index]
        measured = ""
        if before or over_of(step) != "all":
            measured = f" where the network measures it ({steps_words([*before, step])})"
        if constant or not isinstance(step, Percentiles):
            return ImageError(
                f"An image to predict should have contrast; {where} is {value:g} everywhere{measured}. "
                "Pick another channel or level, or give a range."
            )
        return ImageError(
            f"Quantiles {step.low:g} and {step.high:g} % should differ; in {where} both are {value:g}"
            f"{measured}, because nearly all voxels have that value. Choose quantiles further apart, such as "
            "0,100, or give a range."
        )


def _rounds(steps: Sequence[Step], channels: int) -> list[list[int]]:
    """Return which steps can be measured in the same passes: those about different channels."""
    rounds: list[list[int]] = [[]]
    busy: set[int] = set()
    for index, step in enumerate(steps):
        mine = set(step.indices(channels))
        if busy & mine:
            rounds.append([])
            busy = set()
        if is_measured(step):
            rounds[-1].append(index)
            busy |= mine
    return [indices for indices in rounds if indices]
