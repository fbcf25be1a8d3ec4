"""Seam-free segmentation of large images, tile by tile.

Importing this package loads neither torch nor Qt: public names are resolved when first used.
"""

from __future__ import annotations

from importlib import import_module
from importlib.metadata import version
from typing import Any

__version__ = version("napari-tileseg")

_HOMES = {
    "Box": "napari_tileseg.tiling",
    "Image": "napari_tileseg.images.image",
    "ImageSettings": "napari_tileseg.settings",
    "NetworkSettings": "napari_tileseg.settings",
    "NetworkSpec": "napari_tileseg.nets.spec",
    "PredictSettings": "napari_tileseg.settings",
    "Session": "napari_tileseg.session",
    "TileGrid": "napari_tileseg.tiling",
    "TilesegError": "napari_tileseg.errors",
    "open_image": "napari_tileseg.images",
    "open_network": "napari_tileseg.nets",
    "predict": "napari_tileseg.predict",
    "predict_to_store": "napari_tileseg.predict",
}
__all__ = [*_HOMES, "__version__"]  # noqa: PLE0604


def __getattr__(name: str) -> Any:
    try:
        home = _HOMES[name]
    except KeyError:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}") from None
    return getattr(import_module(home), name)


def __dir__() -> list[str]:
    return sorted(__all__)
