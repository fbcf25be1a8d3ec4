"""Background jobs: at most one of a kind, late answers dropped, failures reported once."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable
from itertools import count
from typing import Any

from psygnal import Signal

from napari_tileseg.errors import TilesegError
from napari_tileseg.session.background.worker import Ended, Worker

logger = logging.getLogger(__name__)
#: Runs a callable in the thread that owns the jobs.
Dispatch = Callable[[Callable[[], None]], None]


def at_once(call: Callable[[], None]) -> None:
    """Run `call` in the thread that reports, for scripts and tests without an event loop."""
    call()


class Jobs:
    """Jobs by kind. A new job of a kind cancels the earlier one, whose events no longer count.

    Parameters
    ----------
    dispatch : callable
        Brings the events of the threads to the thread that owns the jobs.
    """

    #: Kind of job and whether it is under way.
    busy_changed = Signal(str, bool)
    #: Kind of job and what went wrong with it.
    failed = Signal(str, Exception)

    def __init__(self, dispatch: Dispatch) -> None:
        self._dispatch = dispatch
        self._numbers = count(1)
        #: Number of the job of each kind whose events count.
        self._current: dict[str, int] = {}
        self._workers: dict[int, Worker[Any]] = {}
        #: Numbers of the jobs whose end has not been received yet.
        self._open: set[int] = set()
        self._problems: dict[str, BaseException] = {}

    def begin(
        self,
        kind: str,
        events: Callable[[], Iterable[Any]],
        receive: Callable[[Any], None],
        *,
        with_end: bool = False,
    ) -> None:
        """Start a job.

        Parameters
        ----------
        kind : str
            Of which kind it is; `failed` and `busy_changed` name it.
        events : callable
            Gives the events; called in the job's thread.
        receive : callable
            Takes each event in the owner's thread.
        with_end : bool
            Whether `receive` takes the `Ended` that comes last, too.
        """
        self._drop(kind)
        number = self._current[kind] = next(self._numbers)
        self._open.add(number)
        # Before the worker starts: with `at_once` its first event may come before this returns.
        self.busy_changed.emit(kind, True)

        def deliver(event: Any) -> None:
            if isinstance(event, Ended):
                self._open.discard(number)
                self._workers.pop(number, None)
            if self._current.get(kind) != number:
                return
            if with_end or not isinstance(event, Ended):
                receive(event)
            if isinstance(event, Ended):
                self._end(kind, event)

        worker = Worker(events, lambda event: self._dispatch(lambda: deliver(event)), f"tileseg-{kind}")
        if number in self._open:
            self._workers[number] = worker

    def _end(self, kind: str, ended: Ended) -> None:
        if ended.error is not None:
            self._problems[kind] = ended.error
        self.busy_changed.emit(kind, False)
        if ended.error is None:
            return
        if not isinstance(ended.error, TilesegError):
            # Panels show one sentence for what nobody expected, and refer to the log.
            logger.error("%s failed", kind, exc_info=ended.error)
        self.failed.emit(kind, ended.error)

    def running(self, kind: str) -> bool:
        """Return whether a job of this kind is still pending for the owner."""
        return self._current.get(kind, 0) in self._open

    def problem(self, kind: str) -> BaseException | None:
        """Return what the last job of a kind failed with, until there is a new one or it is dropped."""
        return self._problems.get(kind)

    def forget(self, kind: str) -> None:
        """Forget what the last job of a kind failed with."""
        self._problems.pop(kind, None)

    def cancel(self, kind: str) -> None:
        """Ask the job of this kind to stop; its `Ended` is still received."""
        worker = self._workers.get(self._current.get(kind, 0))
        if worker is not None:
            worker.cancel()

    def drop(self, kind: str) -> None:
        """Ask the job of this kind to stop, and receive no more of it; its failure is forgotten."""
        self._drop(kind)
        self.busy_changed.emit(kind, False)

    def drop_all(self) -> None:
        """Drop the jobs of all kinds; returns at once."""
        for kind in dict.fromkeys((*self._current, *self._problems)):
            self.drop(kind)

    def _drop(self, kind: str) -> None:
        self.forget(kind)
        self.cancel(kind)
        self._current.pop(kind, None)

    def wait(self, kind: str, timeout: float | None = None) -> bool:
        """Wait for the job of this kind, at most `timeout` seconds; return whether it has ended."""
        worker = self._workers.get(self._current.get(kind, 0))
        return worker is None or worker.join(timeout)

    def close(self) -> None:
        """Stop all jobs and wait for their threads."""
        workers = list(self._workers.values())
        self._current.clear()
        for worker in workers:
            worker.cancel()
        for worker in workers:
            worker.join()
        self._workers.clear()
        self._open.clear()
