"""How much longer a piece of work takes."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from napari_tileseg._progress import Progress

if TYPE_CHECKING:
    from napari_tileseg.training.watch import Watch


class Estimate:
    """Adds to each progress how much longer it takes, by how long it took so far, or took the last time.

    Parameters
    ----------
    watch : Watch
        Counts seconds.
    """

    def __init__(self, watch: Watch) -> None:
        self._watch = watch
        self._what, self._begun = "", 0.0
        self._known: dict[str, float] = {}

    def of(self, event: Progress) -> Progress:
        """The event with an estimate, where there is any."""
        now = self._watch.elapsed
        if event.what != self._what:
            self._what, self._begun = event.what, now
        took = now - self._begun
        if event.fraction >= 1:
            self._known[event.what], self._what = took, ""
            return replace(event, seconds_left=0.0)
        if event.fraction > 0:
            return replace(event, seconds_left=took * (1 / event.fraction - 1))
        return replace(event, seconds_left=self._known.get(event.what))
