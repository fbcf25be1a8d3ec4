"""A diagnosis as the values that a project stores of it, and back."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from napari_tileseg.diagnosis.measured import (
    ClassDisparity,
    ClassMismatch,
    Disparity,
    Histogram,
    LayerStatistics,
    Mismatch,
    TileStatistics,
    WorstPlace,
)
from napari_tileseg.diagnosis.result import Audit, Cause, Diagnosis
from napari_tileseg.tiling import Box


def as_record(diagnosis: Diagnosis) -> dict[str, Any]:
    """Return what a project stores of a diagnosis: plain values, ready for JSON.

    Parameters
    ----------
    diagnosis : Diagnosis
        What was found.

    Returns
    -------
    dict
        What `Diagnosis.as_dict` gives, with the grid, the histogram and the worst places.
    """
    mismatch = diagnosis.mismatch
    return diagnosis.as_dict() | {
        "grid": {
            "axes": diagnosis.axes,
            "shape": list(diagnosis.shape),
            "core": list(diagnosis.core),
        },
        "histogram": {"counts": list(mismatch.histogram.counts), "edges": list(mismatch.histogram.edges)},
        "worst_of_class": [each.worst for each in mismatch.classes],
        "largest_of_class": [each.largest for each in mismatch.classes],
        "worst": [
            {
                "point": list(place.point),
                "class_name": place.class_name,
                "difference": place.difference,
                "first": _box_values(place.first),
                "second": _box_values(place.second),
            }
            for place in mismatch.worst
        ],
    }


def from_record(values: Mapping[str, Any]) -> Diagnosis:
    """Return the diagnosis of which `as_record` gave these values.

    Its `as_dict` is the same. What a record does not hold is left at its default, or is what follows from the
    rest: voxels that were compared around the worst places, layers that were switched or held fixed.

    Parameters
    ----------
    values : mapping
        Plain values, with lists for tuples.

    Raises
    ------
    KeyError, TypeError, ValueError, AttributeError
        If values are missing, or of another kind.
    """
    grid, rows = values["grid"], values["classes"]
    labelled = any("dice_eval" in row for row in rows)
    return Diagnosis(
        image=values["image"],
        network=values["network"],
        axes=grid["axes"],
        shape=tuple(grid["shape"]),
        core=tuple(grid["core"]),
        mismatch=_mismatch(values),
        disparity=_disparity(values["disparity"], rows),
        statistics=_statistics(values["layers"]),
        audit=Audit(
            causes=tuple(map(_cause, values["causes"])),
            cause=values["cause"],
            cure=values["cure"],
            largest_difference=values["max_abs_difference"],
            seam_free=values["seam_free"],
        ),
        dice=tuple((row["dice_eval"], row["dice_train"]) for row in rows) if labelled else None,
        voxels=values["voxels"],
        prediction_voxels=values["prediction_voxels"],
        image_voxels=values["image_voxels"],
        intensities=str(values.get("intensities", "")),
    )


def _mismatch(values: Mapping[str, Any]) -> Mismatch:
    largest = max(map(as_number, values["largest_of_class"]))
    worst = tuple(_place(each) for each in values["worst"])
    rows = zip(values["classes"], values["worst_of_class"], values["largest_of_class"], strict=True)
    return Mismatch(
        classes=tuple(_class(*row) for row in rows),
        max_dice_mismatch=values["max_dice_mismatch"],
        max_abs_difference=largest,
        mean_abs_difference=values["mean_abs_difference"],
        seam_free=largest <= values["tolerance"],
        tolerance=values["tolerance"],
        pairs=values["pairs"],
        total=values["pairs_in_all"],
        tile=tuple(values["tile"]),
        halo=tuple((before, after) for before, after in values["halo"]),
        stride=tuple(values["stride"]),
        shift=tuple(values["shift"]),
        skipped=tuple((each["axis"], each["reason"]) for each in values["skipped"]),
        worst=worst,
        histogram=Histogram(
            counts=tuple(values["histogram"]["counts"]), edges=tuple(values["histogram"]["edges"])
        ),
        compared=values["compared"],
        largest=worst[0] if worst else None,
    )


def _class(row: Mapping[str, Any], worst: float | None, largest: float | None) -> ClassMismatch:
    interval = row["interval"]
    return ClassMismatch(
        name=row["name"],
        tile_mismatch=row["tile_mismatch"],
        tile_mismatch_thresholded=row["tile_mismatch_thresholded"],
        interval=None if interval is None else (interval[0], interval[1]),
        worst=as_number(worst),
        largest=as_number(largest),
        empty_pairs=row["empty_pairs"],
    )


def _place(values: Mapping[str, Any]) -> WorstPlace:
    return WorstPlace(
        point=tuple(values["point"]),
        class_name=values["class_name"],
        difference=as_number(values["difference"]),
        first=_box(values["first"]),
        second=_box(values["second"]),
    )


def _disparity(values: Mapping[str, Any], rows: list[Mapping[str, Any]]) -> Disparity:
    names = ("name", "train_eval_disparity", "train_eval_disparity_thresholded")
    return Disparity(
        classes=tuple(ClassDisparity(**{name: row[name] for name in names}) for row in rows),
        switchable=all(row["train_eval_disparity"] is not None for row in rows),
        reason=values["reason"],
        layers=(),
        max_abs_difference=values["max_abs_difference"],
        tiles=values["tiles"],
    )


def _cause(values: Mapping[str, Any]) -> Cause:
    return Cause(
        name=values["name"],
        share=values["share"],
        layers=tuple(values["layers"]),
        sentence=values["sentence"],
        cure=values["cure"],
        difference_without=values["difference_without"],
    )


def _statistics(layers: list[Mapping[str, Any]]) -> TileStatistics:
    found = tuple(
        LayerStatistics(
            path=layer["path"],
            kind=layer["kind"],
            reference=layer["reference"],
            distances=tuple(map(as_number, layer["distances"])),
            largest=as_number(layer["largest"]),
            spreads=tuple(map(as_number, layer["spreads"])),
        )
        for layer in layers
    )
    return TileStatistics(layers=found, tiles=len(found[0].distances) if found else 0)


def as_number(value: float | None) -> float:
    """Return a number as it was before it was written: JSON has null for NaN."""
    return float("nan") if value is None else value


def _box_values(box: Box) -> dict[str, list[int]]:
    return {"start": list(box.start), "stop": list(box.stop)}


def _box(values: Mapping[str, Any]) -> Box:
    return Box(tuple(values["start"]), tuple(values["stop"]))
