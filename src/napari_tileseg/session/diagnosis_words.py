"""What a diagnosis found, in words for a panel."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime

from napari_tileseg.session.findings import Finding, Place
from napari_tileseg.session.words import NO_NUMBER

#: Numbers below it would be written as zero.
_LEAST = 5e-4


def verdict_words(finding: Finding) -> str:
    """Whether tiles agree, by how much not, and how many were compared."""
    compared = f"{finding.pairs} of {finding.total} pairs of tiles compared"
    if finding.seam_free:
        return f"{finding.cause} ({compared})"
    return f"Tiles disagree: by up to {finding.largest:.2g} ({compared})."


def is_well(finding: Finding) -> bool:
    """Whether tiles agree, and running statistics fit the image as far as that could be measured."""
    from napari_tileseg.diagnose.diagnosis import DISPARITY

    return finding.seam_free and all((each.disparity or 0.0) < DISPARITY for each in finding.classes)


def cause_words(finding: Finding) -> str:
    """The sentence of the cause, with the share of the mismatch that it makes; "" where tiles agree."""
    if finding.seam_free:
        return ""
    if not finding.causes:
        return f"Cause: {finding.cause}"
    name, share = finding.causes[0]
    return f"Cause: {name}{'' if share is None else f' ({share:.0%})'}. {finding.cause}"


def number_words(value: float | None) -> str:
    """A number of 0 to 1 with three digits; a dash where there is none, and no false zero."""
    if value is None:
        return NO_NUMBER
    if value == 0:
        return "0"
    return f"{value:.3f}" if value >= _LEAST else "< 0.001"


def place_words(place: Place, axes: str) -> str:
    """Where a place is and how much two tiles differ there."""
    point = " ".join(f"{name} {at}" for name, at in zip(axes, place.point, strict=True))
    return f"{point}   {place.difference:.2f}   {place.class_name}"


def skipped_words(finding: Finding) -> str:
    """Along which axes no tiles were compared; why stands in the finding's notes."""
    axes = [note.partition(":")[0] for note in finding.notes]
    return f"Not compared along {' and '.join(axes)}, where there is no room for two tiles." if axes else ""


def run_words(finding: Finding) -> str:
    """Which diagnosis it is."""
    looked_at = {"view": "the view", "sample": "a sample", "everything": "everything"}[finding.look_at]
    time = datetime.fromisoformat(finding.when).strftime("%H:%M:%S")
    return f"{finding.network} on {finding.image}, {looked_at}, {time}"


def comparison(before: Finding, after: Finding) -> Sequence[tuple[str, str, str]]:
    """Rows of name, number before and number after."""
    agree = {True: "yes", False: "no"}
    rows = [
        ("tiles agree", agree[before.seam_free], agree[after.seam_free]),
        ("largest difference", f"{before.largest:.2g}", f"{after.largest:.2g}"),
    ]
    names = dict.fromkeys(each.name for finding in (before, after) for each in finding.classes)
    for title, field in (("mismatch", "mismatch"), ("train/eval", "disparity"), ("Dice", "dice")):
        for name in names:
            values = [_of_class(finding, name, field) for finding in (before, after)]
            if values != [None, None]:
                rows.append((f"{title}, {name}", number_words(values[0]), number_words(values[1])))
    return rows


def _of_class(finding: Finding, name: str, field: str) -> float | None:
    found = next((each for each in finding.classes if each.name == name), None)
    value: float | None = None if found is None else getattr(found, field)
    return value
