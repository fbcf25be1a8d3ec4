"""Predicting an image tile by tile: lazily, or into a store that can be resumed.

Importing this package loads no torch: public names are resolved when first used.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from napari_tileseg.predict.events import Noted, PredictEvent, Progress, Saved, Started, TileDone
    from napari_tileseg.predict.labelling import labels
    from napari_tileseg.predict.layout import TilePlan, plan_tiles
    from napari_tileseg.predict.lazy import predict
    from napari_tileseg.predict.order import TileOrder
    from napari_tileseg.predict.ordering import make_order
    from napari_tileseg.predict.plan import Plan, make_plan
    from napari_tileseg.predict.planned import tiles_of
    from napari_tileseg.predict.reader import PredictionStore, open_prediction
    from napari_tileseg.predict.writer import predict_to_store

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
    "labels": "labelling",
    "make_order": "ordering",
    "make_plan": "plan",
    "open_prediction": "reader",
    "plan_tiles": "layout",
    "predict": "lazy",
    "predict_to_store": "writer",
    "tiles_of": "planned",
}
__all__ = [
    "Noted",
    "Plan",
    "PredictEvent",
    "PredictionStore",
    "Progress",
    "Saved",
    "Started",
    "TileDone",
    "TileOrder",
    "TilePlan",
    "labels",
    "make_order",
    "make_plan",
    "open_prediction",
    "plan_tiles",
    "predict",
    "predict_to_store",
    "tiles_of",
]


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{_HOMES[name]}"), name)
