"""Fine-tunes a session's network in the background; its result is kept, discarded or undone."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from psygnal import Signal

from napari_tileseg.errors import SettingsError
from napari_tileseg.images.image import Image
from napari_tileseg.session.background.jobs import Dispatch, Jobs, at_once
from napari_tileseg.session.background.worker import Ended
from napari_tileseg.session.finetune.log import TrainingLog
from napari_tileseg.session.finetune.outcome import Outcome
from napari_tileseg.session.finetune.preview import Pace, Preview
from napari_tileseg.session.finetune.rescue import Rescue, save_in_project
from napari_tileseg.session.finetune.undo import UndoHistory
from napari_tileseg.session.prediction.network_opening import Opened, opening
from napari_tileseg.session.project.folders import removing
from napari_tileseg.session.project.network_files import copied
from napari_tileseg.session.session import Session
from napari_tileseg.settings import LabelSettings, TrainSettings
from napari_tileseg.tiling import Box
from napari_tileseg.training.watch import Watch

if TYPE_CHECKING:
    from napari_tileseg.nets.network import Network
    from napari_tileseg.session.finetune.request import State
    from napari_tileseg.workflows.finetuning import FineTuning
    from napari_tileseg.workflows.finetuning_events import FinalWeights, Tuned, TuneEvent
    from napari_tileseg.workflows.finetuning_request import TuneRequest

_NO_IMAGE, _OTHER_IMAGE = "The image was removed.", "Another image was chosen, or the image was changed."


class Finetuner:
    """Fine-tunes a session's network; one run at a time. Used from the thread that owns the session.

    Parameters
    ----------
    session : Session
        Whose image and network are taken, and who gets the new network.
    dispatch : callable, optional
        Runs a callable in the owner's thread; at once by default.
    pace : Pace, optional
        How often, and how long, what is in view is predicted.
    """

    #: `State`, or whether it is paused, has changed.
    changed = Signal()
    #: An event of fine-tuning, then its `Tuned`; at last an `Ended`.
    reported = Signal(object)
    #: Path of a network that was written, and is the session's now.
    kept = Signal(object)
    #: Path of a copy that was asked for.
    exported = Signal(object)
    #: What went wrong.
    failed = Signal(Exception)

    def __init__(self, session: Session, dispatch: Dispatch = at_once, pace: Pace | None = None) -> None:
        self._session = session
        self._pace = pace or Pace()
        self._jobs = Jobs(dispatch)
        self._jobs.failed.connect(self._fail)
        self._state: State = "idle"
        self._job: FineTuning | None = None
        self._preview: Preview | None = None
        self._rescue: Rescue | None = None
        self._log: TrainingLog | None = None
        self._outcome: Outcome | None = None
        self._undo = UndoHistory()
        session.image_changed.connect(self._leave_image)
        session.network_changed.connect(self._leave_network)

    @property
    def state(self) -> State:
        """Whether nothing runs, a training runs, its result waits for a decision, or is being kept."""
        return self._state

    @property
    def paused(self) -> bool:
        """Whether a running training waits."""
        return self._job is not None and self._job.paused

    @property
    def request(self) -> TuneRequest | None:
        """The request of the training that runs, waits for a decision or is being kept."""
        return None if self._job is None else self._job.request

    @property
    def preview(self) -> Preview | None:
        """What is predicted between its steps."""
        return self._preview

    @property
    def log(self) -> TrainingLog | None:
        """What the present or last training has reported; None where there was none, or it was discarded."""
        return self._log

    @property
    def outcome(self) -> Outcome | None:
        """What was decided last, until something else is chosen."""
        return self._outcome

    @property
    def stopping(self) -> bool:
        """Whether a running training was asked to end."""
        return self._state == "running" and self._job is not None and self._job.stopping

    @property
    def former(self) -> Network | None:
        """The network that the session's has replaced, which `undo` brings back."""
        return self._undo.former_of(self._session.network)

    def start(self, labels: Any, meaning: LabelSettings, training: TrainSettings, view: Box) -> None:
        """Fine-tune in the background.

        Parameters
        ----------
        labels : array
            Over the image's grid axes; read in the background.
        meaning : LabelSettings
            What the values mean.
        training : TrainSettings
            How to train.
        view : Box
            Voxels in view, which are predicted while training runs.

        Raises
        ------
        SettingsError
            If image, network or measured intensities are missing, or the training before is not settled.
        StoreError
            If the project cannot be written.
        """
        from napari_tileseg.session.finetune.request import request_tuning
        from napari_tileseg.workflows.finetuning import FineTuning

        request = request_tuning(self._session, self._state, labels, meaning, training)
        self._log, self._outcome = TrainingLog(), None
        assert request.normalization is not None
        image, network, settings = request.image, request.network, request.predict
        self._preview = Preview(image, network, settings, request.normalization, view, self._pace)
        # Its minutes count from here, before what is loaded for it in the thread.
        job = self._job = FineTuning(request, Watch(), self._preview)
        rescue = self._rescue = Rescue(job, self._session.folder)
        # Before it begins: it may end at once.
        self._set("running")
        self._jobs.begin("finetune", lambda: _events(job, rescue), self._receive, with_end=True)

    def look_at(self, view: Box) -> None:
        """Predict these voxels of the image from now on, while training runs."""
        if self._preview is not None:
            self._preview.view = view

    def show_preview(self, shown: bool) -> None:
        """Predict what is in view while training runs, or do not."""
        if self._preview is not None:
            self._preview.wanted = shown

    def pause(self, paused: bool) -> None:
        """Pause after the present step, or resume."""
        if self._job is not None:
            self._job.pause(paused)
            self.changed.emit()

    def stop(self, why: str = "") -> None:
        """End training after the present step, and measure the result; returns at once.

        Parameters
        ----------
        why : str
            What has happened, where it was not the user who pressed Stop.
        """
        if self._job is not None and self._log is not None and self._state == "running":
            if not self.stopping:
                self._log.why = why
            self._job.stop()
            self.changed.emit()

    def keep(self, which: FinalWeights) -> None:
        """Write the network of the run in the background, open it, and make it the session's.

        Where that fails, `failed` carries the reason, and the result waits for a decision again.

        Parameters
        ----------
        which : {"best", "last"}
            The weights of the best validation score, or the last ones.
        """
        if self._job is None or self._state != "deciding":
            return
        self._set("keeping")
        saved = partial(save_in_project, self._job, self._session.folder, which, "tuned")
        self._jobs.begin("keep", lambda: opening(str(saved()), None), self._receive_kept, with_end=True)

    def _receive_kept(self, event: Opened | Ended) -> None:
        if not isinstance(event, Ended):
            self._take(event.network)
        elif self._state == "keeping":
            self._set("deciding")

    def _take(self, network: Network) -> None:
        """Make a kept network the session's."""
        assert self._job is not None
        self._undo.record(network, self._session.network or self._job.request.network)
        session, where = self._session, self._job.request.predict.intensities
        session.set_network(network, trained_further=True)
        laid = session.plan.laid
        if laid is not None and laid.settings.intensities_of != where:
            # It has learned from intensities that were measured there.
            session.set_settings(replace(session.settings, intensities=where))
        self._outcome = Outcome("kept", network.spec.name)
        self._end_run()
        self.kept.emit(Path(network.reference.path))

    def discard(self) -> None:
        """Forget the result of the run; the session's network stays, and the run's folder is removed."""
        if self._job is None or self._state != "deciding":
            return
        request, self._log = self._job.request, None
        self._outcome = Outcome("discarded", (self._session.network or request.network).spec.name)
        self._end_run()
        self._jobs.begin("discard", partial(removing, request.folder), lambda _: None)

    def undo(self) -> None:
        """Bring back the network that the session's has replaced; the file of the session's stays."""
        left, former = self._session.network, self.former
        if left is not None and former is not None and self._state == "idle":
            self._session.set_network(former, trained_further=True)
            self._outcome = Outcome("undone", former.spec.name, left.spec.name)
            self.changed.emit()

    def forget(self) -> None:
        """Drop the log of the last training and what was decided, as something else is chosen now."""
        if self._state == "idle" and (self._log is not None or self._outcome is not None):
            self._log = self._outcome = None
            self.changed.emit()

    def export(self, target: Path) -> None:
        """Copy the file of the session's network to a path the user chose, in the background.

        Raises
        ------
        SettingsError
            If there is no network with a file.
        """
        network = self._session.network
        source = Path(network.reference.path) if network is not None else None
        if source is None or not source.is_file():
            raise SettingsError("Only a network that was kept as a file can be exported; keep one first.")
        self._jobs.begin("export", partial(copied, source, target), self.exported.emit)

    def close(self) -> None:
        """Stop within one step, save what was learned as a file, and disconnect from the session."""
        self._session.image_changed.disconnect(self._leave_image)
        self._session.network_changed.disconnect(self._leave_network)
        for kind in ("finetune", "keep"):
            self._jobs.drop(kind)
        # A network that is being kept is written, and among the recently opened ones, before its thread ends.
        if self._rescue is not None and self._state != "keeping":
            self._rescue.leave()
        self._job = self._preview = self._rescue = None
        self._state = "idle"
        self._jobs.close()

    def _leave_image(self, image: Image | None) -> None:
        if self._job is not None and image is not self._job.request.image:
            self.stop(_NO_IMAGE if image is None else _OTHER_IMAGE)
        self.forget()

    def _leave_network(self, network: Network | None) -> None:
        del network
        self.forget()

    def _receive(self, event: TuneEvent | Tuned | Ended) -> None:
        assert self._log is not None
        self._log.receive(event)
        if isinstance(event, Ended) and self._log.learned:
            self._set("deciding")
        elif isinstance(event, Ended):
            self._end_run()
        self.reported.emit(event)

    def _end_run(self) -> None:
        assert self._job is not None
        job, self._job = self._job, None
        self._preview = self._rescue = None
        self._set("idle")
        job.close()

    def _set(self, state: State) -> None:
        self._state = state
        self.changed.emit()

    def _fail(self, kind: str, error: Exception) -> None:
        del kind
        self.failed.emit(error)


def _events(job: FineTuning, rescue: Rescue) -> Iterator[TuneEvent | Tuned]:
    """Run a fine-tuning in its thread, with its result as the last event.

    One that is stopped before it has learned anything ends at once: there is nothing to measure.
    """
    work = job.run()
    with rescue, closing(work):
        while not job.stopping or job.learned:
            try:
                event = next(work)
            except StopIteration as end:
                yield end.value
                return
            yield event
