"""Background work whose beginning, end and failure everybody may hear of."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable
from typing import Any

from psygnal import Signal

from napari_tileseg.errors import TilesegError
from napari_tileseg.session.background.jobs import Dispatch, Jobs
from napari_tileseg.session.background.worker import Ended

logger = logging.getLogger(__name__)


class Tasks:
    """Jobs that tell when they are under way, and what goes wrong with them.

    Parameters
    ----------
    dispatch : callable
        Brings what the threads tell to the owner's thread.
    """

    #: Kind of work and whether it is under way.
    busy_changed = Signal(str, bool)
    #: Kind of work and what went wrong with it.
    failed = Signal(str, Exception)

    def __init__(self, dispatch: Dispatch) -> None:
        self._jobs = Jobs(dispatch)
        self._problems: dict[str, BaseException] = {}

    def problem(self, kind: str) -> BaseException | None:
        """What the last work of a kind failed with, until there is new work of it or it is dropped."""
        return self._problems.get(kind)

    def forget(self, kind: str) -> None:
        """Forget what the last work of a kind failed with."""
        self._problems.pop(kind, None)

    def begin(
        self,
        kind: str,
        events: Callable[[], Iterable[Any]],
        receive: Callable[[Any], None],
        *,
        with_end: bool = False,
    ) -> None:
        """Start work; what it tells goes to `receive`, its `Ended` included only where that is asked for."""

        def heard(event: Any) -> None:
            if with_end or not isinstance(event, Ended):
                receive(event)
            if isinstance(event, Ended):
                self._ended(kind, event)

        self._problems.pop(kind, None)
        self._jobs.begin(kind, events, heard, lambda: self.busy_changed.emit(kind, True))

    def _ended(self, kind: str, ended: Ended) -> None:
        if ended.error is not None:
            self._problems[kind] = ended.error
        self.busy_changed.emit(kind, False)
        if ended.error is None:
            return
        if not isinstance(ended.error, TilesegError):
            logger.error("%s failed", kind, exc_info=ended.error)
        self.failed.emit(kind, ended.error)

    def drop(self, kind: str) -> None:
        """Stop work, and hear no more of it; what it failed with is forgotten."""
        self._problems.pop(kind, None)
        self._jobs.drop(kind)
        self.busy_changed.emit(kind, False)

    def cancel(self, kind: str) -> None:
        """Ask work to stop; it still tells how it ended."""
        self._jobs.cancel(kind)

    def running(self, kind: str) -> bool:
        """Whether work of this kind is under way."""
        return self._jobs.running(kind)

    def wait(self, kind: str, timeout: float | None = None) -> bool:
        """Wait for work of this kind; tell whether it has ended."""
        return self._jobs.wait(kind, timeout)

    def close(self) -> None:
        """Stop all work and wait for its threads."""
        self._jobs.close()
