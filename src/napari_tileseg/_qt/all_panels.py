"""Opening the panels together."""

from __future__ import annotations

from napari.viewer import Viewer
from qtpy.QtCore import QTimer

PANELS = ("Predict", "Diagnose", "Fine-tune")


def open_panels(viewer: Viewer) -> None:
    """Open all panels in one dock, as tabs, Predict in front.

    Parameters
    ----------
    viewer : napari.viewer.Viewer
        The viewer in whose window they are docked; those that are open already stay as they are.
    """
    window = getattr(viewer, "__wrapped__", viewer).window
    docks = [window.add_plugin_dock_widget("napari-tileseg", name)[0] for name in PANELS]
    for dock in docks:
        dock.show()
    # Each new panel is docked in front of the others, once the event loop runs again.
    QTimer.singleShot(0, docks[0].raise_)
