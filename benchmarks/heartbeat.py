"""How smoothly napari's event loop runs while a volume is predicted, and what is left behind.

Run with a display, or under ``xvfb-run -a``. Prints and writes ``benchmarks/results/heartbeat.json``.
"""

from __future__ import annotations

import argparse
import gc
import json
import os
import platform
import tempfile
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

os.environ.setdefault("NAPARI_CONFIG", str(Path(tempfile.gettempdir(), "tileseg-heartbeat", "napari.yaml")))

import napari
import numpy as np
from qtpy.QtCore import Qt, QTimer
from qtpy.QtWidgets import QApplication

from napari_tileseg._progress import drain
from napari_tileseg._qt.predict.widget import PredictWidget
from napari_tileseg.engine import WHOLE_TILES, PlainEngine
from napari_tileseg.prediction import plan_prediction
from napari_tileseg.prediction.events import Started, TileDone
from napari_tileseg.samples import cells_image, nuclei_volume
from napari_tileseg.session import Ended
from napari_tileseg.settings import PredictSettings

RESULTS = Path(__file__).parent / "results" / "heartbeat.json"
BEAT_MS = 10


def wait(until: Callable[[], object], seconds: float = 900) -> None:
    """Run the event loop until something is so."""
    end = time.perf_counter() + seconds
    while not until():
        if time.perf_counter() > end:
            raise TimeoutError
        QApplication.processEvents()
        time.sleep(0.001)


class Heart:
    """Notes when a timer of the event loop beats."""

    def __init__(self) -> None:
        self.beats: list[float] = []
        self._timer = QTimer()
        self._timer.setTimerType(Qt.TimerType.PreciseTimer)
        self._timer.timeout.connect(lambda: self.beats.append(time.perf_counter()))
        self._timer.start(BEAT_MS)

    def gaps(self) -> np.ndarray:
        """Milliseconds between beats."""
        self._timer.stop()
        return np.diff(self.beats) * 1000


def open_widget(image: np.ndarray, network: str, settings: PredictSettings) -> PredictWidget:
    """Open a viewer with an image, and the widget with a network, ready to predict."""
    viewer = napari.Viewer(show=True)
    viewer.add_image(image, name="sample")
    widget = PredictWidget(viewer)
    viewer.window.add_dock_widget(widget, name="Predict")
    widget.session.set_settings(settings)
    widget.form.network.chosen.emit(network)
    wait(lambda: widget.session.readiness.ready)
    return widget


def run_once(image: np.ndarray) -> dict[str, float]:
    """Predict the whole volume once, moving through it, and then cancel a second prediction."""
    widget = open_widget(image, "sample:nuclei_3d_batch_renorm", PredictSettings())
    viewer, told = widget.viewer, []
    widget.session.prediction.reported.connect(lambda event: told.append((time.perf_counter(), event)))
    heart, begun, first = Heart(), time.perf_counter(), []

    def look() -> None:
        layers = viewer.layers[1:]
        if not first and layers and not np.isnan(layers[0]._slice.image.raw).all():
            first.append(time.perf_counter())

    watching = QTimer()
    watching.timeout.connect(look)
    watching.start(20)
    walking = QTimer()
    walking.timeout.connect(lambda: viewer.dims.set_point(0, (viewer.dims.point[0] + 3) % image.shape[0]))
    walking.start(1000)
    widget.form.run.predict.click()
    wait(lambda: told and isinstance(told[-1][1], Ended))
    gaps = heart.gaps()
    walking.stop()
    watching.stop()
    moments = [when for when, event in told if isinstance(event, (Started, TileDone))]
    plain = plain_tile_seconds(widget)
    figures = {
        "p99_ms": float(np.percentile(gaps, 99)),
        "max_ms": float(gaps.max()),
        "median_ms": float(np.median(gaps)),
        "seconds": told[-1][0] - begun,
        "tile_seconds": float(np.median(np.diff(moments))),
        "plain_tile_seconds": plain,
        "first_tile_in_view_in_plain_tiles": (first[0] - moments[0]) / plain,
        "cancel_in_plain_tiles": cancel(widget, told) / plain,
    }
    close(widget)
    return figures


def plain_tile_seconds(widget: PredictWidget) -> float:
    """Time of one tile that is computed whole, of the size such tiles have; the least of three."""
    plan = drain(
        plan_prediction(widget.session.image, widget.session.network, PredictSettings(), route=WHOLE_TILES)
    )
    engine = PlainEngine(widget.session.network, "cpu", "float32", 1)
    seconds = []
    for _ in range(3):
        begun = time.perf_counter()
        engine.compute(plan.prepared, [plan.grid[tuple(n // 2 for n in plan.grid.counts)]])
        seconds.append(time.perf_counter() - begun)
    return min(seconds)


def cancel(widget: PredictWidget, told: list[Any]) -> float:
    """Seconds from pressing Cancel, somewhere inside a tile, to the end of the work."""
    widget.session.set_settings(PredictSettings(normalize="none"))
    wait(lambda: widget.session.readiness.ready)
    told.clear()
    widget.form.run.predict.click()
    wait(lambda: any(isinstance(event, TileDone) for _, event in told))
    pressed = time.perf_counter()
    widget.form.run.cancel.click()
    wait(lambda: isinstance(told[-1][1], Ended))
    return told[-1][0] - pressed


def close(widget: PredictWidget) -> None:
    """Close the viewer and discard what was predicted."""
    for result in widget.session.results.all:
        widget.session.results.discard(result)
    widget.viewer.close()


def cycle(image: np.ndarray) -> None:
    """Open, predict, cancel, delete, close."""
    widget = open_widget(image, "sample:cells_2d_batch_renorm", PredictSettings(core=(64, 64)))
    widget.form.run.predict.click()
    wait(lambda: len(widget.viewer.layers) > 1)
    widget.form.run.cancel.click()
    wait(lambda: not widget.session.prediction.running)
    widget.viewer.layers.pop()
    close(widget)


def left_behind() -> dict[str, int]:
    """Count threads and widgets of ours."""
    for _ in range(20):
        QApplication.processEvents()
        time.sleep(0.01)
    gc.collect()
    QApplication.sendPostedEvents(None, 0)
    QApplication.processEvents()
    widgets = [w for w in QApplication.allWidgets() if type(w).__module__.startswith("napari_tileseg")]
    threads = [t for t in threading.enumerate() if t.name.startswith("tileseg-")]
    return {"threads": len(threads), "widgets": len(widgets), "all_threads": threading.active_count()}


def main() -> None:
    """Measure, print, and write."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--runs", type=int, default=3)
    parser.add_argument("--cycles", type=int, default=50)
    parser.add_argument("--shape", type=int, nargs=3, default=(64, 512, 512))
    asked = parser.parse_args()
    with tempfile.TemporaryDirectory() as home:
        os.environ["TILESEG_HOME"] = home
        QApplication.instance() or napari.Viewer(show=False).close()
        volume = nuclei_volume(asked.shape).image
        runs = [run_once(volume) for _ in range(asked.runs)]
        for run in runs:
            print(json.dumps(run))
        cells = cells_image((192, 160)).image
        for _ in range(asked.cycles):
            cycle(cells)
        report = {
            "shape": list(asked.shape),
            "processors": os.cpu_count(),
            "machine": platform.machine(),
            "median": {key: float(np.median([run[key] for run in runs])) for key in runs[0]} if runs else {},
            "runs": runs,
            "cycles": asked.cycles,
            "left_behind": left_behind(),
        }
    RESULTS.parent.mkdir(exist_ok=True)
    RESULTS.write_text(json.dumps(report, indent=1))
    print(json.dumps(report, indent=1))


if __name__ == "__main__":
    main()
