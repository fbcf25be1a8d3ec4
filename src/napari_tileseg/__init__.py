"""Seam-free segmentation of large images, tile by tile.

Importing this package loads neither torch nor Qt: public names are resolved when first used.
"""

from __future__ import annotations

from importlib import import_module
from importlib.metadata import version
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from napari_tileseg.errors import TilesegError
    from napari_tileseg.images import Image, open_image
    from napari_tileseg.nets import Network, open_network, save_network
    from napari_tileseg.nets.spec import NetworkSpec
    from napari_tileseg.predict import make_plan, open_prediction, predict_to_store
    from napari_tileseg.session import Session
    from napari_tileseg.settings import ImageSettings, NetworkSettings, PredictSettings
    from napari_tileseg.tiling import Box, TileGrid

__version__ = version("napari-tileseg")

# `predict` is not among them: here that name is the package, which holds the function.
_HOMES = {
    "Box": "tiling",
    "Image": "images",
    "ImageSettings": "settings",
    "Network": "nets",
    "NetworkSettings": "settings",
    "NetworkSpec": "nets.spec",
    "PredictSettings": "settings",
    "Session": "session",
    "TileGrid": "tiling",
    "TilesegError": "errors",
    "make_plan": "predict",
    "open_image": "images",
    "open_network": "nets",
    "open_prediction": "predict",
    "predict_to_store": "predict",
    "save_network": "nets",
}
__all__ = [
    "Box",
    "Image",
    "ImageSettings",
    "Network",
    "NetworkSettings",
    "NetworkSpec",
    "PredictSettings",
    "Session",
    "TileGrid",
    "TilesegError",
    "__version__",
    "make_plan",
    "open_image",
    "open_network",
    "open_prediction",
    "predict_to_store",
    "save_network",
]


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{_HOMES[name]}"), name)


def __dir__() -> list[str]:
    return sorted(__all__)
