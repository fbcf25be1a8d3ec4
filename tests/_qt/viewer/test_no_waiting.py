"""What takes long is done before it is asked for, or beside the window."""

import subprocess
import sys
import threading

import pytest
from qtpy.QtCore import QTimer

from napari_tileseg._napari.files import samples
from napari_tileseg._qt import sample_data
from napari_tileseg._qt.predict.widget import PredictWidget
from napari_tileseg.session.background.warming import warm_up


@pytest.mark.usefixtures("qapp")
@pytest.mark.parametrize("name", ["nuclei", "cells"])
def test_the_window_lives_while_a_sample_is_made(name, monkeypatch):
    beaten, threads = threading.Event(), []

    def made():
        threads.append(threading.current_thread())
        assert beaten.wait(60)
        return [name]

    monkeypatch.setattr(samples, name, made)
    QTimer.singleShot(0, beaten.set)
    assert getattr(sample_data, name)() == [name]
    assert threads[0] is not threading.main_thread()


@pytest.mark.usefixtures("qapp")
def test_what_goes_wrong_with_a_sample_is_raised(monkeypatch):
    def fails():
        raise MemoryError("too much")

    monkeypatch.setattr(samples, "cells", fails)
    with pytest.raises(MemoryError, match="too much"):
        sample_data.cells()


def test_without_a_window_a_sample_is_made_at_once():
    code = "from napari_tileseg._qt.sample_data import cells; print(cells()[0][0].shape)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "(1024, 1024)"


def test_a_panel_has_torch_loaded_beside_the_window(viewer, let_go):
    widget = PredictWidget(viewer)
    thread = warm_up()
    assert thread is warm_up()
    assert thread is not threading.main_thread()
    thread.join(300)
    assert {"torch", "torch._dynamo", "napari_tileseg.prediction.writer"} <= set(sys.modules)
    let_go(widget)
