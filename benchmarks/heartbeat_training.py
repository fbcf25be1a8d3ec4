"""How smoothly napari's event loop runs while a network is fine-tuned, and whether strokes survive.

Somebody moves through a volume and paints, first without and then with a training that runs. Then Stop is
pressed. At last, napari processes are killed half a second after a stroke, and it is counted how many of
these strokes are on disk, whole.

Run with a display, or under ``xvfb-run -a``. Prints a report, and writes it to
``benchmarks/results/heartbeat_training.json``.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

os.environ.setdefault("NAPARI_CONFIG", str(Path(tempfile.gettempdir(), "tileseg-heartbeat", "napari.yaml")))

import napari
import numpy as np
from napari.layers import Labels
from napari_tileseg.session.project.home import home
from qtpy.QtCore import Qt, QTimer
from qtpy.QtWidgets import QApplication

from napari_tileseg._napari.images.layer_image import image_of
from napari_tileseg._qt.finetune.widget import FinetuneWidget
from napari_tileseg.samples import nuclei_volume
from napari_tileseg.session import Ended
from napari_tileseg.session.painting.files import StrokeFiles
from napari_tileseg.settings import ImageSettings
from napari_tileseg.training.events import StepDone

RESULTS = Path(__file__).parent / "results" / "heartbeat_training.json"
NETWORK = "sample:nuclei_3d_instance"
BEAT_MS = 10
#: From one place of the mouse to the next.
MOVE_MS = 16
#: Places of a stroke; where it lies follows from its number.
LENGTH = 20


def wait(until: Callable[[], object], seconds: float = 900) -> None:
    """Run the event loop until something is so."""
    end = time.perf_counter() + seconds
    while not until():
        if time.perf_counter() > end:
            raise TimeoutError
        QApplication.processEvents()
        time.sleep(0.001)


def open_widget(shape: tuple[int, ...]) -> FinetuneWidget:
    """Open a viewer with a volume, the widget with a network, and new labels."""
    viewer = napari.Viewer(show=True)
    sample = nuclei_volume(shape)
    image = viewer.add_image(sample.image, name="sample", scale=sample.voxel_size, units="micrometer")
    widget = FinetuneWidget(viewer)
    viewer.window.add_dock_widget(widget, name="Fine-tune")
    widget.session.set_image(image_of(image, ImageSettings()))
    widget.session.network_choice.open(NETWORK)
    wait(lambda: widget.session.readiness.ready)
    widget.form.new.click()
    return widget


def labels_of(widget: FinetuneWidget) -> Labels:
    """Layer that is painted on."""
    return widget.viewer.layers["sample strokes"]


def points(layer: Labels, number: int) -> list[tuple[int, ...]]:
    """Places of one stroke in one slice, as a mouse comes by them."""
    depth, height, width = layer.data.shape
    z, y, x = (7 * number) % depth, (31 * number) % height, (53 * number) % (width - LENGTH)
    return [(z, y, column) for column in range(x, x + LENGTH)]


def stroke(layer: Labels, number: int) -> None:
    """Paint one stroke at once."""
    with layer.block_history():
        for point in points(layer, number):
            layer.paint(point, 1 + number % 3)


class Somebody:
    """Paints a stroke each second, at the pace of a mouse, moves on, and notes when each is on disk."""

    def __init__(self, widget: FinetuneWidget) -> None:
        self.delays: list[float] = []
        self._widget = widget
        self._number = 100
        self._left: list[tuple[int, ...]] = []
        self._ended: float | None = None
        widget.strokes.saved.connect(self._hear)
        self._second, self._move = QTimer(), QTimer()
        self._second.timeout.connect(self._begin)
        self._move.timeout.connect(self._go_on)

    def work(self, first: Callable[[], None], enough: Callable[[], bool]) -> np.ndarray:
        """Do something, then paint until it is enough; gives milliseconds between beats of the event loop."""
        beats: list[float] = []
        heart = QTimer()
        heart.setTimerType(Qt.TimerType.PreciseTimer)
        heart.timeout.connect(lambda: beats.append(time.perf_counter()))
        heart.start(BEAT_MS)
        self._second.start(1000)
        self._move.start(MOVE_MS)
        first()
        wait(enough)
        self._second.stop()
        wait(lambda: not self._left)
        self._move.stop()
        wait(lambda: self._ended is None)
        heart.stop()
        return np.diff(beats) * 1000

    def _begin(self) -> None:
        layer = labels_of(self._widget)
        self._number += 1
        self._left = points(layer, self._number)
        dims = self._widget.viewer.dims
        dims.set_point(0, self._left[0][0] * layer.scale[0])

    def _go_on(self) -> None:
        if self._left:
            labels_of(self._widget).paint(self._left.pop(), 1 + self._number % 3)
            if not self._left:
                self._ended = time.perf_counter()

    def _hear(self, painting: Any) -> None:
        if self._ended is not None and painting.settled:
            self.delays.append(time.perf_counter() - self._ended)
            self._ended = None


def run_once(shape: tuple[int, ...], seconds: float) -> dict[str, float]:
    """Train, move and paint for some seconds, then stop."""
    widget = open_widget(shape)
    layer = labels_of(widget)
    for number in range(9):
        stroke(layer, number)
    wait(lambda: widget.strokes.paintings[0].saved and widget.strokes.paintings[0].settled)
    told: list[tuple[float, object]] = []
    widget.finetuner.reported.connect(lambda event: told.append((time.perf_counter(), event)))
    unit = widget.form.train.unit
    unit.setCurrentIndex(unit.findData("steps"))
    widget.form.train.form.editors["steps"].setText("100000")
    somebody = Somebody(widget)
    end = time.perf_counter() + seconds / 2
    alone = somebody.work(lambda: None, lambda: time.perf_counter() > end)
    gaps = somebody.work(widget.form.start.click, lambda: long_enough(widget, told, seconds))
    if widget.finetuner.state != "running":
        raise RuntimeError(widget.form.message.text())
    stopped = stop(widget, told)
    painted = np.asarray(layer.data)
    stored = np.asarray(StrokeFiles.open(widget.strokes.paintings[0].folder).read())
    steps = [when for when, event in told if isinstance(event, StepDone)]
    figures = {
        **spread(gaps, ""),
        **spread(alone, "_without_training"),
        "steps": len(steps),
        "step_seconds": float(np.median(np.diff(steps))),
        "tiles_shown": sum(type(event).__name__ == "TileShown" for _, event in told),
        "strokes": len(somebody.delays),
        "save_seconds_max": max(somebody.delays),
        "all_strokes_on_disk": bool(np.array_equal(painted, stored)),
        **stopped,
    }
    widget.finetuner.discard()
    widget.viewer.close()
    return figures


def long_enough(widget: FinetuneWidget, told: list[tuple[float, object]], seconds: float) -> bool:
    """Whether training has taken steps for some seconds, or has failed."""
    steps = [when for when, event in told if isinstance(event, StepDone)]
    return widget.finetuner.state != "running" or bool(steps and time.perf_counter() > steps[0] + seconds)


def spread(gaps: np.ndarray, when: str) -> dict[str, float]:
    """Figures of the gaps between beats."""
    return {
        f"p99_ms{when}": float(np.percentile(gaps, 99)),
        f"max_ms{when}": float(gaps.max()),
        f"median_ms{when}": float(np.median(gaps)),
    }


def stop(widget: FinetuneWidget, told: list[tuple[float, object]]) -> dict[str, float]:
    """Press Stop, and tell how many steps were still taken, and how long until training had ended."""
    taken = sum(isinstance(event, StepDone) for _, event in told)
    pressed = time.perf_counter()
    widget.form.stop.click()
    wait(lambda: isinstance(told[-1][1], Ended))
    ended = next(when for when, event in told if type(event).__name__ == "Trained")
    return {
        "steps_after_stop": sum(isinstance(event, StepDone) for _, event in told) - taken,
        "seconds_to_stop": ended - pressed,
    }


def paint_and_wait(shape: tuple[int, ...]) -> None:
    """Paint one stroke, say so, and live on, for `kill`."""
    widget = open_widget(shape)
    stroke(labels_of(widget), 1)
    print("painted", flush=True)
    napari.run(force=True)


def kill(shape: tuple[int, ...]) -> bool:
    """Kill a napari half a second after a stroke; tell whether its stroke is there."""
    before = set((home() / "projects").glob("*"))
    command = [sys.executable, __file__, "--paint", "--shape", *map(str, shape)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        while process.stdout.readline() != "painted\n":
            pass
        time.sleep(0.5)
        process.send_signal(signal.SIGKILL)
    (project,) = set((home() / "projects").glob("*")) - before
    painted = np.asarray(StrokeFiles.open(project / "labels" / "0001").read())
    return bool((painted == 2).sum() == 3 * (LENGTH + 2))


def main() -> None:
    """Measure, print, and write."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--runs", type=int, default=3)
    parser.add_argument("--seconds", type=float, default=30)
    parser.add_argument("--kills", type=int, default=5)
    parser.add_argument("--shape", type=int, nargs=3, default=(64, 512, 512))
    parser.add_argument("--paint", action="store_true", help="paint a stroke and wait to be killed")
    asked = parser.parse_args()
    shape = tuple(asked.shape)
    if asked.paint:
        paint_and_wait(shape)
        return
    with tempfile.TemporaryDirectory() as folder:
        os.environ["TILESEG_HOME"] = folder
        QApplication.instance() or napari.Viewer(show=False).close()
        runs = [run_once(shape, asked.seconds) for _ in range(asked.runs)]
        report = {
            "shape": list(shape),
            "network": NETWORK,
            "processors": os.cpu_count(),
            "machine": platform.machine(),
            "median": {key: float(np.median([run[key] for run in runs])) for key in runs[0]} if runs else {},
            "runs": runs,
            "kills": asked.kills,
            "strokes_there_after_a_kill": sum(kill(shape) for _ in range(asked.kills)),
        }
    RESULTS.parent.mkdir(exist_ok=True)
    RESULTS.write_text(json.dumps(report, indent=1))
    print(json.dumps(report, indent=1))


if __name__ == "__main__":
    main()
