"""What a diagnosis found, in words for a panel."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import datetime

from napari_tileseg.session.diagnosis.findings import Finding, Place
from napari_tileseg.session.text.network_words import NO_NUMBER

#: Numbers below it would be written as zero.
_LEAST = 5e-4


def verdict_words(finding: Finding) -> str:
    """Whether tiles agree, by how much not, and how many were compared."""
    if not finding.pairs:
        return finding.cause
    compared = f"{finding.pairs} of {finding.total} pairs of tiles compared"
    if finding.seam_free:
        return f"{finding.cause} ({compared})"
    return (
        f"Tiles disagree: the same voxel differs by up to {difference_words(finding.largest)} between two "
        f"tiles ({compared})."
    )


def is_well(finding: Finding) -> bool:
    """Whether tiles agree, and running statistics fit the image as far as that could be measured."""
    from napari_tileseg.diagnosis.diagnosis import DISPARITY

    return finding.seam_free and all((each.disparity or 0.0) < DISPARITY for each in finding.classes)


def cause_words(finding: Finding) -> str:
    """The sentence of the cause, with the share of the mismatch that it makes; "" where tiles agree."""
    if finding.seam_free:
        return ""
    if not finding.causes:
        return f"Cause: {finding.cause}"
    name, share = finding.causes[0]
    part = "" if share is None else f" ({share:.0%} of the disagreement)"
    return f"Cause: {name}{part}. {finding.cause}"


def difference_words(value: float) -> str:
    """A difference of two predictions of one voxel: one form wherever it is shown."""
    return f"{value:.2g}"


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
    return f"{point}   {difference_words(place.difference)}   {place.class_name}"


def no_places_words(finding: Finding) -> str:
    """Why no places are listed."""
    return (
        "Tiles agree everywhere that was looked at."
        if finding.pairs
        else "There are no two tiles to compare."
    )


def skipped_words(finding: Finding) -> str:
    """Along which axes no tiles were compared, and why."""
    reasons: dict[str, list[str]] = {}
    for note in finding.notes:
        axis, _, reason = note.partition(": ")
        reasons.setdefault(reason, []).append(axis)
    return " ".join(f"Not compared along {' and '.join(axes)}: {reason}." for reason, axes in reasons.items())


def run_words(finding: Finding) -> str:
    """Which prediction was diagnosed, how, and when."""
    return f"{finding.image} with {finding.network}, {_how(finding)}"


def _how(finding: Finding) -> str:
    looked_at = {"view": "the view", "sample": "a sample", "everything": "everything"}[finding.look_at]
    time = datetime.fromisoformat(finding.when).strftime("%Y-%m-%d %H:%M")
    core = " x ".join(map(str, finding.core))
    return f"core {core}, {looked_at}, {time}"


def subject_words(finding: Finding, changes: Sequence[str]) -> str:
    """Which prediction was diagnosed, and what is another one since then.

    Image and network are named where they may be others than those that the panel names already.
    """
    if not changes:
        return f"Found with {_how(finding)}."
    return f"Of {run_words(finding)}. Changed since: {', '.join(changes)}. Diagnose again to know about it."


def comparison(before: Finding, after: Finding) -> Sequence[tuple[str, str, str]]:
    """Rows of name, number before and number after."""
    rows = [*_subjects(before, after)]
    agree = {True: "yes", False: "no"}
    rows += [
        ("tiles agree", agree[before.seam_free], agree[after.seam_free]),
        ("largest difference", difference_words(before.largest), difference_words(after.largest)),
    ]
    names = dict.fromkeys(each.name for finding in (before, after) for each in finding.classes)
    for title, field in (("1 - Dice", "mismatch"), ("train/eval", "disparity"), ("Dice", "dice")):
        for name in names:
            values = [_of_class(finding, name, field) for finding in (before, after)]
            if values != [None, None]:
                rows.append((f"{title}, {name}", number_words(values[0]), number_words(values[1])))
    return rows


def _subjects(before: Finding, after: Finding) -> Iterator[tuple[str, str, str]]:
    """Rows of what the two are of, where that differs: other numbers may come from that alone."""
    for title, field in (("image", "image"), ("network", "network"), ("looked at", "look_at")):
        one, other = getattr(before, field), getattr(after, field)
        if one != other:
            yield title, one, other
    if before.core != after.core:
        yield "core", " x ".join(map(str, before.core)), " x ".join(map(str, after.core))


def _of_class(finding: Finding, name: str, field: str) -> float | None:
    found = next((each for each in finding.classes if each.name == name), None)
    value: float | None = None if found is None else getattr(found, field)
    return value
