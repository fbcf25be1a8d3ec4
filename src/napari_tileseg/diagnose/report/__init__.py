"""Diagnoses as figures, and as a page that holds them.

Figures are plain `matplotlib.figure.Figure` objects, without a window or global state. matplotlib is loaded
when one is drawn.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from napari_tileseg.diagnose.report.figures import (
        bars_figure,
        curves_figure,
        field_figure,
        histogram_figure,
        map_figure,
        pictures_figure,
        profile_figure,
        tiles_figure,
    )
    from napari_tileseg.diagnose.report.other_sections import field_sections, sweep_sections
    from napari_tileseg.diagnose.report.page import Section, Table, Verdict, html_page, png, write_page
    from napari_tileseg.diagnose.report.places import MapPlane, Place, look_at, map_around
    from napari_tileseg.diagnose.report.sections import Shown, diagnosis_sections, look, verdict_of

_HOMES = {
    "MapPlane": "places",
    "Place": "places",
    "Section": "page",
    "Shown": "sections",
    "Table": "page",
    "Verdict": "page",
    "bars_figure": "figures",
    "curves_figure": "figures",
    "diagnosis_sections": "sections",
    "field_figure": "figures",
    "field_sections": "other_sections",
    "histogram_figure": "figures",
    "html_page": "page",
    "look": "sections",
    "look_at": "places",
    "map_around": "places",
    "map_figure": "figures",
    "pictures_figure": "figures",
    "png": "page",
    "profile_figure": "figures",
    "sweep_sections": "other_sections",
    "tiles_figure": "figures",
    "verdict_of": "sections",
    "write_page": "page",
}
__all__ = [
    "MapPlane",
    "Place",
    "Section",
    "Shown",
    "Table",
    "Verdict",
    "bars_figure",
    "curves_figure",
    "diagnosis_sections",
    "field_figure",
    "field_sections",
    "histogram_figure",
    "html_page",
    "look",
    "look_at",
    "map_around",
    "map_figure",
    "pictures_figure",
    "png",
    "profile_figure",
    "sweep_sections",
    "tiles_figure",
    "verdict_of",
    "write_page",
]


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{_HOMES[name]}"), name)
