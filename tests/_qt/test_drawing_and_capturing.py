"""Drawing by OpenGL and capturing a network go together in one process."""

import subprocess
import sys

_DRAW_AND_EXPORT = """
import sys
from qtpy.QtGui import QGuiApplication, QOffscreenSurface, QOpenGLContext
app = QGuiApplication([])
surface = QOffscreenSurface()
surface.create()
context = QOpenGLContext()
assert context.create() and context.makeCurrent(surface)
from napari_tileseg.session.background.worker import Worker

def events():
    import torch
    import torch.export
    torch.export.export(torch.nn.Conv2d(1, 1, 3), (torch.zeros(1, 1, 8, 8),))
    yield "exported"

heard = []
assert Worker(events, heard.append, "tileseg-test").join(120)
print(heard[0], flush=True)
"""


def test_a_network_is_captured_in_a_process_that_draws():
    """Fails by a crash where torch brings triton and Mesa brings LLVM, unless triton is hidden."""
    ended = subprocess.run(
        [sys.executable, "-c", _DRAW_AND_EXPORT], capture_output=True, text=True, timeout=200, check=False
    )
    assert (ended.returncode, ended.stdout) == (0, "exported\n"), ended.stderr[-2000:]
