"""From a file or a sample to the session's network."""

from __future__ import annotations

from qtpy.QtCore import QObject

from napari_tileseg._qt.common import dialogs
from napari_tileseg._qt.common.connections import Connections
from napari_tileseg._qt.predict.form import PredictForm
from napari_tileseg.errors import UntrustedNetworkError
from napari_tileseg.samples.networks import sample_networks
from napari_tileseg.session import Session, recent_networks
from napari_tileseg.session.prediction.readiness import problem_words
from napari_tileseg.session.text.network_words import describe_network


class NetworkSource(QObject):
    """Offers networks, opens the chosen one in the background, and shows what it is.

    Parameters
    ----------
    session : Session
        Opens and holds the network.
    form : PredictForm
        Where it is chosen and described.
    """

    def __init__(self, session: Session, form: PredictForm) -> None:
        super().__init__()
        self._session = session
        self._form = form
        self._connections = Connections(
            (session.network_changed, self._show),
            (session.network_choice.route_found, self._show),
            (session.failed, self._fail),
            (session.jobs.busy_changed, self._busy),
        )
        form.network.chosen.connect(self._choose)
        form.card.mirroring_changed.connect(session.network_choice.mirror)
        self._offer()
        self._show()

    def close(self) -> None:
        """Follow the session no more."""
        self._connections.close()

    def _offer(self) -> None:
        samples = {f"sample:{network.name}": network.title for network in sample_networks()}
        recent = [path for path in recent_networks() if path not in samples]
        self._form.network.set_networks({**samples, **dict.fromkeys(recent, "")})

    def _choose(self, source: str) -> None:
        self._form.network.show_choice(source)
        self._session.network_choice.open(source)

    def _busy(self, kind: str, _: bool) -> None:
        if kind == "network":
            self._show()

    def _show(self, _: object = None) -> None:
        """Show the network that is being opened, else the one in use."""
        session, form = self._session, self._form
        if session.jobs.running("network"):
            form.network.show_choice(session.network_choice.asked or None)
            form.refused.show_text("")
            form.card.show_text(
                "Opening the network and measuring its stride and halo\N{HORIZONTAL ELLIPSIS}"
            )
            return
        problem, network = session.network_problem, session.network
        form.refused.show_text("" if problem is None else problem_words(problem), "error")
        form.network.show_choice(None if network is None else network.reference.path)
        if network is None:
            form.card.show_text("Choose a network: a sample, or a file of your own.")
            return
        route = session.network_choice.route
        form.card.show_words(describe_network(network.spec, route, network))
        if route is not None:
            form.card.show_route(route)

    def _fail(self, kind: str, error: Exception) -> None:
        """Ask for trust where that is missing; any other failure is shown with the other errors."""
        if kind != "network" or not isinstance(error, UntrustedNetworkError):
            return
        if dialogs.ask_trust(self._form, error):
            self._session.network_choice.trust(error.sha256)
