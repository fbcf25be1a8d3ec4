"""Records which network each kept one has replaced, so that it can be brought back."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from napari_tileseg.nets.network import Network


class UndoHistory:
    """Networks that were in use when another one was kept."""

    def __init__(self) -> None:
        self._former: dict[tuple[str, str], Network] = {}

    def record(self, kept: Network, former: Network) -> None:
        """Record what a kept network has replaced."""
        self._former[_key(kept)] = former

    def former_of(self, network: Network | None) -> Network | None:
        """Return the network that this one has replaced; None where it has replaced none.

        It is found again however often the network was closed and opened in between.
        """
        return None if network is None else self._former.get(_key(network))


def _key(network: Network) -> tuple[str, str]:
    # A file may have been written over by another network.
    return network.reference.path, network.sha256
