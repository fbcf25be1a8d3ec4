"""Pieces of work of the interface's thread, one at a turn of the event loop."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable

from qtpy.QtCore import QObject, QTimer

#: Milliseconds between two pieces, for the window to draw and respond.
PAUSE_MS = 20


class Turns(QObject):
    """Does what takes long enough to be felt, such as adding a layer, piece by piece.

    The window draws, and answers to the user, between two pieces.
    """

    def __init__(self) -> None:
        super().__init__()
        self._waiting: deque[Callable[[], None]] = deque()
        self._timer = QTimer()
        self._timer.setInterval(PAUSE_MS)
        self._timer.timeout.connect(self._do_next)

    def __call__(self, call: Callable[[], None]) -> None:
        """Queue `call`; returns at once."""
        self._waiting.append(call)
        self._timer.start()

    def close(self) -> None:
        """Do nothing of what still waits."""
        self._timer.stop()
        self._waiting.clear()

    def _do_next(self) -> None:
        call = self._waiting.popleft()
        if not self._waiting:
            self._timer.stop()
        call()
