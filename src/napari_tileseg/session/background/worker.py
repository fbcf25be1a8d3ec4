"""One piece of long work in a background thread."""

from __future__ import annotations

import os
import sys
import threading
from collections.abc import Callable, Iterable
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from typing import Generic, TypeVar

from napari_tileseg.session.background.hidden_triton import hide_triton

T = TypeVar("T")
#: How much work gives way, from 0 (not at all) to 19.
NICENESS = 10


@dataclass(frozen=True, slots=True)
class Ended:
    """The last event of a worker.

    Parameters
    ----------
    error : BaseException, optional
        Why it stopped before its end; None if nothing went wrong.
    cancelled : bool
        Whether it was asked to stop.
    """

    error: BaseException | None = None
    cancelled: bool = False


class Worker(Generic[T]):
    """Drives an iterable of events in a thread, until it ends, fails or is cancelled.

    Parameters
    ----------
    events : callable
        Gives the iterable; called in the thread.
    report : callable
        Takes each event, and at last one `Ended`; called in the thread.
    name : str
        Name of the thread.
    """

    def __init__(
        self, events: Callable[[], Iterable[T]], report: Callable[[T | Ended], None], name: str
    ) -> None:
        self._events = events
        self._report = report
        self._stop = threading.Event()
        # The executor carries any exception of the thread to `_end`; its one thread leaves after the work.
        self._executor = ThreadPoolExecutor(1, thread_name_prefix=name)
        future = self._executor.submit(self._drive)
        self._executor.shutdown(wait=False)
        self._ended = threading.Event()
        future.add_done_callback(self._end)

    def _drive(self) -> None:
        _step_back()
        hide_triton()
        events = iter(self._events())
        try:
            for event in events:
                self._report(event)
                if self._stop.is_set():
                    break
        finally:
            # A generator lets go of its files and memory when closed; other iterators hold none.
            if hasattr(events, "close"):
                events.close()

    def _end(self, future: Future[None]) -> None:
        try:
            self._report(Ended(future.exception(), self._stop.is_set()))
        finally:
            self._ended.set()

    @property
    def running(self) -> bool:
        """Whether the thread is still at it."""
        return not self._ended.is_set()

    @property
    def cancelled(self) -> bool:
        """Whether it was asked to stop."""
        return self._stop.is_set()

    def cancel(self) -> None:
        """Ask it to stop after the event it is at; returns at once."""
        self._stop.set()

    def join(self, timeout: float | None = None) -> bool:
        """Wait until it has ended, for at most `timeout` seconds; return whether it has."""
        ended = self._ended.wait(timeout)
        if ended:
            self._executor.shutdown(wait=True)
        return ended


def _step_back() -> None:
    """Let the interface's thread go first where both want a processor, and all that this thread starts, too.

    Linux alone has priorities of threads that a program may lower; the thread ends with the work.
    """
    if sys.platform == "linux":
        os.setpriority(os.PRIO_PROCESS, threading.get_native_id(), NICENESS)
