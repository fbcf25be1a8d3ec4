"""Opening a network in the background, and finding the devices it can run on."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from napari_tileseg.session.project.recent import record_recent
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


def opening(source: str | Mapping[str, Any], settings: NetworkSettings | None) -> Iterator[Opened]:
    """Open a network that the user has chosen, or that a project names.

    Parameters
    ----------
    source : str or mapping
        A path, or ``sample:NAME``, which is recorded among the recently opened networks; or a project's
        entry for its network, which names a file and does not make it trusted.
    settings : NetworkSettings, optional
        What the file does not state about itself, and whether the user trusts it.

    Raises
    ------
    NetworkError
        As `open_network` does.
    """
    from napari_tileseg.nets import NetworkReference, open_network

    if isinstance(source, str):
        network = open_network(source, settings)
        record_recent(network.reference.path)
    else:
        network = open_network(NetworkReference.from_untrusted(source), settings)
    yield _with_devices(network)


def mirrored_again(architecture: str | None) -> str | None:
    """Return what is stated of a network without the word that mirrored copies are left out.

    Parameters
    ----------
    architecture : str, optional
        As in the network's reference.
    """
    from napari_tileseg.nets import Description

    if architecture is None:
        return None
    said = Description.from_json(architecture, "the network's reference")
    left = replace(said, arguments={key: each for key, each in said.arguments.items() if key != "mirrored"})
    return None if left == Description() else left.to_json()


def _with_devices(network: Network) -> Opened:
    from napari_tileseg.engine.device import available_devices

    return Opened(network, available_devices())
