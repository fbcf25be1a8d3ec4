"""How all figures look: readable in print, by the colour-blind, and without colour."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from napari_tileseg.diagnosis.report.matplotlib_check import check_matplotlib

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure
    from matplotlib.patches import Rectangle

#: Two series that nobody confuses (Okabe and Ito 2008), each with its own line and hatch.
SERIES: tuple[dict[str, Any], ...] = (
    {"color": "#0072B2", "linestyle": "-", "marker": "o", "hatch": ""},
    {"color": "#D55E00", "linestyle": "--", "marker": "s", "hatch": "///"},
    {"color": "#009E73", "linestyle": ":", "marker": "^", "hatch": "..."},
    {"color": "#CC79A7", "linestyle": "-.", "marker": "D", "hatch": "xxx"},
)
#: Of differences, in figures and in the viewer. Perceptually uniform: equal steps of a difference look equal.
COLORMAP = "inferno"
_INK = "#222222"


def series(number: int) -> dict[str, Any]:
    """Return the colour, line, marker and hatch of a series; they repeat where there are many."""
    return SERIES[number % len(SERIES)]


def line_of(number: int, *, marker: bool = False) -> dict[str, Any]:
    """Return the colour and line of a series, for `Axes.plot`."""
    return {key: series(number)[key] for key in ("color", "linestyle", *["marker"] * marker)}


def bar_of(number: int) -> dict[str, Any]:
    """Return the colour and hatch of a series, for `Axes.bar`."""
    return {"color": series(number)["color"], "hatch": series(number)["hatch"], "edgecolor": "white"}


def new_figure(width: float = 6.4, height: float = 3.6) -> Figure:
    """Make an empty figure, sized in inches; it belongs to no window and to no global state.

    Raises
    ------
    SettingsError
        If matplotlib is not installed.
    """
    check_matplotlib()
    from matplotlib.figure import Figure

    return Figure(figsize=(width, height), layout="constrained", facecolor="white")


def new_outline(corner: tuple[float, float], width: float, height: float, **look: Any) -> Rectangle:
    """Make a rectangle without a filling; its sizes are in data units of the axes it is added to."""
    from matplotlib.patches import Rectangle

    return Rectangle(corner, width, height, fill=False, **look)


def plain(axes: Axes) -> Axes:
    """Remove what carries no information."""
    axes.spines[["top", "right"]].set_visible(False)
    axes.tick_params(colors=_INK, labelsize=8)
    axes.title.set_fontsize(10)
    axes.xaxis.label.set_fontsize(9)
    axes.yaxis.label.set_fontsize(9)
    return axes
