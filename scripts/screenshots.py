"""Take the pictures of the dock widgets, to be looked at and for the documentation.

    scripts/with_display.sh .venv/bin/python scripts/screenshots.py [diagnose] [cure] [teach] [--out FOLDER]

Writes into FOLDER (``demo/screenshots`` by default), in both themes of napari and in two sizes of window, and
replaces the pictures that the documentation shows. ``diagnose`` is the Diagnose widget with a network that
makes seams and with one that does not; ``cure`` is *Try it* on a volume in empty surroundings; ``teach`` is a
round of fine-tuning on a real volume, of BBBC050 in ``TILESEG_DATA``.
"""

from __future__ import annotations

import argparse
import os
import shutil
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import numpy as np
    from napari.viewer import Viewer

    from napari_tileseg._qt.diagnose.widget import DiagnoseWidget
    from napari_tileseg._qt.finetune.widget import FinetuneWidget
    from napari_tileseg._qt.predict.widget import PredictWidget
    from napari_tileseg._qt.viewer.dock_panel import DockPanel
    from napari_tileseg.samples import Sample

ROOT = Path(__file__).resolve().parents[1]
DOCS = ROOT / "docs" / "images"
SIZES = ((1000, 700), (1400, 900))
THEMES = ("dark", "light")
NETWORKS = {"bad": "sample:nuclei_3d_instance", "good": "sample:nuclei_3d_batch_renorm"}
SHAPE = (32, 160, 192)
#: Several tiles an image: the core that memory allows would hold it whole, and there could be no seam.
CORE = (32, 64, 64)
#: Voxels of what is put into empty surroundings, and of the core there: all that is in view is tried.
PLACED, PLACED_CORE, TIMES = (24, 128, 128), (24, 64, 64), 9
#: Gamma in which surroundings can be seen beside nuclei.
FAINT = 0.5
#: Volume that is taught on, the network that is wrong on it, strokes of each round, and the plane in view.
VOLUME, WRONG, STROKES, PLANE = "Emb02_t501", "sample:nuclei_3d_instance", 24, 24
#: Of training; `docs/teach.md` names them.
MINUTES = 3
TABS = {"PredictWidget": "Predict", "DiagnoseWidget": "Diagnose", "FinetuneWidget": "Fine-tune"}
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


def take(viewer: Viewer, folder: Path, name: str, *, whole: bool = False) -> None:
    """Take the window in all themes and sizes; `whole` puts the whole image into view."""
    from napari.settings import get_settings

    for theme in THEMES:
        get_settings().appearance.theme = theme
        for width, height in SIZES:
            viewer.window.resize(width, height)
            wait(lambda: False, 0.5)
            if whole:
                viewer.reset_view()
            wait(lambda: False, 0.5)
            path = folder / f"{name}-{theme}-{width}x{height}.png"
            viewer.window.screenshot(str(path), flash=False, canvas_only=False)
            print(path, *below_the_edge(viewer), flush=True)
    shutil.copy(folder / f"{name}-{SHOWN}.png", DOCS / f"{name}.png")


def below_the_edge(viewer: Viewer) -> list[str]:
    """Name the panels in view that have to be scrolled, with the pixels below the window's edge."""
    from napari_tileseg._qt.viewer.dock_panel import DockPanel

    panels = viewer.window._qt_window.findChildren(DockPanel)
    hidden = {type(each).__name__: each.verticalScrollBar().maximum() for each in panels if each.isVisible()}
    return [f"{name}: {pixels} px below the edge" for name, pixels in hidden.items() if pixels]


def open_window(sample: Sample) -> tuple[Viewer, DiagnoseWidget]:
    """Open a viewer with a sample and its labels, and both widgets."""
    import napari

    from napari_tileseg._qt.diagnose.widget import DiagnoseWidget
    from napari_tileseg._qt.predict.widget import PredictWidget

    viewer = napari.Viewer()
    place = {"scale": sample.voxel_size, "units": "micrometer", "axis_labels": "zyx"}
    viewer.add_image(sample.image, name="nuclei", **place)
    viewer.add_labels(sample.labels, name="nuclei labels", visible=False, **place)
    viewer.layers.selection = {viewer.layers["nuclei"]}
    predict, diagnose = PredictWidget(viewer), DiagnoseWidget(viewer)
    dock(viewer, predict, diagnose)
    raise_(diagnose)
    return viewer, diagnose


def dock(viewer: Viewer, *widgets: DockPanel) -> None:
    """Put widgets into one place, as tabs."""
    docks = [
        viewer.window.add_dock_widget(each, name=TABS[type(each).__name__], area="right") for each in widgets
    ]
    for each in docks[1:]:
        docks[0].parent().tabifyDockWidget(docks[0], each)


def raise_(widget: DockPanel) -> None:
    """Bring a widget's tab to the front."""
    wait(lambda: False, 0.5)
    widget.parentWidget().raise_()


def diagnose(folder: Path) -> None:
    """Diagnose with both networks, and go to the worst place."""
    from qtpy.QtWidgets import QPushButton

    from napari_tileseg.samples import nuclei_volume
    from napari_tileseg.settings import PredictSettings

    viewer, widget = open_window(nuclei_volume(SHAPE))
    widget.session.set_settings(PredictSettings(core=CORE, statistics="tile"))
    for name, network in NETWORKS.items():
        widget.form.look_at.setCurrentIndex(widget.form.look_at.findData("everything"))
        diagnose_with(widget, network)
        viewer.reset_view()
        places = widget.form.panel.places
        for go in [each for each in places.findChildren(QPushButton) if each.isVisibleTo(places)][:1]:
            go.click()
        take(viewer, folder, f"diagnose-{name}")
    viewer.close()


def diagnose_with(widget: DiagnoseWidget, network: str) -> None:
    """Diagnose with a network and the labels, and wait for what is found."""
    known, form = len(widget.diagnosing.findings), widget.form
    widget.session.network_choice.open(network)
    wait(lambda: _has(widget, network) and form.diagnose.isEnabled())
    form.labels.setCurrentIndex(1)
    form.holding.setCurrentIndex(form.holding.findData("instances"))
    form.diagnose.click()
    wait(lambda: len(widget.diagnosing.findings) > known and not widget.diagnosing.running)


def cure(folder: Path) -> None:
    """Try the cure on a volume in empty surroundings, and look at what is in view before and after."""
    from napari_tileseg.settings import PredictSettings

    viewer, widget = open_window(in_empty_surroundings())
    widget.session.set_settings(PredictSettings(core=PLACED_CORE, statistics="tile"))
    widget.form.look_at.setCurrentIndex(widget.form.look_at.findData("sample"))
    diagnose_with(widget, NETWORKS["bad"])
    nuclei, known = viewer.layers["nuclei"], set(viewer.layers)
    nuclei.gamma = FAINT
    viewer.dims.set_point(0, _busiest(viewer.layers["nuclei labels"].data) * nuclei.scale[0])
    panel = widget.form.panel
    panel.try_it.click()
    wait(lambda: panel.tabs.currentWidget() is panel.trial and not widget.diagnosing.running)
    for layer in known - {nuclei}:
        layer.visible = False
    for show, name in ((panel.trial.before, "before"), (panel.trial.after, "after")):
        show.click()
        take(viewer, folder, f"cure-{name}", whole=True)
    viewer.close()


def in_empty_surroundings() -> Sample:
    """A small sample in the middle of background that is drawn from its own dark voxels."""
    import numpy as np

    from napari_tileseg.samples import nuclei_volume

    sys.path.insert(0, str(ROOT / "benchmarks"))
    from surroundings import placed, sample_volume

    sample = nuclei_volume(PLACED)
    scene = placed(sample_volume(sample), TIMES)
    labels = np.zeros(scene.image.shape, sample.labels.dtype)
    labels[scene.place.slices] = sample.labels
    return replace(sample, image=np.asarray(scene.image.data), labels=labels)


def teach(folder: Path) -> None:
    """See that a network is wrong, paint, train, and keep what was learned."""
    import napari

    from napari_tileseg._qt.finetune.widget import FinetuneWidget
    from napari_tileseg._qt.predict.widget import PredictWidget

    sys.path.insert(0, str(ROOT / "benchmarks"))
    from embryos import embryo

    volume, viewer = embryo(VOLUME), napari.Viewer()
    voxels = volume.image.data
    viewer.add_image(
        voxels, name="embryo", scale=volume.image.voxel_size, units="micrometer", axis_labels="zyx"
    )
    predict, tune = PredictWidget(viewer), FinetuneWidget(viewer)
    dock(viewer, predict, tune)
    viewer.dims.set_point(0, PLANE * volume.image.voxel_size[0])
    found = predict_whole(predict, WRONG)
    take(viewer, folder, "teach-1-wrong", whole=True)
    raise_(tune)
    tune.form.new.click()
    paint_worst(viewer, found, volume.truth)
    wait(lambda: "saved" in tune.form.saved.text().lower())
    take(viewer, folder, "teach-2-painted", whole=True)
    learn(viewer, tune, folder)
    for layer in viewer.layers[1:]:
        layer.visible = False
    predict_whole(predict, None)
    raise_(predict)
    take(viewer, folder, "teach-5-after", whole=True)
    viewer.close()


def predict_whole(widget: PredictWidget, network: str | None) -> np.ndarray:
    """Predict with a network, the session's by default, and return the probabilities."""
    session, known = widget.session, len(widget.session.results.all)
    if network is not None:
        session.network_choice.open(network)
    wait(lambda: session.readiness.ready and not session.prediction.running)
    widget.form.run.predict.click()
    wait(
        lambda: (
            len(session.results.all) > known
            and session.results.all[-1].complete
            and not session.prediction.running
        )
    )
    import numpy as np

    from napari_tileseg.prediction import open_prediction

    return np.asarray(open_prediction(session.results.all[-1].path).view())


def paint_worst(viewer: Viewer, found: np.ndarray, truth: np.ndarray) -> None:
    """Paint strokes where a prediction is most wrong, as with a brush of one voxel."""
    import numpy as np
    from painting import paint

    layer = viewer.layers.selection.active
    strokes, _ = paint(found, truth, np.zeros(truth.shape, np.uint8), STROKES)
    layer.brush_size = 1
    for place in np.argwhere(strokes):
        layer.paint(place, int(strokes[tuple(place)]))
    viewer.dims.set_point(0, _busiest(strokes) * layer.scale[0])


def _busiest(labels: np.ndarray) -> int:
    return int((labels > 0).sum(axis=(1, 2)).argmax())


def learn(viewer: Viewer, widget: FinetuneWidget, folder: Path) -> None:
    """Train, and keep the best weights."""
    from napari_tileseg.training import StepDone

    finetuner, form = widget.finetuner, widget.form
    half = []

    def hear(event: object) -> None:
        if isinstance(event, StepDone) and 2 * event.step >= event.total > 0:
            half.append(event)

    finetuner.reported.connect(hear)
    minutes = form.train.form.editors["minutes"]
    minutes.setText(str(MINUTES))
    minutes.editingFinished.emit()
    form.start.click()
    wait(lambda: half)
    take(viewer, folder, "teach-3-training", whole=True)
    wait(lambda: finetuner.state == "deciding")
    wait(lambda: False, 2.0)
    take(viewer, folder, "teach-4-decide", whole=True)
    former = widget.session.network
    form.decision.best.click()
    wait(lambda: widget.session.network is not former and widget.session.readiness.ready)


def _has(widget: DiagnoseWidget, network: str) -> bool:
    return widget.session.network is not None and widget.session.network.reference.path == network


PARTS = {"diagnose": diagnose, "cure": cure, "teach": teach}


def main() -> None:
    """Take the pictures that are asked for, leaving the user's settings and projects alone."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("parts", nargs="*", metavar="PART", help=f"of {', '.join(PARTS)}; all by default")
    parser.add_argument("--out", type=Path, default=ROOT / "demo" / "screenshots", help="folder")
    given = parser.parse_args()
    given.out.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory() as home:
        # Both are read when napari and the session are first used.
        os.environ["NAPARI_CONFIG"] = str(Path(home) / "napari.yaml")
        os.environ["TILESEG_HOME"] = home
        for part in given.parts or PARTS:
            PARTS[part](given.out)


if __name__ == "__main__":
    main()
