"""Take the pictures of the dock widgets, to be looked at and for the documentation.

    scripts/with_display.sh .venv/bin/python scripts/screenshots.py [FOLDER]

Writes into FOLDER (``demo/screenshots`` by default) the Diagnose widget with a network that makes seams and
with one that does not, in both of napari's themes and in two sizes of window, and replaces the pictures that
the documentation shows.
"""

from __future__ import annotations

import os
import shutil
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from napari.viewer import Viewer

    from napari_tileseg._qt.diagnose_widget import DiagnoseWidget

ROOT = Path(__file__).resolve().parents[1]
DOCS = ROOT / "docs" / "images"
SIZES = ((1000, 700), (1400, 900))
THEMES = ("dark", "light")
NETWORKS = {"bad": "sample:nuclei_3d_instance", "good": "sample:nuclei_3d_batch_renorm"}
SHAPE = (32, 160, 192)
#: What the documentation shows.
SHOWN = "dark-1400x900"
PATIENCE = 600.0


def wait(until: Callable[[], object], seconds: float = PATIENCE) -> None:
    """Let the window live until something is so, or the time is over."""
    from qtpy.QtWidgets import QApplication

    end = time.monotonic() + seconds
    while not until() and time.monotonic() < end:
        QApplication.processEvents()
        time.sleep(0.005)


def take(viewer: Viewer, folder: Path, name: str) -> None:
    """Take the window in all themes and sizes."""
    from napari.settings import get_settings

    for theme in THEMES:
        get_settings().appearance.theme = theme
        for width, height in SIZES:
            viewer.window.resize(width, height)
            wait(lambda: False, 1.0)
            path = folder / f"{name}-{theme}-{width}x{height}.png"
            viewer.window.screenshot(str(path), flash=False, canvas_only=False)
            print(path, flush=True)
    shutil.copy(folder / f"{name}-{SHOWN}.png", DOCS / f"{name}.png")


def open_window() -> tuple[Viewer, DiagnoseWidget]:
    """Open a viewer with a sample volume and both widgets."""
    import napari

    from napari_tileseg._qt.diagnose_widget import DiagnoseWidget
    from napari_tileseg._qt.predict_widget import PredictWidget
    from napari_tileseg.samples import nuclei_volume

    viewer = napari.Viewer()
    sample = nuclei_volume(SHAPE)
    place = {"scale": sample.voxel_size, "units": "micrometer", "axis_labels": "zyx"}
    viewer.add_image(sample.image, name="nuclei", **place)
    viewer.add_labels(sample.labels, name="nuclei labels", visible=False, **place)
    viewer.layers.selection = {viewer.layers["nuclei"]}
    predict, diagnose = PredictWidget(viewer), DiagnoseWidget(viewer)
    docked = viewer.window.add_dock_widget(predict, name="Predict", area="right")
    tabbed = viewer.window.add_dock_widget(diagnose, name="Diagnose", area="right")
    docked.parent().tabifyDockWidget(docked, tabbed)
    wait(lambda: False, 0.5)
    tabbed.raise_()
    return viewer, diagnose


def diagnose(folder: Path) -> None:
    """Diagnose with both networks, and go to the worst place."""
    viewer, widget = open_window()
    for name, network in NETWORKS.items():
        known = len(widget.diagnosing.findings)
        widget.session.open_network(network)
        wait(lambda network=network: _has(widget, network) and widget.form.diagnose.isEnabled())
        widget.form.labels.setCurrentIndex(1)
        widget.form.holding.setCurrentIndex(widget.form.holding.findData("instances"))
        widget.form.look_at.setCurrentIndex(widget.form.look_at.findData("everything"))
        widget.form.diagnose.click()
        wait(lambda known=known: len(widget.diagnosing.findings) > known and not widget.diagnosing.running)
        viewer.reset_view()
        if widget.form.panel.places.buttons:
            widget.form.panel.places.buttons[0].click()
        take(viewer, folder, f"diagnose-{name}")
    viewer.close()


def _has(widget: DiagnoseWidget, network: str) -> bool:
    return widget.session.network is not None and widget.session.network.reference.path == network


def main() -> None:
    """Take all pictures, leaving the user's settings and projects alone."""
    folder = Path(sys.argv[1]) if len(sys.argv) > 1 else ROOT / "demo" / "screenshots"
    folder.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory() as home:
        # Both are read when napari and the session are first used.
        os.environ["NAPARI_CONFIG"] = str(Path(home) / "napari.yaml")
        os.environ["TILESEG_HOME"] = home
        diagnose(folder)


if __name__ == "__main__":
    main()
