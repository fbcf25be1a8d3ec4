"""Connects signals, and disconnects them together."""

from __future__ import annotations

from collections.abc import Callable
from functools import wraps
from typing import Any


class Connections:
    """Slots connected to signals of psygnal or events of napari, until closed.

    A slot is not called any more once this is closed, not even by an emission that is under way: what is
    being closed may have been closed by another slot of it.
    """

    def __init__(self, *pairs: tuple[Any, Callable[..., None]]) -> None:
        self._open = True
        self._pairs = [(signal, self._while_open(slot)) for signal, slot in pairs]
        for signal, slot in self._pairs:
            signal.connect(slot)

    def _while_open(self, slot: Callable[..., None]) -> Callable[..., None]:
        @wraps(slot)
        def call(*args: Any) -> None:
            if self._open:
                slot(*args)

        return call

    def close(self) -> None:
        """Disconnect all."""
        self._open = False
        for signal, slot in self._pairs:
            signal.disconnect(slot)
        self._pairs = []
