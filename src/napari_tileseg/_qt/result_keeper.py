"""Saving, discarding and reopening what predictions gave."""

from __future__ import annotations

from pathlib import Path

from qtpy.QtCore import QObject
from qtpy.QtWidgets import QApplication

from napari_tileseg._qt import dialogs
from napari_tileseg._qt.connections import Connections
from napari_tileseg._qt.live_layers import LiveLayers
from napari_tileseg._qt.predict_form import PredictForm
from napari_tileseg.errors import TilesegError
from napari_tileseg.session import Ended, Result, Session, home
from napari_tileseg.session.words import bytes_words


class ResultKeeper(QObject):
    """Lets the user decide what becomes of results, and says where they are meanwhile.

    Parameters
    ----------
    session : Session
        Keeps the results.
    form : PredictForm
        Where the user decides.
    live : LiveLayers
        Shows results of a project that is opened again.
    """

    def __init__(self, session: Session, form: PredictForm, live: LiveLayers) -> None:
        super().__init__()
        self._session = session
        self._form = form
        self._live = live
        self._connections = Connections(
            (session.results_changed, self._show),
            (session.run_told, self._hear),
            (session.size_measured, self._show_size),
            (session.busy_changed, self._busy),
        )
        form.run.save_clicked.connect(self._save)
        form.run.discard_clicked.connect(self._discard)
        form.run.copy_clicked.connect(self._copy)
        form.reopen_clicked.connect(self._reopen)
        self._show()

    def close(self) -> None:
        """Follow the session no more."""
        self._connections.close()

    @property
    def _latest(self) -> Result | None:
        """The newest result that is in the project still."""
        kept = [result for result in self._session.results if not result.saved]
        return kept[-1] if kept else None

    def _show(self) -> None:
        latest = self._latest
        free = latest is not None and not self._session.running()
        self._form.run.set_result(free)
        if latest is None:
            saved = [result for result in self._session.results if result.saved]
            self._form.run.place.say(f"Saved at {saved[-1].path}" if saved else "")
        elif free:
            self._say_place(latest, "")
            self._session.measure_size(latest)
        else:
            self._say_place(latest, "")

    def _hear(self, event: object) -> None:
        if isinstance(event, Ended):
            self._show()

    def _show_size(self, result: Result, size: int) -> None:
        if result == self._latest:
            self._say_place(result, f"{bytes_words(size)} ")

    def _say_place(self, result: Result, size: str) -> None:
        self._form.run.place.say(
            f"Not saved yet: {size}in {result.path.parent}, kept until saved or discarded"
        )
        self._form.run.place.setToolTip(str(result.path))

    def _busy(self, kind: str, busy: bool) -> None:
        if kind == "save":
            self._form.run.say("Saving\N{HORIZONTAL ELLIPSIS}" if busy else "")
            self._form.run.set_result(not busy and self._latest is not None)

    def _save(self) -> None:
        latest = self._latest
        if latest is not None:
            target = dialogs.ask_save_path(self._form, latest.name)
            if target is not None:
                self._session.save_result(latest, target)

    def _discard(self) -> None:
        latest = self._latest
        if latest is not None and dialogs.ask_discard(self._form, latest.name):
            self._session.discard_result(latest)

    def _copy(self) -> None:
        try:
            command = self._session.command()
        except TilesegError as error:
            self._form.message.say(str(error), "error")
            return
        QApplication.clipboard().setText(command)
        self._form.message.say(f"Copied: {command}", "ok")

    def _reopen(self) -> None:
        folder = dialogs.ask_project_folder(self._form, home() / "projects")
        if folder is not None:
            self.reopen(folder)

    def reopen(self, folder: Path) -> None:
        """Take up a project again, and show its results."""
        try:
            self._session.reopen(folder)
            self._live.show_stored(self._session.results)
        except TilesegError as error:
            self._form.message.say(str(error), "error")
