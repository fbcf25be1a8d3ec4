"""Running a network on tiles of a prepared image, exactly as on the whole image.

Importing this package does not load torch; opening an engine does.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from napari_tileseg.engine.engine import Engine, PaddedImage
from napari_tileseg.engine.lattice import Lattice

if TYPE_CHECKING:
    from napari_tileseg.engine.device import resolve_device
    from napari_tileseg.engine.plain import PlainEngine, open_engine

__all__ = ["Engine", "Lattice", "PaddedImage", "PlainEngine", "open_engine", "resolve_device"]


def __getattr__(name: str) -> Any:
    if name == "resolve_device":
        from napari_tileseg.engine import device

        return device.resolve_device
    if name in {"PlainEngine", "open_engine"}:
        from napari_tileseg.engine import plain

        return getattr(plain, name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
