"""How long napari's window stands still in the first minute: a sample, the panel, a network, a core typed.

Run with a display, or under ``xvfb-run -a``. Prints and writes ``benchmarks/results/heartbeat_opening.json``:
for each of these, the longest gap between two beats of a timer of 10 ms, in milliseconds.
"""

from __future__ import annotations

import json
import os
import tempfile
import time
from collections.abc import Callable
from contextlib import contextmanager
from pathlib import Path

import napari
import numpy as np
from heartbeat import Heart, wait
from qtpy.QtWidgets import QApplication

RESULTS = Path(__file__).parent / "results" / "heartbeat_opening.json"
NETWORK = "sample:nuclei_3d_batch_renorm"
#: Cores that are typed one after the other.
CORES = ("32,64,64", "32,32,32", "64,64,64", "32,96,96", "64,128,128")
#: Seconds that the window is left alone after each thing.
REST = 1.0


class Phases:
    """Longest gap of each thing that is done."""

    def __init__(self) -> None:
        self.longest: dict[str, float] = {}

    @contextmanager
    def timed(self, name: str):
        """Measure what is done inside, and the rest after it."""
        heart = Heart()
        wait(lambda: len(heart.beats) > 2)
        yield
        rest(REST)
        self.longest[name] = round(float(np.max(heart.gaps())), 1)


def rest(seconds: float) -> None:
    """Let the window live."""
    end = time.perf_counter() + seconds
    wait(lambda: time.perf_counter() > end)


def do(call: Callable[[], object]) -> None:
    """Do something as a click does: inside the event loop."""
    call()
    QApplication.processEvents()


def measure() -> dict[str, float]:
    """Do what a user does first."""
    viewer, phases = napari.Viewer(show=True), Phases()
    rest(REST)
    with phases.timed("sample"):
        do(lambda: viewer.open_sample("napari-tileseg", "nuclei"))
    with phases.timed("panel"):
        do(lambda: viewer.window.add_plugin_dock_widget("napari-tileseg", "Predict"))
    _, widget = viewer.window.add_plugin_dock_widget("napari-tileseg", "Predict")
    rest(10.0)
    with phases.timed("network"):
        do(lambda: widget.form.network.chosen.emit(NETWORK))
        wait(lambda: widget.session.readiness.ready)
    with phases.timed("tile grid"):
        do(lambda: widget.form.grid.setChecked(True))
    editor = widget.form.settings.editors["core"]
    with phases.timed("a core typed, with the grid"):
        for core in CORES:
            editor.setText(core)
            do(editor.editingFinished.emit)
            rest(0.5)
    with phases.timed("predict"):
        do(widget.form.run.predict.click)
        wait(lambda: widget.session.prediction.story is not None and widget.session.prediction.story.done > 1)
    widget.session.prediction.cancel()
    wait(lambda: not widget.session.prediction.running)
    viewer.close()
    return phases.longest


def main() -> None:
    """Measure, print, and write."""
    with tempfile.TemporaryDirectory() as home:
        os.environ["TILESEG_HOME"] = home
        report = {"processors": os.cpu_count(), "longest_gap_ms": measure()}
    RESULTS.parent.mkdir(exist_ok=True)
    RESULTS.write_text(json.dumps(report, indent=1))
    print(json.dumps(report, indent=1))


if __name__ == "__main__":
    main()
