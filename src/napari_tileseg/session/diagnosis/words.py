"""What a diagnosis found, in words for a panel."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from datetime import datetime
from typing import TYPE_CHECKING

from napari_tileseg._words import by_axis
from napari_tileseg.diagnosis.measured import WorstPlace
from napari_tileseg.diagnosis.result import DISPARITY, ClassDiagnosis, Diagnosis
from napari_tileseg.session.diagnosis.findings import Finding
from napari_tileseg.session.text.network_words import NO_NUMBER

if TYPE_CHECKING:
    from napari_tileseg.diagnosis.trial import Trial

#: Numbers below it would be written as zero.
_LEAST = 5e-4


def verdict_words(diagnosis: Diagnosis) -> str:
    """Return whether tiles agree, by how much not, and how many were compared, as a sentence."""
    mismatch, cause = diagnosis.mismatch, diagnosis.audit.cause
    if not mismatch.pairs:
        return cause
    compared = f"{mismatch.pairs} of {mismatch.total} pairs of tiles compared"
    if diagnosis.seam_free:
        return f"{cause} ({compared})"
    return (
        f"Tiles disagree: the same voxel differs by up to {difference_words(diagnosis.max_abs_difference)} "
        f"between two tiles ({compared})."
    )


def is_well(diagnosis: Diagnosis) -> bool:
    """Return whether tiles agree, and running statistics fit the image as far as that could be measured."""
    classes = diagnosis.disparity.classes
    return diagnosis.seam_free and all((each.train_eval_disparity or 0.0) < DISPARITY for each in classes)


def cause_words(diagnosis: Diagnosis) -> str:
    """Name the cause, with its share of the mismatch; "" where tiles agree."""
    audit = diagnosis.audit
    if diagnosis.seam_free:
        return ""
    if not audit.causes:
        return f"Cause: {audit.cause}"
    first = audit.causes[0]
    part = "" if first.share is None else f" ({first.share:.0%} of the disagreement)"
    return f"Cause: {first.name}{part}. {audit.cause}"


def difference_words(value: float) -> str:
    """Format a difference of two predictions of one voxel, in one way wherever it is shown."""
    return f"{value:.2g}"


def number_words(value: float | None) -> str:
    """Format a number of 0 to 1 with three digits; a dash where there is none, and no false zero."""
    if value is None:
        return NO_NUMBER
    if value == 0:
        return "0"
    return f"{value:.3f}" if value >= _LEAST else "< 0.001"


def place_words(place: WorstPlace, axes: str) -> str:
    """Return where a place is and how much two tiles differ there, as a line."""
    point = " ".join(f"{name} {at}" for name, at in zip(axes, place.point, strict=True))
    return f"{point}   {difference_words(place.difference)}   {place.class_name}"


def no_places_words(diagnosis: Diagnosis) -> str:
    """Return why no places are listed, as a sentence."""
    if diagnosis.mismatch.pairs:
        return "Tiles agree everywhere that was looked at."
    return "There are no two tiles to compare."


def skipped_words(skipped: Sequence[tuple[str, str]]) -> str:
    """Return along which axes no tiles were compared, and why, as sentences."""
    reasons: dict[str, list[str]] = {}
    for axis, reason in skipped:
        reasons.setdefault(reason, []).append(axis)
    return " ".join(f"Not compared along {' and '.join(axes)}: {reason}." for reason, axes in reasons.items())


def run_words(finding: Finding) -> str:
    """Return which prediction was diagnosed, how, and when, as a line."""
    diagnosis = finding.diagnosis
    return f"{diagnosis.image} with {diagnosis.network}, {_how(finding)}"


def _how(finding: Finding) -> str:
    looked_at = {"view": "the view", "sample": "a sample", "everything": "everything"}[finding.look_at]
    time = datetime.fromisoformat(finding.when).strftime("%Y-%m-%d %H:%M")
    return f"core {by_axis(finding.diagnosis.core)}, {looked_at}, {time}"


def subject_words(finding: Finding, changes: Sequence[str], *, named: bool) -> str:
    """Return which prediction was diagnosed, and what has changed since, as sentences.

    Parameters
    ----------
    finding : Finding
        What was found.
    changes : sequence of str
        What has changed since, in a word each.
    named : bool
        Whether the panel names an image and a network already, which are those of the finding if nothing has
        changed.
    """
    if not changes:
        return f"Found with {_how(finding)}." if named else f"Found in {run_words(finding)}."
    return f"Of {run_words(finding)}. Changed since: {', '.join(changes)}. Diagnose again to know about it."


def comparison(before: Finding, after: Finding) -> Sequence[tuple[str, ...]]:
    """Return rows of name, number before and number after."""
    both = before.diagnosis, after.diagnosis
    largest = [difference_words(each.max_abs_difference) for each in both]
    rows = [
        *_subjects(before, after),
        ("tiles agree", *("yes" if each.seam_free else "no" for each in both)),
        ("largest difference", *largest),
    ]
    names = dict.fromkeys(each.name for diagnosis in both for each in diagnosis.classes)
    for title, number in _NUMBERS.items():
        for name in names:
            values = [_of_class(diagnosis, name, number) for diagnosis in both]
            if values != [None, None]:
                rows.append((f"{title}, {name}", *map(number_words, values)))
    return rows


#: Numbers of a class that are compared.
_NUMBERS: Mapping[str, Callable[[ClassDiagnosis], float | None]] = {
    "1 - Dice": lambda each: each.mismatch.tile_mismatch,
    "train/eval": lambda each: each.disparity.train_eval_disparity,
    "Dice": lambda each: each.dice_eval,
}


def _subjects(before: Finding, after: Finding) -> Iterator[tuple[str, ...]]:
    """Yield rows of what the two are of, where that differs: other numbers may come from that alone."""
    one, other = before.diagnosis, after.diagnosis
    rows = (
        ("image", one.image, other.image),
        ("network", one.network, other.network),
        ("looked at", before.look_at, after.look_at),
        ("core", by_axis(one.core), by_axis(other.core)),
    )
    yield from (row for row in rows if row[1] != row[2])


def _of_class(
    diagnosis: Diagnosis, name: str, number: Callable[[ClassDiagnosis], float | None]
) -> float | None:
    return next((number(each) for each in diagnosis.classes if each.name == name), None)


#: What the two predictions of a trial are called, wherever they are shown.
EACH_TILE, FIXED = "statistics of each tile", "statistics fixed"


def trial_words(trial: Trial) -> str:
    """Return of which region the fixed statistics are, and what counts as empty, as sentences."""
    empty = (
        "What lies outside of it counts as empty." if trial.empty else "None of what was in view is empty."
    )
    return f"Fixed: of {trial.region}. {empty}"


def trial_rows(trial: Trial) -> Sequence[tuple[str, ...]]:
    """Return rows of name, number with statistics of each tile, and number with fixed ones."""
    differences = (trial.difference_before, trial.difference_after)
    rows = [("difference of tiles", *map(difference_words, differences))]
    if trial.empty:
        rows.append(("invented voxels", f"{trial.invented_before:,}", f"{trial.invented_after:,}"))
    for name, both in zip(trial.plan.classes, trial.dice, strict=False):
        rows.append((f"Dice, {name}", *(f"{value:.3f}" for value in both)))
    return rows
