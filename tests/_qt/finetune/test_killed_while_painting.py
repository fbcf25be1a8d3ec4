"""A real napari is killed after a stroke; the next one offers the stroke."""

import os
import signal
import subprocess
import sys

import numpy as np
import pytest
import torch

from napari_tileseg._napari.images.layer_image import image_of
from napari_tileseg._qt.finetune.widget import FinetuneWidget
from napari_tileseg.nets import Description, open_network, save_network
from napari_tileseg.nets.architectures.registry import build
from napari_tileseg.settings import ImageSettings

_PAINT = """
import sys
import napari
from qtpy.QtCore import QTimer
from napari_tileseg._napari.images.layer_image import image_of
from napari_tileseg._qt.finetune.widget import FinetuneWidget
from napari_tileseg.nets import open_network
from napari_tileseg.samples import cells_image
from napari_tileseg.settings import ImageSettings

cells = cells_image((192, 160))
viewer = napari.Viewer(show=False)
layer = viewer.add_image(cells.image, name="cells", scale=cells.voxel_size, units="micrometer")
widget = FinetuneWidget(viewer)
viewer.window.add_dock_widget(widget)
widget.session.set_image(image_of(layer, ImageSettings()))
widget.session.set_network(open_network(sys.argv[1]))
widget.form.new.click()

def stroke():
    labels = viewer.layers["cells strokes"]
    with labels.block_history():
        for column in range(30, 50):
            labels.paint((40, column), 2)

def told(_):
    # A save may have begun in the middle of the stroke; then another one follows.
    if widget.strokes.settle(0.0):
        print("saved", flush=True)

widget.strokes.saved.connect(told)
QTimer.singleShot(0, stroke)
napari.run(force=True)
"""


@pytest.fixture
def network(tmp_path):
    torch.manual_seed(0)
    arguments = {"ndim": 2, "norm": "batch", "in_channels": 1, "features": (3, 4), "blocks": 1}
    save_network(
        build("unet", **arguments),
        tmp_path / "small.safetensors",
        Description(
            architecture="unet", arguments=arguments, activation="sigmoid", classes=("foreground", "boundary")
        ),
    )
    return tmp_path / "small.safetensors"


def test_a_stroke_is_offered_again_after_a_kill(viewer, network, until, monkeypatch, tmp_path, let_go):
    monkeypatch.setenv("TILESEG_HOME", str(tmp_path / "home"))
    process = subprocess.Popen(
        [sys.executable, "-c", _PAINT, str(network)], stdout=subprocess.PIPE, text=True, env=os.environ
    )
    with process:
        assert process.stdout.readline() == "saved\n"
        process.send_signal(signal.SIGKILL)
    assert process.returncode == -signal.SIGKILL
    widget = FinetuneWidget(viewer)
    viewer.window.add_dock_widget(widget, name="Fine-tune")
    widget.session.set_image(image_of(viewer.layers["cells"], ImageSettings()))
    widget.session.set_network(open_network(network))
    until(lambda: "were saved" in widget.form.offer.text())
    widget.form.open.click()
    until(lambda: "1 stroke" in widget.form.saved.text())
    painted = np.argwhere(np.asarray(viewer.layers["cells strokes"].data))
    assert painted.min(axis=0).tolist() == [39, 29]
    assert painted.max(axis=0).tolist() == [41, 50]
    let_go(widget)
