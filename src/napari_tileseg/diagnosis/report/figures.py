"""Figures of a diagnosis. Each is a matplotlib `Figure` that can be put into a page, a file or a window."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from napari_tileseg._types import Array
from napari_tileseg.diagnosis.measured import Histogram
from napari_tileseg.diagnosis.report.pair_view import MapPlane, PairView
from napari_tileseg.diagnosis.report.style import (
    COLORMAP,
    bar_of,
    line_of,
    new_figure,
    new_outline,
    plain,
    series,
)
from napari_tileseg.tiling import Box

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure
    from matplotlib.patches import Rectangle


def map_figure(plane: MapPlane) -> Figure:
    """Draw the difference over the image: brighter where tilings disagree more, clear where they agree."""
    figure = new_figure(6.0, 5.0)
    axes = figure.add_subplot()
    extent = _extent(plane.origin[-2:], plane.image)
    low, high = np.percentile(plane.image, (1, 99.8))
    axes.imshow(plane.image, cmap="gray", vmin=low, vmax=max(high, low + 1e-6), extent=extent)
    top = max(float(plane.difference.max()), 1e-6)
    visible = np.clip(plane.difference / top, 0, 1) ** 0.5
    picture = axes.imshow(
        plane.difference, cmap=COLORMAP, vmin=0, vmax=top, alpha=visible.astype(float), extent=extent
    )
    bar = figure.colorbar(picture, ax=axes, shrink=0.85, label="absolute difference")
    if bar.solids is not None:
        bar.solids.set_alpha(1)
    _name_axes(axes, plane.axes)
    axes.set_title(f"Difference of two tilings, largest {plane.difference.max():.2g}")
    return figure


def tiles_figure(pair: PairView) -> Figure:
    """Draw the image and the predictions of two tiles, with their borders and the line of the profile."""
    figure = new_figure(9.6, 3.4)
    panels = figure.subplots(1, 3)
    rows, columns = pair.plane
    extent = _extent((pair.origin[rows], pair.origin[columns]), pair.image)
    pictures = ((pair.image, "image"), (pair.first, "first tile"), (pair.second, "second tile"))
    for axes, (values, title) in zip(panels, pictures, strict=True):
        limits = {} if values is pair.image else {"vmin": 0.0, "vmax": 1.0}
        cmap = "gray" if values is pair.image else "viridis"
        picture = axes.imshow(values, cmap=cmap, extent=extent, **limits)
        for number, tile in enumerate(pair.tiles):
            axes.add_patch(_outline(tile, pair.plane, number))
        _name_axes(axes, pair.axes)
        axes.plot(pair.point[columns] + 0.5, pair.point[rows] + 0.5, "+", color="white", markersize=12)
        axes.set_title(title)
    figure.colorbar(picture, ax=panels, shrink=0.85, label=f"probability of {pair.class_name}")
    return figure


def _outline(tile: Box, plane: tuple[int, int], number: int) -> Rectangle:
    rows, columns = plane
    return new_outline(
        (tile.start[columns], tile.start[rows]),
        tile.shape[columns],
        tile.shape[rows],
        linewidth=1.6,
        color=series(number)["color"],
        linestyle=series(number)["linestyle"],
    )


def profile_figure(pair: PairView) -> Figure:
    """Draw both predictions on a line across the tiles' borders; grey is where both should be right."""
    figure = new_figure()
    axes = plain(figure.add_subplot())
    where, first, second = pair.profile
    axes.axvspan(*pair.valid, color="#eeeeee", zorder=0, label="compared")
    for number, (values, name) in enumerate(((first, "first tile"), (second, "second tile"))):
        axes.plot(where + 0.5, values, label=name, linewidth=1.5, **line_of(number))
    moved = pair.axes[pair.along]
    axes.set(xlabel=f"{moved} (voxels)", ylabel=f"probability of {pair.class_name}", ylim=(-0.02, 1.02))
    axes.set_title(f"Both predictions on a line along {moved}")
    axes.legend(frameon=False, fontsize=8)
    return figure


def histogram_figure(histogram: Histogram, tolerance: float) -> Figure:
    """Draw how many compared values differ by how much, on logarithmic scales."""
    figure = new_figure()
    axes = plain(figure.add_subplot())
    edges = np.array(histogram.edges)
    # The first bin begins at 0, which a logarithmic axis does not have.
    edges[0] = edges[1] / 10
    axes.bar(edges[:-1], histogram.counts, np.diff(edges), align="edge", **(bar_of(0) | {"linewidth": 0.3}))
    axes.axvline(tolerance, color="black", linestyle="--", linewidth=1)
    words: dict[str, Any] = {"fontsize": 7, "ha": "right", "va": "bottom"}
    axes.text(tolerance, 1.0, "rounding explains this ", transform=axes.get_xaxis_transform(), **words)
    axes.set_xscale("log")
    axes.set_yscale("symlog")
    axes.set(xlabel="absolute difference", ylabel="values", ylim=(0, None))
    axes.set_title("How many values differ by how much", pad=14)
    return figure


def bars_figure(
    names: Sequence[str], groups: Sequence[tuple[str, Sequence[float | None]]], title: str, label: str
) -> Figure:
    """Draw bars side by side for each class, with their numbers; what was not measured has no bar.

    Parameters
    ----------
    names : sequence of str
        The classes.
    groups : sequence of (str, sequence of float or None)
        Name of each series, and its value for each class.
    title, label : str
        Of the figure, and of its upright axis.
    """
    figure = new_figure()
    axes = plain(figure.add_subplot())
    width, centres = 0.8 / len(groups), np.arange(len(names))
    for number, (name, values) in enumerate(groups):
        known = [np.nan if value is None else value for value in values]
        left = centres + (number - (len(groups) - 1) / 2) * width
        drawn = axes.bar(left, known, width * 0.95, label=name, **bar_of(number))
        texts = ["" if value is None else f"{value:.3g}" for value in values]
        axes.bar_label(drawn, texts, fontsize=8, padding=2)
    axes.set_xticks(centres, names)
    axes.set(ylabel=label)
    axes.set_title(title)
    axes.margins(y=0.15)
    axes.set_ylim(bottom=0)
    axes.legend(frameon=False, fontsize=8)
    return figure


def curves_figure(
    sizes: Sequence[float], curves: Sequence[tuple[str, Sequence[float]]], title: str, label: str
) -> Figure:
    """Draw a measure of each class against the size of the tiles."""
    figure = new_figure()
    axes = plain(figure.add_subplot())
    for number, (name, values) in enumerate(curves):
        axes.plot(sizes, values, label=name, **line_of(number, marker=True))
    axes.set(xlabel="tile (voxels along each axis, halo included)", ylabel=label)
    axes.set_xticks(sizes)
    axes.set_title(title)
    axes.set_ylim(bottom=0)
    axes.legend(frameon=False, fontsize=8)
    return figure


def pictures_figure(pictures: Sequence[tuple[str, Array]], title: str) -> Figure:
    """Draw planes of probabilities side by side, on one scale."""
    figure = new_figure(max(4.0, 2.2 * len(pictures) + 0.8), 2.9)
    panels = np.atleast_1d(figure.subplots(1, len(pictures)))
    for axes, (name, values) in zip(panels, pictures, strict=True):
        drawn = axes.imshow(values, cmap="viridis", vmin=0, vmax=1)
        axes.set_axis_off()
        axes.set_title(name, fontsize=9)
    figure.colorbar(drawn, ax=list(panels), shrink=0.8, label="probability")
    figure.suptitle(title, fontsize=10)
    return figure


def field_figure(gradient: Array, axes_names: str, sides: Sequence[tuple[int, int]]) -> Figure:
    """Draw the effective receptive field in the plane of its centre, logarithmic, with its extent."""
    figure = new_figure(6.0, 5.0)
    axes = figure.add_subplot()
    centre = tuple(n // 2 for n in gradient.shape)
    plane = gradient[centre[:-2]]
    floor = max(float(plane.max()), 1e-30) * 1e-4
    rows, columns = (centre[-2], centre[-1])
    extent = (-columns - 0.5, plane.shape[1] - columns - 0.5, plane.shape[0] - rows - 0.5, -rows - 0.5)
    picture = axes.imshow(np.log10(np.maximum(plane, floor) / plane.max()), cmap=COLORMAP, extent=extent)
    figure.colorbar(picture, ax=axes, shrink=0.85, label="log10 of the gradient over its largest")
    (above, below), (left, right) = sides[-2:]
    box = new_outline((-left - 0.5, -above - 0.5), left + right + 1, above + below + 1)
    box.set(edgecolor="white", linestyle="--", linewidth=1.5)
    axes.add_patch(box)
    _name_axes(axes, axes_names[-2:])
    axes.set_title("What the centre voxel depends on (dashed: the effective field)")
    return figure


def _extent(origin: Sequence[int], values: Array) -> tuple[float, float, float, float]:
    """Return the edges of a picture in voxels of the image, rows downward."""
    (top, left), (height, width) = origin, values.shape
    return float(left), float(left + width), float(top + height), float(top)


def _name_axes(axes: Axes, names: str) -> None:
    plain(axes).set(ylabel=f"{names[0]} (voxels)", xlabel=f"{names[1]} (voxels)")
