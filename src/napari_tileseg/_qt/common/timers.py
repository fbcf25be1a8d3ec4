"""Timers that gather what comes often, made alike in all widgets."""

from __future__ import annotations

from collections.abc import Callable

from qtpy.QtCore import QTimer


def timer(interval: int, tick: Callable[[], None], *, once: bool = True) -> QTimer:
    """Make a timer that is not started.

    Parameters
    ----------
    interval : int
        Milliseconds.
    tick : callable
        What to do then.
    once : bool, optional
        Whether it has to be started again for a second time.
    """
    made = QTimer()
    made.setInterval(interval)
    made.setSingleShot(once)
    made.timeout.connect(tick)
    return made
