"""What a sweep of tile sizes and a receptive field show, in words, tables and figures."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from napari_tileseg.diagnosis.measures.receptive_field import EffectiveField, TheoreticalField
from napari_tileseg.diagnosis.report.figures import curves_figure, field_figure, pictures_figure
from napari_tileseg.diagnosis.report.page import Section, Table
from napari_tileseg.diagnosis.report.sections import number
from napari_tileseg.diagnosis.size_sweep import Sweep


def sweep_sections(sweep: Sweep) -> Iterator[Section]:
    """Yield the parts of the report on a sweep."""
    sizes = [point.size for point in sweep.points]
    labelled = sweep.points[0].dice is not None
    yield Section(title="Sizes", table=sweep_table(sweep))
    mismatch = [
        (name, [point.mismatch.classes[n].tile_mismatch for point in sweep.points])
        for n, name in enumerate(sweep.classes)
    ]
    yield Section(
        title="Mismatch against tile size",
        text=(
            "Two tiles of one size, moved against each other, compared where both have all their context.",
        ),
        figure=curves_figure(sizes, mismatch, "Tile mismatch", "1 - Dice"),
        alt="Tile mismatch of each class against the size of the tile; the table has the numbers.",
    )
    if labelled:
        dice = [
            (name, [point.dice[n] for point in sweep.points if point.dice is not None])
            for n, name in enumerate(sweep.classes)
        ]
        yield Section(
            title="Dice against tile size",
            figure=curves_figure(sizes, dice, "Dice with the labels", "Dice"),
            alt="Dice of each class against the size of the tile; the table has the numbers.",
        )
    yield from _picture_sections(sweep)


def _picture_sections(sweep: Sweep) -> Iterator[Section]:
    for n, name in enumerate(sweep.classes):
        pictures = []
        for point in sweep.points:
            view = point.view[n]
            middle = tuple(size // 2 for size in view.shape[:-2])
            pictures.append((f"tile of {point.size}", np.asarray(view[middle])))
        yield Section(
            title=f"Prediction of {name}",
            text=("The same voxels in the middle of the image, from tiles of each size.",),
            figure=pictures_figure(pictures, name),
            alt=f"The prediction of {name} from tiles of {len(pictures)} sizes.",
        )


def sweep_table(sweep: Sweep) -> Table:
    """Tabulate mismatch and Dice of each size."""
    labelled = sweep.points[0].dice is not None
    headings = ["tile", *(f"mismatch of {name}" for name in sweep.classes), "largest difference"]
    rows = []
    for point in sweep.points:
        row = [str(point.size), *(number(each.tile_mismatch) for each in point.mismatch.classes)]
        rows.append([*row, number(point.mismatch.max_abs_difference), *map(number, point.dice or ())])
    return Table(
        headings=headings + [f"Dice of {name}" for name in sweep.classes] * labelled,
        rows=rows,
    )


def field_sections(theory: TheoreticalField, effective: EffectiveField) -> Iterator[Section]:
    """Yield the parts of the report on a receptive field."""
    yield Section(
        title="Extent",
        text=(theory.reason,) if theory.extent is None else (),
        table=field_table(theory, effective),
    )
    yield Section(
        title="Effective receptive field",
        text=(
            f"Mean absolute gradient of the centre voxel over {effective.tiles} tiles; the dashed box holds "
            f"{effective.share:.0%} of it along each axis.",
        ),
        figure=field_figure(effective.gradient, effective.axes, effective.sides),
        alt="Gradient around the centre voxel, on a logarithmic scale; the table has its extent.",
    )


def field_table(theory: TheoreticalField, effective: EffectiveField) -> Table:
    """Tabulate extent and sides along each axis, as they could be and as they are."""
    rows = []
    for n, axis in enumerate(effective.axes):
        could = "unbounded" if theory.extent is None else str(theory.extent[n])
        sides = "unbounded" if theory.sides is None else " and ".join(map(str, theory.sides[n]))
        rows.append(
            (axis, could, sides, str(effective.extent[n]), " and ".join(map(str, effective.sides[n])))
        )
    headings = ("axis", "theoretical (voxels)", "before and after", "effective (voxels)", "before and after")
    return Table(headings=headings, rows=rows)
