"""From a file or a sample to the session's network."""

from __future__ import annotations

from typing import TYPE_CHECKING

from qtpy.QtCore import QObject

from napari_tileseg._qt import dialogs
from napari_tileseg._qt.connections import Connections
from napari_tileseg._qt.predict_form import PredictForm
from napari_tileseg.engine import Path as EnginePath
from napari_tileseg.errors import UntrustedNetworkError
from napari_tileseg.samples.networks import sample_networks
from napari_tileseg.session import Session, recent_networks
from napari_tileseg.session.words import describe_network, path_words

if TYPE_CHECKING:
    from napari_tileseg.nets import Network


class NetworkSource(QObject):
    """Offers networks, opens the chosen one in the background, and says what it is.

    Parameters
    ----------
    session : Session
        Opens and keeps the network.
    form : PredictForm
        Where it is chosen and described.
    """

    def __init__(self, session: Session, form: PredictForm) -> None:
        super().__init__()
        self._session = session
        self._form = form
        self._connections = Connections(
            (session.network_changed, self._show),
            (session.path_found, self._show_path),
            (session.failed, self._fail),
            (session.busy_changed, self._busy),
        )
        form.network.chosen.connect(self._choose)
        self._offer()
        self._show(session.network)

    def close(self) -> None:
        """Follow the session no more."""
        self._connections.close()

    def _offer(self) -> None:
        samples = {f"sample:{network.name}": network.title for network in sample_networks()}
        recent = [path for path in recent_networks() if path not in samples]
        self._form.network.set_networks({**samples, **dict.fromkeys(recent, "")})

    def _choose(self, source: str) -> None:
        self._form.network.show_choice(source)
        self._session.open_network(source)

    def _busy(self, kind: str, busy: bool) -> None:
        if kind == "network" and busy:
            self._form.card.say(
                "Opening the network and measuring its stride and halo\N{HORIZONTAL ELLIPSIS}"
            )

    def _show(self, network: Network | None) -> None:
        if network is None:
            self._form.card.say("Choose a network: a sample, or a file of your own.")
            return
        self._form.network.show_choice(network.reference.path)
        self._form.card.show_words(describe_network(network.spec))
        path = self._session.path
        if path is not None:
            self._show_path(path)

    def _show_path(self, path: EnginePath) -> None:
        self._form.card.show_path(path_words(path.kind, path.reason), whole=path.kind == "plain")

    def _fail(self, kind: str, error: Exception) -> None:
        if kind != "network":
            return
        if isinstance(error, UntrustedNetworkError) and dialogs.ask_trust(self._form, error):
            self._session.trust_network(error.sha256)
            return
        self._form.network.show_choice(None)
        self._show(self._session.network)
