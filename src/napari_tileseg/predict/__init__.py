"""Predicting an image tile by tile: lazily, or into a store that can be resumed.

Importing this package loads no torch: public names are resolved when first used.
"""

from __future__ import annotations

from importlib import import_module
from typing import Any

_HOMES = {
    "Noted": "events",
    "Plan": "plan",
    "PredictEvent": "events",
    "PredictionStore": "reader",
    "Progress": "events",
    "Saved": "events",
    "Started": "events",
    "TileDone": "events",
    "TileOrder": "order",
    "TilePlan": "layout",
    "labels": "labels",
    "make_plan": "plan",
    "open_prediction": "reader",
    "plan_tiles": "layout",
    "predict": "lazy",
    "predict_to_store": "writer",
}
__all__ = [*_HOMES]


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{_HOMES[name]}"), name)
