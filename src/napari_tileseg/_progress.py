"""What all long work has in common: generators of events that return their result."""

from __future__ import annotations

import time
from collections.abc import Callable, Generator, Iterable
from contextlib import closing
from dataclasses import dataclass, replace
from typing import Never, TypeVar

E = TypeVar("E")
F = TypeVar("F")
R = TypeVar("R")


@dataclass(frozen=True, slots=True)
class Noted:
    """Something the user should know, such as a smaller batch after running out of memory.

    Parameters
    ----------
    message : str
        One or two sentences.
    warning : bool
        Whether the result may not be what was wished for.
    """

    message: str
    warning: bool = False


@dataclass(frozen=True, slots=True)
class Progress:
    """How far a piece of work is.

    Parameters
    ----------
    what : str
        What is being done, in a few words.
    done : float
        How much of it is done: a number of steps, or a fraction where `total` is left at 1.
    total : float
        How much there is to do, in the unit of `done`.
    seconds_left : float, optional
        Estimate for the rest; None where there is none.

    Examples
    --------
    >>> Progress("Comparing tiles", 3, 12).fraction, Progress("Measuring intensities", 0.5).fraction
    (0.25, 0.5)
    """

    what: str
    done: float
    total: float = 1.0
    seconds_left: float | None = None

    @property
    def fraction(self) -> float:
        """How much of the work is done, 0 to 1."""
        return self.done / self.total if self.total else 1.0


class Clock:
    """Estimates how long the rest of a piece of work takes, by how long it took so far.

    Parameters
    ----------
    now : callable
        Returns the time in seconds, counted from any moment.

    Examples
    --------
    >>> now = iter((10.0, 13.0, 14.0))
    >>> clock = Clock(lambda: next(now))
    >>> clock.left(1, 4)
    9.0
    >>> clock.estimate(Progress("Comparing tiles", 2, 4)).seconds_left
    4.0
    """

    def __init__(self, now: Callable[[], float] = time.monotonic) -> None:
        self._now = now
        self._begun = self._latest = now()
        self._what, self._since = "", self._begun
        self._known: dict[str, float] = {}

    @property
    def elapsed(self) -> float:
        """Seconds since the clock was made."""
        return self._now() - self._begun

    def left(self, done: float, total: float) -> float:
        """Estimate the seconds until `total` is done, if the clock was made when nothing was.

        Parameters
        ----------
        done, total : float
            How much is done, more than 0, and how much there is to do, in one unit.
        """
        return self.elapsed / done * (total - done)

    def estimate(self, event: Progress) -> Progress:
        """Add how long the rest of the event's work takes, where anything is known of that.

        Work of another name than that of the event before begins with its event at 0 or, where there is none,
        with the event before. Until a part of it is done, it is expected to take as long as the last time.

        Parameters
        ----------
        event : Progress
            One that has just come.
        """
        now = self._now()
        if event.what != self._what:
            self._what, self._since = event.what, self._latest if event.done else now
        self._latest, took = now, now - self._since
        if event.fraction >= 1:
            self._known[event.what], self._what = took, ""
            return replace(event, seconds_left=0.0)
        if event.fraction > 0:
            return replace(event, seconds_left=took * (1 / event.fraction - 1))
        return replace(event, seconds_left=self._known.get(event.what))


class Steps:
    """Counts the steps of one piece of work.

    Parameters
    ----------
    what : str
        What is being done, in a few words.
    total : int
        Steps that are expected; the estimate grows where there are more.
    clock : Clock, optional
        Estimates the time left; a new one by default.

    Examples
    --------
    >>> steps = Steps("Comparing tiles", 2)
    >>> [steps.count().fraction for _ in range(3)]
    [0.5, 1.0, 1.0]
    """

    def __init__(self, what: str, total: int, clock: Clock | None = None) -> None:
        self._what, self._total, self._done = what, total, 0
        self._clock = Clock() if clock is None else clock

    def count(self) -> Progress:
        """Count one more step, and return how far the work is."""
        self._done += 1
        self._total = max(self._total, self._done)
        return self._clock.estimate(Progress(self._what, self._done, self._total))


def map_events(work: Generator[E, None, R], change: Callable[[E], F]) -> Generator[F, None, R]:
    """Run long work with other events.

    Parameters
    ----------
    work : generator
        Yields events and returns its result. It is closed, whatever happens.
    change : callable
        Makes of each event the one that is yielded instead.

    Returns
    -------
    object
        What the work returns.

    Examples
    --------
    >>> def work():
    ...     yield 0.5
    ...     return 42
    >>> drain(map_events(work(), lambda done: Progress("Counting", done)), lambda event: print(event.what))
    Counting
    42
    """
    return (yield from flat_map_events(work, lambda event: (change(event),)))


def flat_map_events(work: Generator[E, None, R], change: Callable[[E], Iterable[F]]) -> Generator[F, None, R]:
    """Run long work with any number of other events for each of its own.

    Parameters
    ----------
    work : generator
        Yields events and returns its result. It is closed, whatever happens.
    change : callable
        Gives the events that replace one of `work`.

    Returns
    -------
    object
        What the work returns.

    Examples
    --------
    >>> def work():
    ...     yield 1
    ...     return 42
    >>> drain(flat_map_events(work(), lambda event: (event, -event)), print)
    1
    -1
    42
    """
    with closing(work):
        while True:
            try:
                event = next(work)
            except StopIteration as end:
                result: R = end.value
                return result
            yield from change(event)


def drain(work: Generator[E, None, R], receive: Callable[[E], object] | None = None) -> R:
    """Run long work to its end.

    Parameters
    ----------
    work : generator
        Yields events and returns its result. It is closed, whatever happens.
    receive : callable, optional
        Is called with each event. What it raises ends the work.

    Returns
    -------
    object
        What the work returns.

    Examples
    --------
    >>> def work():
    ...     yield Progress("Counting", 0.5)
    ...     return 42
    >>> drain(work(), lambda event: print(event.what))
    Counting
    42
    """

    def swallow(event: E) -> tuple[()]:
        if receive is not None:
            receive(event)
        return ()

    # Nothing comes in the place of any event, so that the first thing asked for is the end.
    silent: Generator[Never, None, R] = flat_map_events(work, swallow)
    try:
        next(silent)
    except StopIteration as end:
        result: R = end.value
        return result
