"""Keeps the channels that are read up with what is chosen, and asks where nobody can know them."""

from __future__ import annotations

from qtpy.QtCore import QObject

from napari_tileseg._qt.common.connections import Connections
from napari_tileseg._qt.predict.form import PredictForm
from napari_tileseg._types import Indices
from napari_tileseg.session import Session
from napari_tileseg.session.prediction.channel_memory import ChannelMemory, channel_question


class ChannelSource(QObject):
    """Joins the question on channels with the session.

    Parameters
    ----------
    session : Session
        Whose image and network are looked at.
    form : PredictForm
        Where channels are chosen and asked for.
    """

    def __init__(self, session: Session, form: PredictForm) -> None:
        super().__init__()
        self._session = session
        self._form = form
        self._memory = ChannelMemory()
        self._connections = Connections(
            (session.network_changed, self._follow), (session.image_changed, self._follow)
        )
        form.channels.chosen.connect(self._answer)
        self._follow()

    def close(self) -> None:
        """Follow the session no more."""
        self._connections.close()

    def _follow(self, _: object = None) -> None:
        image, network, form = self._session.image, self._session.network, self._form
        if image is None:
            self._memory.leave()
        if image is None or network is None:
            form.channels.show_question(None)
            return
        wanted = self._memory.channels_for(image, form.image.key, network.spec)
        if wanted != image.channels:
            # The image comes again with them.
            form.image.read_channels(wanted)
        else:
            form.channels.show_question(channel_question(image, network.spec))

    def _answer(self, channels: Indices) -> None:
        network = self._session.network
        if network is not None:
            self._memory.answer(self._form.image.key, network.spec, channels)
            self._form.image.read_channels(channels)
