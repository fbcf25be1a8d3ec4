"""What running diagnoses tell beside their results."""

from __future__ import annotations

import time
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Working:
    """A step is done.

    Parameters
    ----------
    what : str
        What is being done, in a few words.
    done, total : int
        Steps of it.
    seconds_left : float
        Estimate for the rest of it.
    """

    what: str
    done: int
    total: int
    seconds_left: float


class Clock:
    """Counts the steps of one piece of work."""

    def __init__(self, what: str, total: int) -> None:
        self._what, self._total, self._done = what, max(total, 1), 0
        self._begun = time.monotonic()

    def step(self) -> Working:
        """Event for one more step."""
        self._done += 1
        self._total = max(self._total, self._done)
        each = (time.monotonic() - self._begun) / self._done
        return Working(self._what, self._done, self._total, each * (self._total - self._done))
