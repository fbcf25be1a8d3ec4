"""Saves what a training has learned in the project, also where nobody decides about it any more."""

from __future__ import annotations

import logging
from pathlib import Path
from threading import Event, Lock
from types import TracebackType
from typing import TYPE_CHECKING, Literal

from napari_tileseg.errors import StoreError
from napari_tileseg.session.project.network_files import new_network_path
from napari_tileseg.session.project.recent import record_recent

if TYPE_CHECKING:
    from napari_tileseg.workflows.finetuning import FineTuning
    from napari_tileseg.workflows.finetuning_events import FinalWeights

logger = logging.getLogger(__name__)


def save_in_project(
    job: FineTuning, project: Path, which: FinalWeights, how: Literal["tuned", "rescued"]
) -> Path:
    """Write the network of a fine-tuning as a new file of a project; not while it trains.

    Parameters
    ----------
    job : FineTuning
        Whose network.
    project : Path
        The project folder.
    which : {"best", "last"}
        Which weights.
    how : {"tuned", "rescued"}
        Whether the user has decided to keep it, or nobody was there to decide.

    Raises
    ------
    SettingsError
        If training has not begun.
    StoreError
        If it cannot be written.
    """
    path = new_network_path(project, job.request.network.spec.name, how)
    trainer = job.trainer
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise StoreError(
            f"The network should be written to {path.parent}; {error}. Nothing is lost: free some "
            "space, or choose another folder with TILESEG_HOME, and keep it again."
        ) from error
    return trainer.save(which, path)


class Rescue:
    """Saves the best weights of a fine-tuning that nobody will decide about.

    A context around all that its thread does. The owner leaves and the thread ends in either order; whichever
    comes second saves the network, so that it is saved once, and not while it trains.

    Parameters
    ----------
    job : FineTuning
        What the thread runs.
    project : Path
        The project folder.
    """

    def __init__(self, job: FineTuning, project: Path) -> None:
        self._job = job
        self._project = project
        self._left = Event()
        self._over = Event()
        self._saving = Lock()

    def __enter__(self) -> None:
        pass

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if kind is GeneratorExit:
            # The worker closes its events where it was cancelled: nobody receives the end.
            self._left.set()
        self._over.set()
        if self._left.is_set():
            self._save()

    def leave(self) -> None:
        """Let the best weights become a network among the recently opened ones, now or once it has ended."""
        self._left.set()
        self._job.pause(False)
        if self._over.is_set():
            self._save()

    def _save(self) -> None:
        # Both threads may come here at once; the lock is never released, so that only the first one saves.
        if not self._job.learned or not self._saving.acquire(blocking=False):
            return
        try:
            record_recent(str(save_in_project(self._job, self._project, "best", "rescued")))
        except Exception:
            # Nobody is left to report to, and others have to be closed; checkpoints are in the run's folder.
            logger.exception("The network could not be saved")
        self._job.close()
