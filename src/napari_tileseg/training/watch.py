"""The time of a training as the one who waits for it counts it, and what its parts take."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TypeAlias

#: Steps over which the newest pace is measured.
_RECENT = 5
#: Seconds since some moment.
Clock: TypeAlias = Callable[[], float]


class Watch:
    """Counts seconds from the start, except while the training is paused.

    Parameters
    ----------
    clock : callable
        Tells the time.

    Attributes
    ----------
    parts : dict of str to float
        Seconds of each part of the work, in their order of time.

    Examples
    --------
    >>> now = iter((0.0, 2.0, 5.0, 6.0))
    >>> watch = Watch(lambda: next(now))
    >>> with watch.part("reading"):
    ...     pass
    >>> watch.parts, watch.elapsed
    ({'reading': 3.0}, 6.0)
    """

    def __init__(self, clock: Clock = time.monotonic) -> None:
        self._clock, self._begun = clock, clock()
        self.parts: dict[str, float] = {}

    @property
    def elapsed(self) -> float:
        """Seconds since the start."""
        return self._clock() - self._begun

    def add(self, seconds: float) -> None:
        """Count what an earlier run has taken, too."""
        self._begun -= seconds

    @contextmanager
    def part(self, name: str) -> Iterator[None]:
        """Count what is done meanwhile as a part of this name."""
        begun = self.elapsed
        try:
            yield
        finally:
            self.parts[name] = self.parts.get(name, 0.0) + self.elapsed - begun

    @contextmanager
    def rest(self) -> Iterator[None]:
        """Count nothing meanwhile."""
        begun = self._clock()
        try:
            yield
        finally:
            self._begun += self._clock() - begun


class Timing:
    """Plans the steps of a run into the minutes that it may take, if it has some.

    Parameters
    ----------
    watch : Watch
        Counts since whoever waits for the run began to.
    former : float
        Seconds that earlier runs have taken.
    minutes : float, optional
        From the start to the decision.

    Attributes
    ----------
    validation, saving : float
        Seconds of the last validation and of the last checkpoint, as one of each follows the last step.
    afterwards : float
        Seconds of what follows the run.
    """

    def __init__(self, watch: Watch, former: float, minutes: float | None) -> None:
        watch.add(former)
        self.watch = watch
        self._former, self._minutes = former, minutes
        self.validation, self.saving, self.afterwards = 0.0, 0.0, 0.0
        self._saved = watch.elapsed
        self._speed: StepSpeed | None = None

    @property
    def seconds(self) -> float:
        """Seconds of this run, without those of earlier ones."""
        return self.watch.elapsed - self._former

    @property
    def since_saved(self) -> float:
        """Seconds since the last checkpoint."""
        return self.watch.elapsed - self._saved

    def over(self, seconds: float) -> Callable[[], bool]:
        """Return a function that returns whether more than `seconds` have passed since this call."""
        begun = self.watch.elapsed
        return lambda: self.watch.elapsed - begun > seconds

    def save(self, begun: float) -> None:
        """Record a checkpoint that was begun at `begun` and is written now."""
        self._saved = self.watch.elapsed
        self.saving = self._saved - begun

    def begin_steps(self) -> None:
        """Record that steps are taken from now on."""
        self._speed = self._speed or StepSpeed(self.watch.elapsed)

    def count_step(self) -> float:
        """Record a step that ends now; return the seconds since the start."""
        assert self._speed is not None
        elapsed = self.watch.elapsed
        self._speed.count(elapsed)
        return elapsed

    def more(self, elapsed: float) -> int | None:
        """Return the steps that fit into what is left of the minutes; None until that is known."""
        assert self._speed is not None
        assert self._minutes is not None
        return self._speed.fitting(60 * self._minutes - elapsed - self._after)

    def left(self, elapsed: float, steps: int) -> float:
        """Return the seconds until the decision, with `steps` to take."""
        assert self._speed is not None
        if self._minutes is not None:
            return 60 * self._minutes - elapsed
        return self._speed.each * steps + self._after

    @property
    def _after(self) -> float:
        """Seconds of all that follows the last step."""
        return self.validation + self.saving + self.afterwards


class StepSpeed:
    """The speed of the steps of a run.

    Parameters
    ----------
    begun : float
        When the first of them began, in seconds of a watch.
    """

    def __init__(self, begun: float) -> None:
        self._begun, self._first = begun, 0.0
        self._ends = deque([begun], maxlen=_RECENT + 1)
        self.taken = 0

    def count(self, elapsed: float) -> None:
        """Record a step that has ended now."""
        self.taken += 1
        self._ends.append(elapsed)
        if self.taken == 1:
            self._first = elapsed - self._begun

    @property
    def each(self) -> float:
        """Seconds of a step and of what comes between two; without the first one, which is slower.

        On the average, or of the last few where these took longer.
        """
        took = self._ends[-1] - self._begun
        if self.taken < 2:
            return took
        last = (self._ends[-1] - self._ends[0]) / (len(self._ends) - 1) if self.taken > _RECENT else 0.0
        return max(last, (took - self._first) / (self.taken - 1))

    def fitting(self, left: float) -> int | None:
        """Return how many more steps fit into the seconds that are left; None until that is known.

        Parameters
        ----------
        left : float
            Seconds for steps; none where it is negative.
        """
        took = self._ends[-1] - self._begun
        measured = self.taken >= 5 and took >= 0.1 * (took + left)
        if not (measured or took >= 0.3 * (took + left)):
            return None
        return max(0, int(left / max(self.each, 1e-9)))
