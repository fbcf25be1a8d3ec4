"""Networks: built by name, opened from files, measured, saved.

Importing this package loads no torch: public names are resolved when first used.
"""

from __future__ import annotations

from importlib import import_module
from typing import Any

_HOMES = {
    "Network": "network",
    "NetworkReference": "network",
    "apply_activation": "activation",
    "open_network": "network",
    "sample_names": "network",
    "save_network": "network",
    "trust": "trust",
}
__all__ = [*_HOMES]


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{_HOMES[name]}"), name)
