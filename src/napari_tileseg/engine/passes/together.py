"""Gathering what a network computes over all of space of one image, or of several as if they were one."""

from __future__ import annotations

from collections.abc import Generator, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import final

from napari_tileseg._progress import Clock, Progress, map_events
from napari_tileseg.engine.passes.gathering import Known, Passes
from napari_tileseg.engine.passes.pass_planner import PassPlan
from napari_tileseg.engine.regions.program.sweep import Read
from napari_tileseg.graphs.statistics.gathered import as_one

_WHAT = "Gathering statistics"


@final
@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Swept:
    """One of the images that are gathered of.

    Parameters
    ----------
    passes : Passes
        Passes over it.
    read : callable
        Reads it, as for `sweep_maps`.
    plan : PassPlan
        What is kept of it.
    known : Known
        What is known of it.
    """

    passes: Passes
    read: Read
    plan: PassPlan
    known: Known


def gather_together(images: Sequence[Swept]) -> Generator[Progress, None, None]:
    """Gather what a network computes over all of space of several images, as if they were one.

    At every level what is known of each is joined, each voxel counting once, before the next level begins:
    all images are computed with the same numbers.

    Parameters
    ----------
    images : sequence of Swept
        One at least, of the same network. What is gathered is added to what is known of each.

    Yields
    ------
    Progress
        How far it is.

    Raises
    ------
    ImageError
        If a number is not finite.
    """
    clock = Clock()
    levels = sorted(set().union(*(each.passes.todo(each.plan, each.known) for each in images)))
    total = len(levels) * len(images)
    for count, level in enumerate(levels):
        wholes = []
        for index, each in enumerate(images, start=count * len(images)):
            sweep = each.passes.sweep(level, each.read, each.plan, each.known)
            told = map_events(sweep, partial(_progress, clock, index, total))
            wholes.append((yield from told))
        for statistic in images[0].passes.statistics:
            if statistic.level == level:
                numbers = statistic.numbers(as_one([each[statistic.number] for each in wholes]))
                for each in images:
                    each.known.numbers[statistic.number] = numbers


def _progress(clock: Clock, done: int, total: int, fraction: float) -> Progress:
    event = clock.estimate(Progress(_WHAT, done + fraction, total))
    return replace(event, what=f"{_WHAT}, pass {done + 1} of {total}")
