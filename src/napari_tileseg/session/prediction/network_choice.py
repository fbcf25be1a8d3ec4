"""The network that is chosen, how it is opened, and how its tiles are computed."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from psygnal import Signal

from napari_tileseg.session.background.jobs import Jobs
from napari_tileseg.session.prediction.network_opening import Opened, mirrored_again, opening
from napari_tileseg.settings import NetworkSettings

if TYPE_CHECKING:
    from napari_tileseg.engine import Route
    from napari_tileseg.nets import Network


class NetworkChoice:
    """A network, opened in the background as work of the kind "network"; "route" finds how it is computed.

    Parameters
    ----------
    jobs : Jobs
        Where it is opened.
    """

    #: The Network that was asked for.
    opened = Signal(object)
    #: A `napari_tileseg.engine.Route`: how the network's tiles are computed.
    route_found = Signal(object)

    def __init__(self, jobs: Jobs) -> None:
        self._jobs = jobs
        self.network: Network | None = None
        #: Devices of this machine, the one that "auto" takes first; empty until a network is opened.
        self.devices: tuple[str, ...] = ()
        # What was asked for last: a path, or a project's entry for its network.
        self._asked: str | Mapping[str, Any] = ""
        self._settings = NetworkSettings()

    @property
    def asked(self) -> str:
        """Path, or ``sample:NAME``, of the network that was asked for last."""
        return self._asked if isinstance(self._asked, str) else str(self._asked.get("path", ""))

    @property
    def route(self) -> Route | None:
        """How the network's tiles are computed; None until that is found out."""
        if self.network is None:
            return None
        from napari_tileseg.engine import known_route

        return known_route(self.network)

    def open(self, asked: str | Mapping[str, Any], settings: NetworkSettings | None = None) -> None:
        """Open a network, from a path or a project's entry for it; `opened` emits it."""
        self._asked, self._settings = asked, settings or NetworkSettings()
        self._jobs.begin("network", lambda: opening(asked, settings), self._take)

    def trust(self, sha256: str) -> None:
        """Open again what was refused with `UntrustedNetworkError`, now that the user trusts its hash."""
        self.open(self._asked, replace(self._settings, trust_sha256=sha256))

    def mirror(self, used: bool) -> None:
        """Open the network in use again, averaged over mirrored copies of the image or not."""
        if self.network is not None:
            reference = self.network.reference
            stated = mirrored_again(reference.architecture) if used else reference.architecture
            self.open(reference.path, NetworkSettings(architecture=stated, mirroring=used))

    def choose(self, network: Network | None) -> None:
        """Take a network; replaces the present one, and one that is being opened."""
        self._jobs.drop("network")
        self.network = network

    def find_route(self) -> None:
        """Find out, which takes seconds the first time, how the network's tiles are computed."""
        network = self.network
        if network is None:
            self._jobs.drop("route")
            return

        def found() -> Iterator[Route]:
            from napari_tileseg.engine import route_of

            yield route_of(network)

        self._jobs.begin("route", found, self.route_found.emit)

    def _take(self, opened: Opened) -> None:
        self.devices = opened.devices
        self.opened.emit(opened.network)
