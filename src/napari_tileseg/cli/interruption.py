"""Ctrl-C and SIGTERM while a prediction runs: finish the tile, then stop."""

from __future__ import annotations

import signal
from types import FrameType, TracebackType
from typing import Any

from napari_tileseg.errors import TilesegError


class StoppedError(TilesegError):
    """The user, or the system, asked to stop; what is done so far is kept.

    Parameters
    ----------
    message : str
        How far it came and how to go on.
    number : int
        The signal; the exit code is 128 more, as shells have it.
    """

    def __init__(self, message: str, number: int) -> None:
        super().__init__(message)
        self.exit_code = 128 + number


class StopSignal:
    """Remembers the first Ctrl-C or SIGTERM of its block; a second one acts at once.

    Only the main thread may use it, as Python gives signals to that thread alone.
    """

    def __init__(self) -> None:
        #: Number of the signal that asked to stop, or None.
        self.number: int | None = None
        self._earlier: dict[int, Any] = {}

    def __enter__(self) -> StopSignal:
        for each in (signal.SIGINT, signal.SIGTERM):
            self._earlier[each] = signal.signal(each, self._remember)
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._restore()

    def _remember(self, number: int, frame: FrameType | None) -> None:
        del frame
        self.number = number
        self._restore()

    def _restore(self) -> None:
        while self._earlier:
            each, handler = self._earlier.popitem()
            signal.signal(each, handler)
