"""Networks: built by name, opened from files, measured, saved.

Importing this package loads no torch: public names are resolved when first used.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from napari_tileseg.nets.activation import apply_activation
    from napari_tileseg.nets.conversion import renormalize
    from napari_tileseg.nets.network import (
        Network,
        network_in_memory,
        open_network,
        sample_names,
    )
    from napari_tileseg.nets.reference import NetworkReference
    from napari_tileseg.nets.saving import save_described, save_network
    from napari_tileseg.nets.trusted import trust

_HOMES = {
    "Network": "network",
    "NetworkReference": "reference",
    "apply_activation": "activation",
    "network_in_memory": "network",
    "open_network": "network",
    "renormalize": "conversion",
    "sample_names": "network",
    "save_described": "saving",
    "save_network": "saving",
    "trust": "trusted",
}
__all__ = [
    "Network",
    "NetworkReference",
    "apply_activation",
    "network_in_memory",
    "open_network",
    "renormalize",
    "sample_names",
    "save_described",
    "save_network",
    "trust",
]


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{_HOMES[name]}"), name)
