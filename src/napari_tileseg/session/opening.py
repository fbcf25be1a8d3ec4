"""Opening a network, and seeing what it could run on, where no interface waits."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from napari_tileseg.session.home import remember_network
from napari_tileseg.settings import NetworkSettings

if TYPE_CHECKING:
    from napari_tileseg.nets import Network


@dataclass(frozen=True, slots=True, eq=False)
class Opened:
    """A network, and the devices of this machine.

    Parameters
    ----------
    network : Network
        The network.
    devices : tuple of str
        Names that torch understands, the one that "auto" takes first.
    """

    network: Network
    devices: tuple[str, ...]


def opening(source: str, settings: NetworkSettings | None) -> Iterator[Opened]:
    """Open a network that the user has chosen, and remember it as such."""
    from napari_tileseg.nets import open_network

    network = open_network(source, settings)
    remember_network(network.reference.path)
    yield _with_devices(network)


def reopening(values: Mapping[str, Any]) -> Iterator[Opened]:
    """Open the network of a project again, from its reference as plain values."""
    from napari_tileseg.nets import NetworkReference, open_network

    yield _with_devices(open_network(NetworkReference(**values)))


def _with_devices(network: Network) -> Opened:
    from napari_tileseg.engine.device import available_devices

    return Opened(network, available_devices())
