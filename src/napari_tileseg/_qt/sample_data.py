"""Sample data for napari's menu, made while the window stays responsive."""

from __future__ import annotations

from concurrent.futures import Future, ThreadPoolExecutor
from importlib import import_module
from typing import Any

from pint import get_application_registry
from qtpy.QtCore import QCoreApplication, QEventLoop, QObject, Qt, QThread, Signal

LayerData = tuple[Any, dict[str, Any], str]


def nuclei() -> list[LayerData]:
    """Return synthetic nuclei in a volume, 64 x 256 x 256 voxels, with their labels."""
    return in_background("nuclei")


def cells() -> list[LayerData]:
    """Return synthetic cells in a flat image, 1024 x 1024 pixels, with their labels."""
    return in_background("cells")


class _Done(QObject):
    """Brings the end of a thread's work to the interface's thread."""

    came = Signal()


def in_background(name: str) -> list[LayerData]:
    """Make a sample in another thread and wait for it in the event loop, where there is one.

    napari takes sample data as what a function returns. The window draws meanwhile; what the user presses
    waits until the data are there.

    Parameters
    ----------
    name : str
        Of a function of `napari_tileseg._napari.files.samples`.
    """
    application = QCoreApplication.instance()
    if application is None or application.thread() != QThread.currentThread():
        return _make(name)
    loop, done = QEventLoop(), _Done()
    done.came.connect(loop.quit, Qt.ConnectionType.QueuedConnection)  # type: ignore[call-arg]
    with ThreadPoolExecutor(1, thread_name_prefix="tileseg-sample") as executor:
        future: Future[list[LayerData]] = executor.submit(_make, name)
        future.add_done_callback(lambda _: done.came.emit())
        loop.exec(QEventLoop.ProcessEventsFlag.ExcludeUserInputEvents)
    return future.result()


def _make(name: str) -> list[LayerData]:
    """Make a sample; what makes it, and napari's units for it, are loaded here, as that takes as long."""
    get_application_registry().Unit("micrometer")  # type: ignore[no-untyped-call]
    made: list[LayerData] = getattr(import_module("napari_tileseg._napari.files.samples"), name)()
    return made
