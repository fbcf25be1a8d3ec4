"""Running a network on tiles of a prepared image, exactly as on the whole image.

Importing this package does not load torch; opening an engine does.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

from napari_tileseg.engine.engine import Engine, PaddedImage, Path
from napari_tileseg.engine.lattice import Lattice
from napari_tileseg.engine.seams import judged_by_engine

if TYPE_CHECKING:
    from napari_tileseg.engine.device import resolve_device
    from napari_tileseg.engine.opening import known_path, open_engine, path_of
    from napari_tileseg.engine.plain import PlainEngine
    from napari_tileseg.engine.regional import RegionEngine
    from napari_tileseg.engine.tile_planner import TilePlanner, open_planner

__all__ = [
    "Engine",
    "Lattice",
    "PaddedImage",
    "Path",
    "PlainEngine",
    "RegionEngine",
    "TilePlanner",
    "judged_by_engine",
    "known_path",
    "open_engine",
    "open_planner",
    "path_of",
    "resolve_device",
]

_PLACES = {
    "resolve_device": "device",
    "open_engine": "opening",
    "known_path": "opening",
    "path_of": "opening",
    "open_planner": "tile_planner",
    "TilePlanner": "tile_planner",
    "PlainEngine": "plain",
    "RegionEngine": "regional",
}


def __getattr__(name: str) -> Any:
    if name in _PLACES:
        return getattr(import_module(f"{__name__}.{_PLACES[name]}"), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
