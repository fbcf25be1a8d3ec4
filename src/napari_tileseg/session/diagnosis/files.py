"""Findings in a project folder: one folder each, with a JSON file and an array of differences."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from napari_tileseg._files import json_text, read_ordinary, write_text
from napari_tileseg.errors import StoreError, TilesegError, answering
from napari_tileseg.session.diagnosis.findings import ClassFinding, Finding, Place, Subject
from napari_tileseg.tiling import Box
from napari_tileseg.workflows.differences import Profile

if TYPE_CHECKING:
    from napari_tileseg.diagnosis.diagnosis import Diagnosis
    from napari_tileseg.prediction import TilePlan

FOLDER = "diagnoses"
FILE = "diagnosis.json"
#: Format 2 adds what the finding is of; findings before it are not shown.
_FORMAT = 2
#: Bytes that the JSON file has at most.
_LARGEST = 2**26


def keep_diagnosis(
    folder: Path,
    diagnosis: Diagnosis,
    look_at: str,
    tiles: TilePlan,
    profiles: Mapping[tuple[Box, Box, str], Profile],
    subject: Subject,
) -> Finding:
    """Write a diagnosis into its folder, and give what is shown of it.

    Raises
    ------
    StoreError
        If the folder cannot be written.
    """
    mismatch = diagnosis.mismatch
    values = diagnosis.as_dict() | {
        "format": _FORMAT,
        "when": datetime.now().astimezone().isoformat(timespec="seconds"),
        "look_at": look_at,
        "grid": {
            "axes": tiles.image.grid_axes,
            "shape": list(tiles.image.shape),
            "core": list(tiles.grid.core),
        },
        "subject": asdict(subject),
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
                "profile": _profile_values(profiles.get((place.first, place.second, place.class_name))),
            }
            for place in mismatch.worst
        ],
    }
    try:
        write_text(folder / FILE, json_text(values))
    except OSError as error:
        raise StoreError(
            f"The diagnosis should be written to {folder}; {error}. Free some space, or choose another "
            "folder with TILESEG_HOME."
        ) from error
    return read_finding(folder)


def read_finding(folder: Path) -> Finding:
    """Read what a diagnosis found.

    Raises
    ------
    StoreError
        If there is none, or it is damaged or of a later format.
    """
    path = folder / FILE
    with answering(StoreError, f"{path} should hold a diagnosis", f"Remove {folder}, and diagnose again."):
        values = json.loads(read_ordinary(path, _LARGEST))
        if values["format"] != _FORMAT:
            raise StoreError(
                f"{path} should be of format {_FORMAT}; it is of {values['format']!r}, of another version of "
                "napari-tileseg. Diagnose again."
            )
        return _finding(values, folder)


def read_findings(project: Path) -> tuple[Finding, ...]:
    """Findings that a project folder holds, oldest first; those that cannot be read are left out."""
    found = []
    for path in sorted((project / FOLDER).glob(f"*/{FILE}")):
        try:
            found.append(read_finding(path.parent))
        except TilesegError:
            continue  # a damaged or newer one does not keep the others from being shown
    return tuple(found)


def _finding(values: Mapping[str, Any], folder: Path) -> Finding:
    rows = zip(values["classes"], values["largest_of_class"], values["worst_of_class"], strict=True)
    return Finding(
        folder=folder,
        axes=values["grid"]["axes"],
        shape=tuple(values["grid"]["shape"]),
        largest=values["max_abs_difference"],
        total=values["pairs_in_all"],
        causes=tuple((cause["name"], cause["share"]) for cause in values["causes"]),
        disparity_words=values["disparity"]["reason"],
        notes=tuple(f"{each['axis']}: {each['reason']}" for each in values["skipped"]),
        classes=tuple(_class(row, largest, worst) for row, largest, worst in rows),
        places=tuple(_place(each) for each in values["worst"]),
        counts=tuple(values["histogram"]["counts"]),
        edges=tuple(values["histogram"]["edges"]),
        core=tuple(values["grid"]["core"]),
        subject=_subject(values["subject"]),
        **{
            name: values[name]
            for name in (
                "when",
                "look_at",
                "image",
                "network",
                "seam_free",
                "tolerance",
                "pairs",
                "cause",
                "cure",
                "compared",
            )
        },
    )


def _subject(values: Mapping[str, Any]) -> Subject:
    settings = tuple((name, value) for name, value in values["settings"])
    return Subject(**{**values, "shape": tuple(values["shape"]), "settings": settings})


def _class(row: Mapping[str, Any], largest: float, worst: float) -> ClassFinding:
    interval = row["interval"]
    return ClassFinding(
        name=row["name"],
        largest=_number(largest),
        mismatch=row["tile_mismatch"],
        interval=None if interval is None else (interval[0], interval[1]),
        worst=_number(worst),
        disparity=row["train_eval_disparity"],
        dice=row.get("dice_eval"),
        dice_train=row.get("dice_train"),
    )


def _place(values: Mapping[str, Any]) -> Place:
    profile = values["profile"]
    return Place(
        point=tuple(values["point"]),
        class_name=values["class_name"],
        difference=_number(values["difference"]),
        first=_box(values["first"]),
        second=_box(values["second"]),
        profile=None
        if profile is None
        else Profile(
            axis=profile["axis"],
            start=profile["start"],
            first=tuple(map(_number, profile["first"])),
            second=tuple(map(_number, profile["second"])),
        ),
    )


def _number(value: float | None) -> float:
    """A number as it was before it was written: JSON has null for NaN."""
    return float("nan") if value is None else value


def _box_values(box: Box) -> dict[str, list[int]]:
    return {"start": list(box.start), "stop": list(box.stop)}


def _box(values: Mapping[str, Any]) -> Box:
    return Box(tuple(values["start"]), tuple(values["stop"]))


def _profile_values(profile: Profile | None) -> dict[str, Any] | None:
    if profile is None:
        return None
    return {
        "axis": profile.axis,
        "start": profile.start,
        "first": list(profile.first),
        "second": list(profile.second),
    }
