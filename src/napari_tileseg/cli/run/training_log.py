"""Follows a training for the shell: shows it, notes what it tells, and ends it when a signal asks to."""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterator
from typing import Any, TypeVar

from napari_tileseg._progress import Noted, Progress, drain
from napari_tileseg.cli.files.curves import Curves
from napari_tileseg.cli.run.interruption import StoppedError, StopSignal
from napari_tileseg.cli.run.progress_bar import ProgressBar
from napari_tileseg.training.events import Calibrated, StepDone, Trained

R = TypeVar("R")


class Follower:
    """Takes in what a piece of work tells.

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

    def finish(self, work: Generator[Any, None, R]) -> R:
        """Drive work that has no steps of training to its result.

        Raises
        ------
        StoppedError
            If a signal asked to stop.
        """

        def receive(event: Any) -> None:
            self._take_in(event)
            self._heed(event, end=lambda: None)

        return drain(work, receive)

    def follow(self, events: Iterator[Any], kind: type[R], end: Callable[[], None]) -> R:
        """Follow a training to the event of `kind` that ends it.

        Parameters
        ----------
        events : iterator
            What the training tells.
        kind : type
            Of the last event.
        end : callable
            Ends the training after its current step, with a checkpoint.

        Raises
        ------
        StoppedError
            If a signal asked to stop, once the checkpoint is written.
        """
        for event in events:
            self._take_in(event)
            self._heed(event, end)
            if isinstance(event, kind):
                return event
        raise AssertionError(f"a training ends with {kind.__name__}")

    def _take_in(self, event: Any) -> None:
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

    def _heed(self, event: Any, end: Callable[[], None]) -> None:
        """Once asked to stop: end at once where nothing is learned yet, or else after the checkpoint."""
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
        if not self._asked:
            self._asked = True
            end()
