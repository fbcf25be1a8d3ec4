"""The long works of a session: at most one of a kind counts, late answers are dropped."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from itertools import count
from typing import Any

from napari_tileseg.session.background.worker import Ended, Work

#: Runs a callable in the thread that owns the session.
Dispatch = Callable[[Callable[[], None]], None]


def at_once(call: Callable[[], None]) -> None:
    """Run `call` in the thread that tells, for scripts and tests without an event loop."""
    call()


class Jobs:
    """Works by kind. A new work of a kind cancels the earlier one, whose answers no longer count.

    Parameters
    ----------
    dispatch : callable
        Brings what the threads tell to the thread that owns the session.
    """

    def __init__(self, dispatch: Dispatch) -> None:
        self._dispatch = dispatch
        self._numbers = count(1)
        self._counts: dict[str, int] = {}
        self._works: dict[int, Work[Any]] = {}
        self._open: set[int] = set()

    def begin(
        self,
        kind: str,
        events: Callable[[], Iterable[Any]],
        receive: Callable[[Any], None],
        begun: Callable[[], None] = lambda: None,
    ) -> None:
        """Start work of `kind`; its events go to `receive` in the owner's thread, last an `Ended`.

        `begun` is called once the work counts as running, and before its first event.
        """
        self.drop(kind)
        number = next(self._numbers)
        self._counts[kind] = number
        self._open.add(number)
        begun()

        def deliver(event: Any) -> None:
            if isinstance(event, Ended):
                self._open.discard(number)
                self._works.pop(number, None)
            if self._counts.get(kind) == number:
                receive(event)

        work = Work(events, lambda event: self._dispatch(lambda: deliver(event)), f"tileseg-{kind}")
        if number in self._open:
            self._works[number] = work

    def running(self, kind: str) -> bool:
        """Whether work of this kind counts whose end the owner has not heard of yet."""
        return self._counts.get(kind, 0) in self._open

    def cancel(self, kind: str) -> None:
        """Ask the work of this kind to stop; it still tells how it ended."""
        work = self._works.get(self._counts.get(kind, 0))
        if work is not None:
            work.cancel()

    def drop(self, kind: str) -> None:
        """Ask the work of this kind to stop, and hear no more of it."""
        self.cancel(kind)
        self._counts.pop(kind, None)

    def wait(self, kind: str, timeout: float | None = None) -> bool:
        """Wait for the work of this kind; tell whether it has ended."""
        work = self._works.get(self._counts.get(kind, 0))
        return work is None or work.join(timeout)

    def close(self) -> None:
        """Stop all work and wait for its threads."""
        works = list(self._works.values())
        self._counts.clear()
        for work in works:
            work.cancel()
        for work in works:
            work.join()
        self._works.clear()
        self._open.clear()
