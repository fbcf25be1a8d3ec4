"""Saving, discarding and reopening what predictions gave."""

from __future__ import annotations

from pathlib import Path

from qtpy.QtCore import QObject
from qtpy.QtWidgets import QApplication

from napari_tileseg._progress import Progress
from napari_tileseg._qt.common import dialogs
from napari_tileseg._qt.common.connections import Connections
from napari_tileseg._qt.predict.form import PredictForm
from napari_tileseg._qt.predict.live_layers import LiveLayers
from napari_tileseg.errors import TilesegError
from napari_tileseg.session import Ended, Result, Session
from napari_tileseg.session.prediction.readiness import problem_words
from napari_tileseg.session.prediction.result_words import (
    at_hand,
    copy_words,
    result_words,
    titles,
    unsaved,
)
from napari_tileseg.session.prediction.run_story import name_of
from napari_tileseg.session.project.folders import projects_folder
from napari_tileseg.session.project.project import latest_of


class ResultKeeper(QObject):
    """Lets the user save or discard results, and shows where they are meanwhile.

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
        #: The result that the user has picked from the list, while image and network stay.
        self._picked: Path | None = None
        self._sizes: dict[Path, int] = {}
        #: How far a result that is being saved is, as a line; "" before anything is known of that.
        self._copying = ""
        self._connections = Connections(
            (session.results.changed, self._show),
            (session.situation_changed, self._show),
            (session.image_changed, self._forget_pick),
            (session.network_changed, self._forget_pick),
            (session.prediction.reported, self._receive),
            (session.results.size_measured, self._take_size),
            (session.results.copying, self._show_copying),
            (session.results.brought, self._take_brought),
        )
        form.run.save_clicked.connect(self._save)
        form.run.on_image_clicked.connect(self._save_on_image)
        form.run.discard_clicked.connect(self._discard)
        form.run.copy_clicked.connect(self._copy)
        form.run.result_picked.connect(self._pick)
        form.reopen_clicked.connect(self._reopen)
        self._show()

    def close(self) -> None:
        """Follow the session no more."""
        self._connections.close()

    def _at_hand(self) -> Result | None:
        """Return the unsaved result that is picked, or belongs to image, network and settings."""
        session, unsaved_results = self._session, unsaved(self._session.results.all)
        picked = next((result for result in unsaved_results if result.path == self._picked), None)
        network = session.network
        return picked or at_hand(
            unsaved_results,
            session.image_choice.reference,
            network.sha256 if network else "",
            session.result_path,
        )

    def _saved_at_hand(self) -> Result | None:
        session, network = self._session, self._session.network
        saved = [result for result in reversed(session.results.all) if result.saved]
        return at_hand(
            saved, session.image_choice.reference, network.sha256 if network else "", session.result_path
        )

    def _show(self, _: object = None) -> None:
        session, run = self._session, self._form.run
        unsaved_results, result = unsaved(session.results.all), self._at_hand()
        busy = session.prediction.running or session.results.saving
        offered = list(zip(titles(unsaved_results), (each.path for each in unsaved_results), strict=True))
        run.offer_results(offered, None if result is None else result.path)
        # While it is busy, this is asked with every step.
        run.set_result(result is not None and not busy, resampled=not busy and self._can_go_on_image(result))
        others = len(unsaved_results) - (result is not None)
        size = None if result is None else self._sizes.get(result.path)
        if not session.results.saving:
            self._copying = ""
        named = result is not None and run.results.isVisibleTo(run)
        words = result_words(result, others, size, self._saved_at_hand(), named=named)
        run.result_path.show_text(self._copying or words)
        run.result_path.setToolTip("" if result is None else str(result.path))
        if result is not None and not busy and size is None and not session.jobs.running("size"):
            session.results.measure_size(result)

    def _receive(self, event: object) -> None:
        if isinstance(event, Ended):
            self._sizes.clear()
            self._show()

    def _show_copying(self, result: Result, copying: Progress) -> None:
        self._copying = copy_words(result, copying)
        self._show()

    def _take_size(self, result: Result, size: int) -> None:
        self._sizes[result.path] = size
        self._show()

    def _pick(self, path: Path) -> None:
        """Show the result that the user has picked, over its image."""
        self._picked = path
        result = self._at_hand()
        if result is not None and result.path == path:
            try:
                self._live.show_stored(result)
            except TilesegError as error:
                self._form.answer.show_text(error.in_panel, "error")
            self._session.image_choice.show(result.image)
        self._show()

    def _forget_pick(self, _: object) -> None:
        self._picked = None
        self._show()

    def _save(self) -> None:
        result = self._at_hand()
        if result is not None:
            target = dialogs.ask_save_path(self._form, name_of(result))
            if target is not None:
                self._session.results.save(result, target)

    def _can_go_on_image(self, result: Result | None) -> bool:
        """Return whether a result is complete, at the network's voxel size, and of the image at hand."""
        session = self._session
        if result is None or session.image is None or not result.is_of(session.image_choice.reference):
            return False
        return result.complete and session.results.is_resampled(result)

    def _save_on_image(self) -> None:
        result, image = self._at_hand(), self._session.image
        if result is not None and image is not None and self._can_go_on_image(result):
            target = dialogs.ask_save_path(self._form, f"{name_of(result)} on image")
            if target is not None:
                self._session.results.write_on_image(result, image, target)

    def _take_brought(self, result: Result, path: Path) -> None:
        del result
        self._form.answer.show_text(f"Written on the image's voxels: {path}", "ok")

    def _discard(self) -> None:
        result = self._at_hand()
        if result is not None and dialogs.ask_discard(self._form, name_of(result)):
            self._session.results.discard(result)

    def _copy(self) -> None:
        self._form.settings.commit()
        try:
            command = self._session.command()
        except TilesegError as error:
            self._form.answer.show_text(problem_words(error), "error")
            return
        QApplication.clipboard().setText(command)
        self._form.answer.show_text(f"Copied: {command}", "ok")

    def _reopen(self) -> None:
        folder = dialogs.ask_project_folder(self._form, projects_folder())
        if folder is not None and (not self._session.prediction.running or dialogs.ask_leave(self._form)):
            self.reopen(folder)

    def reopen(self, folder: Path) -> None:
        """Take up a project again, and show the latest result of the image that was chosen last."""
        try:
            self._session.reopen(folder)
            result = latest_of(self._session.results.all, self._session.project_folder.project.image)
            if result is not None:
                self._live.show_stored(result)
        except TilesegError as error:
            self._form.answer.show_text(problem_words(error), "error")
