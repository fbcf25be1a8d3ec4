"""A bar on stderr that follows the events of a prediction or a diagnosis."""

from __future__ import annotations

import sys
from types import TracebackType

import click
from tqdm import tqdm  # type: ignore[import-untyped]

from napari_tileseg._progress import Noted, Progress
from napari_tileseg.prediction.events import PredictEvent, Started, TileDone


class _Bar(tqdm):  # type: ignore[misc]  # it has no types
    """A bar without the thread that looks after slow ones: every step is told, and memory may be short."""

    monitor_interval = 0


class ProgressBar:
    """Tiles done, tiles in all and the time left; notes above the bar.

    Parameters
    ----------
    quiet : bool
        Whether to leave out the bar. It is left out too where stderr is not a terminal.
    """

    def __init__(self, *, quiet: bool) -> None:
        self._hidden = quiet or not sys.stderr.isatty()
        self._bar: _Bar | None = None
        self._what = ""

    def __enter__(self) -> ProgressBar:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._close()

    def show(self, event: PredictEvent) -> None:
        """Show one event."""
        match event:
            case Started(total=total, done=done):
                self._open("tiles", total, "tile", done)
            case TileDone(done=done):
                self._advance(done)
            case Progress(total=total):
                self._follow(event, *((100, "%") if total == 1 else (round(total), "step")))
            case Noted(message=message, warning=warning):
                self.write(f"{'Warning' if warning else 'Note'}: {message}")

    def _follow(self, progress: Progress, total: int, unit: str) -> None:
        """Show the progress of a piece of work in `total` parts; their number may change meanwhile."""
        if progress.what != self._what:
            self._open(progress.what, total, unit)
        elif self._bar is not None:
            self._bar.total = total
        self._advance(round(total * progress.fraction))

    def write(self, message: str) -> None:
        """Write a line for the user, without breaking the bar."""
        if self._bar is not None:
            self._bar.clear()
        click.echo(message, err=True)

    def _open(self, what: str, total: int, unit: str, done: int = 0) -> None:
        self._close()
        self._what = what
        # Parts of a hundred have no speed that means anything.
        layout = "{l_bar}{bar}| {remaining} left" if unit == "%" else None
        self._bar = _Bar(
            desc=what, total=total, initial=done, unit=unit, disable=self._hidden, bar_format=layout
        )

    def _advance(self, done: int) -> None:
        if self._bar is not None:
            self._bar.update(done - self._bar.n)

    def _close(self) -> None:
        if self._bar is not None:
            self._bar.close()
        self._bar = None
