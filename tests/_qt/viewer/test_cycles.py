"""Opening, predicting, cancelling, deleting and closing again and again leaves nothing behind."""

import gc
import threading

import napari
import pytest
from qtpy.QtWidgets import QApplication

from napari_tileseg._qt.predict.widget import PredictWidget
from napari_tileseg.settings import PredictSettings

CYCLES = 3


def cycle(cells, network, until):
    """One visit: predict, cancel, delete a layer, predict on, close while it runs."""
    viewer = napari.Viewer(show=False)
    viewer.add_image(cells.image, name="cells")
    widget = PredictWidget(viewer)
    viewer.window.add_dock_widget(widget, name="Predict")
    widget.session.set_settings(PredictSettings(core=(32, 32)))
    widget.form.network.chosen.emit(network)
    until(lambda: widget.session.readiness.ready)
    widget.form.run.predict.click()
    until(lambda: len(viewer.layers) > 1)
    widget.form.run.cancel.click()
    until(lambda: not widget.session.prediction.running)
    viewer.layers.pop()
    widget.form.run.predict.click()
    viewer.close()


@pytest.mark.usefixtures("qapp")
def test_cycles_leave_no_thread_and_no_widget(cells, until, predict_widgets):
    # What a test before left to the garbage collector is none of these cycles.
    before = predict_widgets()
    for _ in range(CYCLES):
        cycle(cells, "sample:cells_2d_batch_renorm", until)
    until(lambda: not [t for t in threading.enumerate() if t.name.startswith("tileseg-")])
    gc.collect()
    QApplication.processEvents()
    until(lambda: predict_widgets() <= before)
