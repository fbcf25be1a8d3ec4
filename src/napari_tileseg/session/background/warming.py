"""Loading torch, and all that works with it, before it is asked for, so that nobody waits for it."""

from __future__ import annotations

from functools import cache
from importlib import import_module
from threading import Thread

#: Packages of this project whose public names load what lies behind them, in the order a user needs them.
_PACKAGES = ("nets", "engine", "prediction", "diagnosis", "training")
#: What torch loads by itself when a network is first called, and when its graph is first captured.
_LATE = ("torch._dynamo", "torch.export")


@cache
def warm_up() -> Thread:
    """Load in a background thread what the first prediction and the first training need; once a process.

    Returns
    -------
    Thread
        That loads. It is no daemon: a process that ends waits for it, since a library must not be loaded
        into an interpreter that is being taken down.
    """
    thread = Thread(target=_load, name="napari-tileseg loads torch")
    thread.start()
    return thread


def _load() -> None:
    for name in _PACKAGES:
        package = import_module(f"napari_tileseg.{name}")
        for public in package.__all__:
            getattr(package, public)
    for module in _LATE:
        import_module(module)
