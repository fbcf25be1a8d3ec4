"""Ctrl-C and SIGTERM while work runs: the first lets it finish what it is at, the second ends it at once."""

from __future__ import annotations

import signal
from types import FrameType, TracebackType
from typing import Any

import click

from napari_tileseg.cli.run.starting import end_at_once, write
from napari_tileseg.errors import TilesegError

_STDERR = 2


class StoppedError(TilesegError):
    """The user, or the system, asked to stop; what is done so far is kept.

    Parameters
    ----------
    message : str
        How far it got and how to resume.
    number : int
        The signal; the exit code is 128 more, as shells have it.
    """

    def __init__(self, message: str, number: int) -> None:
        super().__init__(message)
        self.exit_code = 128 + number


class StopSignal:
    """Records the first Ctrl-C or SIGTERM of its block; a second one ends the process at once.

    Only the main thread may use it, as Python gives signals to that thread alone.

    Parameters
    ----------
    finishing : str
        What is still finished after the first one, as in "the tile at hand".
    afterwards : str
        What is left after the second one and how to resume, as a sentence.
    """

    def __init__(self, finishing: str, afterwards: str) -> None:
        self._finishing, self._afterwards = finishing, afterwards
        #: Number of the signal that asked to stop, or None.
        self.number: int | None = None
        self._earlier: dict[int, Any] = {}

    def __enter__(self) -> StopSignal:
        for each in (signal.SIGINT, signal.SIGTERM):
            self._earlier[each] = signal.signal(each, self._receive)
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        while self._earlier:
            each, handler = self._earlier.popitem()
            signal.signal(each, handler)

    def _receive(self, number: int, frame: FrameType | None) -> None:
        del frame
        if self.number is None:
            self.number = number
            write(_STDERR, f"Stopping: {self._finishing} is finished first. Ctrl-C again stops at once.")
        else:
            as_json: bool = click.get_current_context().obj
            end_at_once(f"Stopped at once. {self._afterwards}", 128 + number, as_json=as_json)
