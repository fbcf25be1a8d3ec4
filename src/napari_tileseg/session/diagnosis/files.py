"""Findings in a project folder: one folder each, with a JSON file and an array of differences."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

from napari_tileseg._files import json_text, read_ordinary, write_text
from napari_tileseg.diagnosis.record import as_number, as_record, from_record
from napari_tileseg.errors import StoreError, TilesegError, answering
from napari_tileseg.session.diagnosis.findings import Finding, Subject
from napari_tileseg.workflows.differences import Profile

FOLDER = "diagnoses"
FILE = "diagnosis.json"
#: Format 2 adds what the finding is of; findings before it are not shown.
_FORMAT = 2
#: Bytes that the JSON file has at most.
_LARGEST = 2**26


def store_finding(finding: Finding) -> None:
    """Write a finding into its folder.

    Raises
    ------
    StoreError
        If the folder cannot be written.
    """
    values = as_record(finding.diagnosis) | {
        "format": _FORMAT,
        "when": finding.when,
        "look_at": finding.look_at,
        "subject": asdict(finding.subject),
    }
    for each, profile in zip(values["worst"], finding.profiles, strict=True):
        each["profile"] = None if profile is None else asdict(profile)
    try:
        write_text(finding.folder / FILE, json_text(values))
    except OSError as error:
        raise StoreError(
            f"The diagnosis should be written to {finding.folder}; {error}. Free some space, or choose "
            "another folder with TILESEG_HOME."
        ) from error


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
    """Read the findings of a project folder, oldest first; those that cannot be read are left out."""
    found = []
    for path in sorted((project / FOLDER).glob(f"*/{FILE}")):
        try:
            found.append(read_finding(path.parent))
        except TilesegError:
            continue  # a damaged or newer one does not hide the others
    return tuple(found)


def _finding(values: Mapping[str, Any], folder: Path) -> Finding:
    return Finding(
        folder=folder,
        when=values["when"],
        look_at=values["look_at"],
        subject=_subject(values["subject"]),
        diagnosis=from_record(values),
        profiles=tuple(_profile(each["profile"]) for each in values["worst"]),
    )


def _subject(values: Mapping[str, Any]) -> Subject:
    settings = tuple((name, value) for name, value in values["settings"])
    return Subject(**{**values, "shape": tuple(values["shape"]), "settings": settings})


def _profile(values: Mapping[str, Any] | None) -> Profile | None:
    if values is None:
        return None
    first, second = (tuple(map(as_number, values[name])) for name in ("first", "second"))
    return Profile(axis=values["axis"], start=values["start"], first=first, second=second)
