"""One fine-tuning in its thread: paused, stopped, looked at in between, and never lost."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from threading import Event, Lock
from typing import TYPE_CHECKING, Literal, TypeAlias

from napari_tileseg.errors import SettingsError, StoreError
from napari_tileseg.session.finetune.preview import LAST_TURN, Preview, TileShown
from napari_tileseg.session.prediction.network_opening import Opened, opening
from napari_tileseg.session.project.network_files import new_network_path
from napari_tileseg.session.project.recent import remember_network
from napari_tileseg.training.events import StepDone, Trained
from napari_tileseg.training.watch import Watch

if TYPE_CHECKING:
    from napari_tileseg.workflows.finetuning import FineTuning, TuneOrder
    from napari_tileseg.workflows.finetuning_events import Kept, TuneEvent

logger = logging.getLogger(__name__)
RunEvent: TypeAlias = "TuneEvent | TileShown"


class TuneRun:
    """Drives a fine-tuning; `events` in the thread of the work, all else from the owner's.

    Parameters
    ----------
    order : TuneOrder
        What is to be done; its labels are read when it begins, where no interface waits.
    preview : Preview
        What is predicted in between.
    project : Path
        Folder where networks are kept.
    """

    def __init__(self, order: TuneOrder, preview: Preview, project: Path) -> None:
        self.order = order
        self.preview = preview
        #: Whether a step was taken, so that there is something to keep.
        self.learned = False
        self._project = project
        self._tuning: FineTuning | None = None
        self._stopping = Event()
        self._go = Event()
        self._go.set()
        # Nobody will decide any more, and nothing happens any more: once both are so, the result is rescued.
        self._left, self._over = Event(), Event()
        self._rescue = Lock()
        self._watch = Watch()

    def events(self) -> Iterator[RunEvent]:
        """What fine-tuning and preview tell. Closing it stops within one step, and keeps what was learned.

        Raises
        ------
        TilesegError
            As `FineTuning.events`.
        """
        try:
            yield from self._told()
        except GeneratorExit:
            self._left.set()
            raise
        finally:
            self._over.set()
            if self._left.is_set():
                self._keep_undecided()

    def _told(self) -> Iterator[RunEvent]:
        from napari_tileseg.workflows.finetuning import FineTuning

        tuning = self._tuning = FineTuning(self.order, self._watch, spare=LAST_TURN)
        if self._stopping.is_set():
            tuning.stop()
        for event in tuning.events():
            self.learned |= isinstance(event, StepDone)
            yield event
            if isinstance(event, StepDone):
                yield from self.preview.turn(tuning.network, self._stopping.is_set)
            elif isinstance(event, Trained) and self.learned:
                with self._watch.part("last look"):
                    yield from self.preview.turn(partial(tuning.network, "best"), bool, last=True)
            with self._watch.rest():
                self._go.wait()

    @property
    def paused(self) -> bool:
        """Whether it waits."""
        return not self._go.is_set()

    def pause(self, paused: bool) -> None:
        """Wait after the present step, or go on; returns at once."""
        (self._go.clear if paused else self._go.set)()

    @property
    def stopping(self) -> bool:
        """Whether it was asked to end."""
        return self._stopping.is_set()

    def stop(self) -> None:
        """End training after the present step, and measure what it has come to; returns at once."""
        self._stopping.set()
        if self._tuning is not None:
            self._tuning.stop()
        self._go.set()

    def keep(self, which: Kept) -> Iterator[Opened]:
        """Write the network, and open what was written; not while it trains.

        Raises
        ------
        SettingsError
            If nothing was learned.
        StoreError, NetworkError
            If it cannot be written, or not be opened.
        """
        yield from opening(str(self._save(which, "tuned")), None)

    def _save(self, which: Kept, how: Literal["tuned", "rescued"]) -> Path:
        path = new_network_path(self._project, self.order.network.spec.name, how)
        if self._tuning is None:
            raise SettingsError("There is no network to keep: training has not begun.")
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise StoreError(
                f"The network should be written to {path.parent}; {error}. Nothing is lost: free some "
                "space, or choose another folder with TILESEG_HOME, and keep it again."
            ) from error
        return self._tuning.save(which, path)

    def leave(self) -> None:
        """Nobody will decide: the best weights become a network among those opened lately, now or later."""
        self._left.set()
        self._go.set()
        if self._over.is_set():
            self._keep_undecided()

    def _keep_undecided(self) -> None:
        """Keep the best weights, once, whichever thread comes first."""
        if not self.learned or not self._rescue.acquire(blocking=False):
            return
        try:
            remember_network(str(self._save("best", "rescued")))
        except Exception:
            # Nobody is there to be told, and others have to be closed; checkpoints are in the run's folder.
            logger.exception("The network could not be kept")
        self.close()

    def close(self) -> None:
        """Give memory back."""
        if self._tuning is not None:
            self._tuning.close()
