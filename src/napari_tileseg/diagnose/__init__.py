"""Where tiles disagree, how much, why, and what to do: functions from predictions to small frozen results.

Importing this package loads no torch: public names are resolved when first used.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from napari_tileseg.diagnose.dice import hard_dice, soft_dice
    from napari_tileseg.diagnose.events import PairDone, TileCompared
    from napari_tileseg.diagnose.mismatch import (
        ClassMismatch,
        Measured,
        Mismatch,
        WorstPlace,
        measure_mismatch,
    )
    from napari_tileseg.diagnose.pairs import PairPlan, TilePair, network_pairs, pairs_between, plan_pairs
    from napari_tileseg.diagnose.regions import RegionPredictor, function_regions, network_regions

_HOMES = {
    "ClassMismatch": "mismatch",
    "Measured": "mismatch",
    "Mismatch": "mismatch",
    "PairDone": "events",
    "PairPlan": "pairs",
    "RegionPredictor": "regions",
    "TileCompared": "events",
    "TilePair": "pairs",
    "WorstPlace": "mismatch",
    "function_regions": "regions",
    "hard_dice": "dice",
    "measure_mismatch": "mismatch",
    "network_pairs": "pairs",
    "network_regions": "regions",
    "pairs_between": "pairs",
    "plan_pairs": "pairs",
    "soft_dice": "dice",
}
__all__ = [
    "ClassMismatch",
    "Measured",
    "Mismatch",
    "PairDone",
    "PairPlan",
    "RegionPredictor",
    "TileCompared",
    "TilePair",
    "WorstPlace",
    "function_regions",
    "hard_dice",
    "measure_mismatch",
    "network_pairs",
    "network_regions",
    "pairs_between",
    "plan_pairs",
    "soft_dice",
]


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{_HOMES[name]}"), name)
