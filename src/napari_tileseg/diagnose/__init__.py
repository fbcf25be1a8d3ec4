"""Where tiles disagree, how much, why, and what to do: functions from predictions to small frozen results.

Importing this package loads no torch: public names are resolved when first used.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from napari_tileseg.diagnose.disparity import (
        ClassDisparity,
        Disparity,
        DisparityMeasured,
        Switch,
        measure_disparity,
        switch_of,
        with_batch_statistics,
    )
    from napari_tileseg.diagnose.events import PairDone, TileCompared
    from napari_tileseg.diagnose.grid_pairs import moved_grid
    from napari_tileseg.diagnose.heatmap import (
        coarse_map,
        disparity_heatmap,
        heatmap_pairs,
        mismatch_heatmap,
    )
    from napari_tileseg.diagnose.mismatch import (
        ClassMismatch,
        Measured,
        Mismatch,
        WorstPlace,
        measure_mismatch,
    )
    from napari_tileseg.diagnose.pairs import PairPlan, TilePair, network_pairs, pairs_between, plan_pairs
    from napari_tileseg.diagnose.quality import (
        ClassQuality,
        ImageQuality,
        Quality,
        compare_with_labels,
        summarize,
    )
    from napari_tileseg.diagnose.regions import RegionPredictor, function_regions, network_regions

_HOMES = {
    "ClassDisparity": "disparity",
    "ClassMismatch": "mismatch",
    "ClassQuality": "quality",
    "Disparity": "disparity",
    "DisparityMeasured": "disparity",
    "ImageQuality": "quality",
    "Measured": "mismatch",
    "Mismatch": "mismatch",
    "PairDone": "events",
    "PairPlan": "pairs",
    "Quality": "quality",
    "RegionPredictor": "regions",
    "Switch": "disparity",
    "TileCompared": "events",
    "TilePair": "pairs",
    "WorstPlace": "mismatch",
    "coarse_map": "heatmap",
    "compare_with_labels": "quality",
    "disparity_heatmap": "heatmap",
    "function_regions": "regions",
    "heatmap_pairs": "heatmap",
    "measure_disparity": "disparity",
    "measure_mismatch": "mismatch",
    "mismatch_heatmap": "heatmap",
    "moved_grid": "grid_pairs",
    "network_pairs": "pairs",
    "network_regions": "regions",
    "pairs_between": "pairs",
    "plan_pairs": "pairs",
    "summarize": "quality",
    "switch_of": "disparity",
    "with_batch_statistics": "disparity",
}
__all__ = [
    "ClassDisparity",
    "ClassMismatch",
    "ClassQuality",
    "Disparity",
    "DisparityMeasured",
    "ImageQuality",
    "Measured",
    "Mismatch",
    "PairDone",
    "PairPlan",
    "Quality",
    "RegionPredictor",
    "Switch",
    "TileCompared",
    "TilePair",
    "WorstPlace",
    "coarse_map",
    "compare_with_labels",
    "disparity_heatmap",
    "function_regions",
    "heatmap_pairs",
    "measure_disparity",
    "measure_mismatch",
    "mismatch_heatmap",
    "moved_grid",
    "network_pairs",
    "network_regions",
    "pairs_between",
    "plan_pairs",
    "summarize",
    "switch_of",
    "with_batch_statistics",
]


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{_HOMES[name]}"), name)
