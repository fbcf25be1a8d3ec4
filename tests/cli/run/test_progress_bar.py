"""The bar follows the events on a terminal, and is not there otherwise."""

import io
import threading
from pathlib import Path

import pytest
from tqdm import tqdm

from napari_tileseg._progress import Noted, Progress
from napari_tileseg.cli.run.progress_bar import ProgressBar
from napari_tileseg.prediction.events import Saved, Started, TileDone
from napari_tileseg.tiling import TileGrid

GRID = TileGrid((40,), (10,), ((0, 0),), (1,))
EVENTS = [
    Progress("Measuring intensities", 0.5),
    Progress("Measuring intensities", 1.0),
    Started(total=4, done=1),
    *(TileDone(tile, done, 4, 1.0, 1.0) for done, tile in enumerate(list(GRID)[1:], start=2)),
    Noted("A smaller batch is used."),
    *(Progress("Comparing tiles", done, total) for done, total in ((1, 3), (2, 3), (5, 5))),
    Progress("Making the pyramid", 1.0),
    Saved(Path("out"), 4, 3, 1.0),
]


class Screen(io.StringIO):
    """Text that was written to a terminal, or to a file."""

    def __init__(self, *, terminal):
        super().__init__()
        self._terminal = terminal

    def isatty(self):
        return self._terminal


@pytest.fixture
def written(monkeypatch):
    """Show all events and give what is on the screen."""

    def show(*, terminal=True, quiet=False):
        screen = Screen(terminal=terminal)
        monkeypatch.setattr("sys.stderr", screen)
        with ProgressBar(quiet=quiet) as bar:
            for event in EVENTS:
                bar.show(event)
        return screen.getvalue()

    return show


def test_a_terminal_shows_what_is_done(written):
    text = written()
    assert "Measuring intensities:" in text
    assert "1/4" in text, "tiles of an earlier run count as done"
    assert "4/4" in text
    assert "Making the pyramid: 100%" in text
    assert "5/5" in text, "there are more steps than were expected at first"


@pytest.mark.parametrize("how", [{"quiet": True}, {"terminal": False}])
def test_otherwise_there_are_only_the_notes(written, how):
    assert written(**how) == "Note: A smaller batch is used.\n"


def test_it_takes_no_thread(monkeypatch):
    """A thread may not be had where memory is short, and a library would say so in lines of its own."""
    begun = []
    monkeypatch.setattr(tqdm, "monitor", None)
    monkeypatch.setattr(threading.Thread, "start", begun.append)
    with ProgressBar(quiet=False) as bar:
        bar.show(Progress("Measuring intensities", 0.5))
    assert begun == []
