"""The way from other threads to the interface's."""

from __future__ import annotations

from collections.abc import Callable

from qtpy.QtCore import QObject, Qt, Signal


class GuiThread(QObject):
    """Runs callables in the thread that made it, one after another, from whatever thread they come."""

    _called = Signal(object)

    def __init__(self) -> None:
        super().__init__()
        # The binding's types do not know the second argument, both bindings do.
        self._called.connect(self._run, Qt.ConnectionType.QueuedConnection)  # type: ignore[call-arg]

    def __call__(self, call: Callable[[], None]) -> None:
        """Queue `call` for the event loop; returns at once."""
        self._called.emit(call)

    def _run(self, call: Callable[[], None]) -> None:
        call()
