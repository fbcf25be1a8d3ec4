"""Settings, plan and progress of a prediction, between the form and the session."""

from __future__ import annotations

import shutil
from dataclasses import replace

from qtpy.QtCore import QObject

from napari_tileseg._qt.connections import Connections
from napari_tileseg._qt.live_layers import LiveLayers
from napari_tileseg._qt.predict_form import PredictForm
from napari_tileseg.errors import NonFiniteError, TilesegError
from napari_tileseg.predict.events import Noted, Progress, Saved
from napari_tileseg.session import Ended, Session
from napari_tileseg.session.words import bytes_words, tiles_words, time_words
from napari_tileseg.settings import PredictSettings


class RunControl(QObject):
    """Gives the form's settings to the session, and shows what they come to and how the work stands.

    Parameters
    ----------
    session : Session
        Plans and predicts.
    form : PredictForm
        What the user sees.
    live : LiveLayers
        Starts predictions with what is in view.
    """

    def __init__(self, session: Session, form: PredictForm, live: LiveLayers) -> None:
        super().__init__()
        self._session = session
        self._form = form
        self._live = live
        self._connections = Connections(
            (session.settings_changed, form.settings.set_settings),
            (session.network_changed, self._offer_devices),
            (session.plan_changed, self._show_plan),
            (session.progressed, self._show_measuring),
            (session.run_told, self._hear),
            (session.failed, self._fail),
            (session.results_changed, self._show_state),
        )
        form.settings.changed.connect(self._set)
        form.settings.invalid.connect(lambda text: form.message.say(text, "error"))
        form.run.predict_clicked.connect(self._start)
        form.run.cancel_clicked.connect(self._cancel)
        form.shown_changed.connect(self._show_layers)
        form.remedy.clicked.connect(self._take_as_zero)
        self._offer_devices()
        form.settings.set_settings(session.settings)
        self._show_layers()
        self._show_plan()

    def close(self) -> None:
        """Follow the session no more."""
        self._connections.close()

    def _offer_devices(self, network: object = None) -> None:
        """Offer the devices of this machine, which are known once a network has been opened."""
        del network
        devices = self._session.devices
        auto = f"auto: {devices[0]}" if devices else "auto"
        self._form.settings.offer("device", {"auto": auto, **{name: name for name in devices}})

    def _set(self, settings: PredictSettings) -> None:
        self._clear()
        self._session.set_settings(settings)

    def _clear(self) -> None:
        self._form.message.say("")
        self._form.remedy.setVisible(False)

    def _show_layers(self) -> None:
        form = self._form
        self._live.show(
            probabilities=form.probabilities.isChecked(),
            labels=form.labels.isChecked(),
            grid=form.grid.isChecked(),
        )

    def _show_plan(self) -> None:
        tiles, normalization = self._session.tiles, self._session.normalization
        if tiles is None:
            waiting = self._session.image is None or self._session.network is None
            self._form.tiles.say("derived from image and network" if waiting else "")
            self._form.warnings.say("")
            self._form.input.say("\N{EN DASH}")
        else:
            settings = self._session.settings
            self._form.settings.set_derived("core", tiles.grid.core if settings.core is None else None)
            self._form.settings.set_derived("halo", tiles.grid.halo if settings.halo is None else None)
            self._form.tiles.say(
                f"{tiles_words(len(tiles.grid))}, computes {tiles.cost:.2f} times the image; core: "
                f"{tiles.core_reason.split(',')[0]}; halo: {tiles.halo_reason.split(':')[0]}"
            )
            self._form.tiles.setToolTip(f"<p>Core: {tiles.core_reason}.</p><p>Halo: {tiles.halo_reason}.</p>")
            self._form.warnings.say("\n".join((*tiles.warnings, *tiles.notes)), "warning")
            self._form.input.say(
                "measuring\N{HORIZONTAL ELLIPSIS}" if normalization is None else normalization.sentence
            )
        self._show_state()

    def _show_measuring(self, progress: Progress) -> None:
        self._form.input.say(f"measuring intensities, {progress.fraction:.0%}")

    def _show_state(self) -> None:
        running = self._session.running()
        self._form.run.set_state(ready=self._session.ready, running=running)
        self._show_room(running=running)

    def _show_room(self, *, running: bool) -> None:
        """Say before the first prediction what it will take up; at most, because files are compressed."""
        tiles, network = self._session.tiles, self._session.network
        if running or tiles is None or network is None or self._session.results:
            self._form.run.room.say("")
            return
        needed = tiles.grid.box.size * network.spec.out_channels * 4
        parent = next(p for p in (self._session.folder, *self._session.folder.parents) if p.exists())
        free = shutil.disk_usage(parent).free
        self._form.run.room.say(
            f"The result takes up to {bytes_words(needed)} on the disk, where {bytes_words(free)} are free.",
            "warning" if needed > free else "",
        )
        self._form.run.room.setToolTip(f"<p>It is written to {self._session.folder}.</p>")

    def _start(self) -> None:
        self._clear()
        try:
            self._live.start()
        except TilesegError as error:
            self._form.message.say(str(error), "error")
            return
        self._form.run.say("Starting\N{HORIZONTAL ELLIPSIS}")
        self._show_state()

    def _cancel(self) -> None:
        self._session.cancel()
        self._form.run.say("Stopping after the current tile\N{HORIZONTAL ELLIPSIS}")
        self._form.run.cancel.setEnabled(False)

    def _hear(self, event: object) -> None:
        run = self._form.run
        if isinstance(event, Noted):
            self._form.message.say(event.message, "warning")
        elif isinstance(event, Saved):
            run.say(f"Done: {tiles_words(event.tiles)} in {time_words(event.seconds)}", "ok")
        elif not isinstance(event, Ended):
            run.show_event(event)
        else:
            if event.error is not None:
                run.say("Stopped. The tiles that are done are kept.", "error")
            elif event.cancelled:
                run.say("Cancelled. The tiles that are done are kept; Predict goes on from there.")
            self._show_state()

    def _fail(self, kind: str, error: Exception) -> None:
        if kind == "network":
            return
        if kind == "plan":
            self._form.tiles.say(str(error), "error")
            return
        known = isinstance(error, TilesegError)
        text = (
            str(error) if known else f"Unexpected {type(error).__name__}: {error}. The log has the details."
        )
        self._form.message.say(text, "error")
        if kind == "measure":
            self._form.input.say("not measured", "error")
        if isinstance(error, NonFiniteError):
            self._form.remedy.setText("Take them as zero")
            self._form.remedy.setVisible(True)

    def _take_as_zero(self) -> None:
        self._clear()
        self._session.set_settings(replace(self._session.settings, nonfinite="zero"))
