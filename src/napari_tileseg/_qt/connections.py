"""Signals that are let go of together."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any


class Connections:
    """Slots connected to signals of psygnal or events of napari, until closed."""

    def __init__(self, *pairs: tuple[Any, Callable[..., None]]) -> None:
        self._pairs = pairs
        for signal, slot in pairs:
            signal.connect(slot)

    def close(self) -> None:
        """Disconnect all."""
        for signal, slot in self._pairs:
            signal.disconnect(slot)
        self._pairs = ()
