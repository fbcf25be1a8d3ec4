"""Follows a training for the shell: shows its events, and ends it when a signal asks to."""

from __future__ import annotations

from collections.abc import Callable, Generator
from typing import Any, TypeVar

from napari_tileseg._progress import Noted, Progress, drain
from napari_tileseg.cli.files.curves import Curves
from napari_tileseg.cli.run.interruption import StoppedError, StopSignal
from napari_tileseg.cli.run.progress_bar import ProgressBar
from napari_tileseg.training.events import Calibrated, StepDone, Trained

R = TypeVar("R")


class Follower:
    """Shows the events of long work, and collects what the answer needs.

    Parameters
    ----------
    bar : ProgressBar
        Shows how far it is.
    stop : StopSignal
        Says when to end.
    curves : Curves, optional
        Takes in losses and scores.
    """

    def __init__(self, bar: ProgressBar, stop: StopSignal, curves: Curves | None = None) -> None:
        self._bar, self._stop, self._curves = bar, stop, curves
        self._step, self._asked = 0, False
        #: What the user should know.
        self.notes: list[str] = []
        #: What conversion changed, once it is known.
        self.converted: Calibrated | None = None

    def follow(self, work: Generator[Any, None, R], end: Callable[[], None] | None = None) -> R:
        """Drive work to its result.

        Parameters
        ----------
        work : generator
            Its events are shown and noted.
        end : callable, optional
            Ends a training after its current step, with a checkpoint.

        Raises
        ------
        StoppedError
            If a signal asked to stop; of a training, once its checkpoint is written.
        """

        def receive(event: Any) -> None:
            self._show(event)
            self._check_signal(event, end)

        result = drain(work, receive)
        if isinstance(result, Trained):
            receive(result)
        return result

    def _show(self, event: Any) -> None:
        if self._curves is not None:
            self._curves.add(event)
        match event:
            case StepDone(step=step, total=total):
                self._step = step
                self._bar.show(Progress("Training", step, max(step, total)))
            case Progress():
                self._bar.show(event)
            case Noted(message=message):
                self.notes.append(message)
                self._bar.show(event)
            case Calibrated():
                self.converted = event
            case Trained(message=message) if message:
                self.notes.append(message)

    def _check_signal(self, event: Any, end: Callable[[], None] | None) -> None:
        """End once asked to stop: at once where nothing is learned yet, or else after the checkpoint."""
        number = self._stop.number
        if number is None:
            return
        if not self._step:
            raise StoppedError("Stopped before the first step.", number)
        if isinstance(event, Trained):
            raise StoppedError(
                f"Stopped after {event.steps} steps, which are kept. Run the same command with --resume to "
                f"go on. {event.message}".strip(),
                number,
            )
        if end is not None and not self._asked:
            self._asked = True
            end()
