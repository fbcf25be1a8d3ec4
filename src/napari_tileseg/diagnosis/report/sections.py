"""What a diagnosis found, in words, tables and figures."""

from __future__ import annotations

from collections.abc import Generator, Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from napari_tileseg._progress import Progress
from napari_tileseg.diagnosis.report.figures import (
    bars_figure,
    histogram_figure,
    map_figure,
    profile_figure,
    tiles_figure,
)
from napari_tileseg.diagnosis.report.page import Section, Table, Verdict
from napari_tileseg.diagnosis.report.pair_view import MapPlane, PairView, map_around, view_pair
from napari_tileseg.diagnosis.result import ClassDiagnosis, Diagnosis
from napari_tileseg.errors import SettingsError

if TYPE_CHECKING:
    from napari_tileseg.prediction.plan.plan import Plan


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Pictures:
    """What was computed for the figures.

    Parameters
    ----------
    pair : PairView or None
        The worst place, or any where there is none; None where no tiles were compared.
    plane : MapPlane or None
        Heatmap around it.
    without : str
        Why there is no heatmap, or "".
    """

    pair: PairView | None
    plane: MapPlane | None
    without: str = ""


def collect_pictures(plan: Plan, diagnosis: Diagnosis) -> Generator[Progress, None, Pictures]:
    """Predict again what the figures of a report show.

    Yields
    ------
    Progress
        One for each tile of the heatmap.

    Returns
    -------
    Shown
        What the figures show.

    Raises
    ------
    NetworkError, DeviceError
        If a tile cannot be predicted.
    """
    pair = view_pair(plan, diagnosis.mismatch)
    plane, without = None, ""
    if pair is None:
        return Pictures(pair=None, plane=None, without=f"{diagnosis.mismatch.compared}.")
    try:
        plane = yield from map_around(plan, diagnosis.mismatch, pair.point)
    except SettingsError as error:
        without = str(error)
    return Pictures(pair=pair, plane=plane, without=without)


def verdict_of(diagnosis: Diagnosis) -> Verdict:
    """Return the result in one sentence."""
    mismatch, largest = diagnosis.mismatch, diagnosis.max_abs_difference
    pairs = f"{mismatch.pairs} of {mismatch.total} pairs of tiles were compared"
    if diagnosis.seam_free and not mismatch.pairs:
        return Verdict(words=f"Seam-free: {mismatch.compared}.", good=True)
    if diagnosis.seam_free:
        words = (
            f"Seam-free: tiles agree. {pairs}; the largest difference is {largest:.2g}, which is rounding."
        )
        return Verdict(words=words, good=True)
    return Verdict(
        words=f"Not seam-free: the same voxel differs by up to {largest:.2g} between two tiles. {pairs}.",
        good=False,
    )


def diagnosis_sections(diagnosis: Diagnosis, pictures: Pictures) -> Iterator[Section]:
    """Yield the parts of the report on a diagnosis."""
    yield Section(
        title="Cause and cure",
        text=(diagnosis.audit.cause, diagnosis.audit.cure),
        table=_causes(diagnosis) if diagnosis.audit.causes else None,
    )
    yield Section(
        title="Classes", text=tuple(_about_classes(diagnosis)), table=class_table(diagnosis.classes)
    )
    yield _map_section(pictures, diagnosis)
    if pictures.pair is not None:
        yield from _pair_sections(pictures.pair, "A place" if diagnosis.seam_free else "Worst place")
        yield _histogram_section(diagnosis)
    yield _disparity_section(diagnosis)
    if diagnosis.labelled:
        yield _quality_section(diagnosis.classes)
    yield Section(title="How it was measured", table=_method(diagnosis))


def class_table(classes: Sequence[ClassDiagnosis]) -> Table:
    """Tabulate both indicators of each class, and, with labels, Dice."""
    labelled = any(each.dice_eval is not None for each in classes)
    headings = [
        "class",
        "tile mismatch",
        "95 % interval",
        "of masks",
        "empty pairs",
        "train/eval disparity",
        "of masks",
        *(["Dice (eval)", "Dice (train)"] if labelled else []),
    ]
    return Table(headings=headings, rows=[tuple(_class_row(each, labelled)) for each in classes])


def _class_row(found: ClassDiagnosis, labelled: bool) -> Iterator[str]:
    yield found.name
    tiles, modes = found.mismatch, found.disparity
    yield number(tiles.tile_mismatch)
    yield "\N{EN DASH}" if tiles.interval is None else " to ".join(map(number, tiles.interval))
    yield number(tiles.tile_mismatch_thresholded)
    yield str(tiles.empty_pairs)
    yield number(modes.train_eval_disparity)
    yield number(modes.train_eval_disparity_thresholded)
    if labelled:
        yield number(found.dice_eval)
        yield number(found.dice_train)


def number(value: float | None) -> str:
    """Format a measure for a table: four decimals, and a dash where it was not measured."""
    if value is None:
        return "\N{EN DASH}"
    return "< 0.0001" if 0 < value < 1e-4 else f"{value:.4f}"


def _about_classes(diagnosis: Diagnosis) -> Iterator[str]:
    yield (
        "Tile mismatch is 1 - Dice between two overlapping tiles where both have all their context; "
        "train/eval disparity is 1 - Dice between one tile predicted with running and with batch statistics."
    )
    yield diagnosis.disparity.reason
    if any(each.empty_pairs for each in diagnosis.mismatch.classes):
        yield (
            "In empty pairs neither mask has a voxel. Their Dice is 1 by definition, which lowers the "
            "mismatch of masks."
        )


def _causes(diagnosis: Diagnosis) -> Table:
    rows = []
    for cause in diagnosis.audit.causes:
        share = "not measured" if cause.share is None else f"{cause.share:.0%}"
        rows.append((cause.name, share, ", ".join(cause.layers[:5]) or "\N{EN DASH}", cause.cure))
    return Table(headings=("cause", "share", "layers, the worst first", "cure"), rows=rows)


def _map_section(pictures: Pictures, diagnosis: Diagnosis) -> Section:
    title = "Heatmap"
    if pictures.plane is None:
        return Section(title=title, text=(f"There is no heatmap: {pictures.without}",))
    largest = float(pictures.plane.difference.max())
    text = [
        "Each voxel's largest difference over classes between two predictions whose tiles are moved against "
        "each other by half a core, in the plane of the place below."
    ]
    if largest > diagnosis.max_abs_difference + diagnosis.mismatch.tolerance:
        text.append(
            f"The plane reaches beyond the pairs that were compared, and differs by up to {largest:.2g} "
            "there: compare everything to find the worst place of all."
        )
    return Section(
        title=title,
        text=tuple(text),
        figure=map_figure(pictures.plane),
        alt=f"Plane of the image with the difference in colour, which is {largest:.2g} at most.",
    )


def _pair_sections(pair: PairView, title: str) -> Iterator[Section]:
    at = ", ".join(map(str, pair.point))
    yield Section(
        title=title,
        text=(f"Two tiles around voxel ({at}), outlined in full and dashed; the cross marks that voxel.",),
        figure=tiles_figure(pair),
        alt=f"Image and two predictions of {pair.class_name} around voxel {at}.",
    )
    yield Section(
        title="Profile",
        text=("Where both tiles have all their context (grey) the two lines should be one.",),
        figure=profile_figure(pair),
        alt=f"Probability of {pair.class_name} in both tiles on a line through voxel {at}.",
    )


def _histogram_section(diagnosis: Diagnosis) -> Section:
    mismatch = diagnosis.mismatch
    return Section(
        title="Histogram of mismatch",
        figure=histogram_figure(mismatch.histogram, mismatch.tolerance),
        alt=f"Values by their difference; the mean is {mismatch.mean_abs_difference:.2g}.",
    )


def _disparity_section(diagnosis: Diagnosis) -> Section:
    title = "Training against evaluation"
    if not diagnosis.disparity.layers:
        return Section(title=title, text=(diagnosis.disparity.reason,))
    classes = diagnosis.disparity.classes
    groups = [
        ("probabilities", [each.train_eval_disparity for each in classes]),
        ("masks", [each.train_eval_disparity_thresholded for each in classes]),
    ]
    return Section(
        title=title,
        text=(diagnosis.disparity.reason,),
        figure=bars_figure([each.name for each in classes], groups, "Train/eval disparity", "1 - Dice"),
        alt="Bars of the train/eval disparity of each class; the table of classes has the numbers.",
    )


def _quality_section(classes: Sequence[ClassDiagnosis]) -> Section:
    groups = [
        ("running statistics (eval)", [each.dice_eval for each in classes]),
        ("batch statistics (train)", [each.dice_train for each in classes]),
    ]
    return Section(
        title="Agreement with labels",
        figure=bars_figure([each.name for each in classes], groups, "Dice with the labels", "Dice"),
        alt="Bars of Dice with the labels of each class in both modes; the table has the numbers.",
    )


def _method(diagnosis: Diagnosis) -> Table:
    mismatch = diagnosis.mismatch
    halo = " x ".join(str(a) if a == b else f"{a}:{b}" for a, b in mismatch.halo)
    cost = diagnosis.voxels / diagnosis.prediction_voxels
    skipped = "; ".join(f"{axis}: {reason}" for axis, reason in mismatch.skipped)
    return Table(
        headings=("what", "value"),
        rows=(
            ("image", diagnosis.image),
            ("network", diagnosis.network),
            ("intensities", diagnosis.intensities or "not recorded"),
            ("compared", mismatch.compared),
            ("tile, with its context", _by_axis(mismatch.tile)),
            ("moved by", _by_axis(mismatch.shift)),
            ("halo", halo),
            ("stride", _by_axis(mismatch.stride)),
            ("axes along which no tile is moved", skipped or "none"),
            ("difference that rounding explains", f"{mismatch.tolerance:.1g}"),
            ("largest 1 - Dice of a pair and class", number(mismatch.max_dice_mismatch)),
            ("voxels put through the network, as a part of the prediction's", f"{cost:.2f}"),
        ),
    )


def _by_axis(values: Sequence[int]) -> str:
    return " x ".join(map(str, values))
