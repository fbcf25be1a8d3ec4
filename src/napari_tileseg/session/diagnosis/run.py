"""One diagnosis from its request to what is stored of it, and the report on it."""

from __future__ import annotations

import shutil
from collections.abc import Generator, Iterator
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, TypeAlias

import numpy as np

from napari_tileseg._progress import Progress, map_events
from napari_tileseg._types import Array
from napari_tileseg.diagnosis.report.matplotlib_check import check_matplotlib
from napari_tileseg.session.diagnosis.files import FOLDER, store_finding
from napari_tileseg.session.diagnosis.findings import Finding, Subject
from napari_tileseg.session.project.folders import claim_result_folder
from napari_tileseg.settings import DiagnoseSettings, LabelSettings
from napari_tileseg.tiling import Box
from napari_tileseg.workflows.differences import PairDifferences

if TYPE_CHECKING:
    from napari_tileseg.diagnosis import DiagnoseEvent, Diagnosis
    from napari_tileseg.prediction import Plan

LookAt: TypeAlias = Literal["view", "sample", "everything"]
#: How each choice of what to look at is diagnosed.
_HOW = {
    "view": DiagnoseSettings(everything=True),
    "sample": DiagnoseSettings(),
    "everything": DiagnoseSettings(everything=True),
}


@dataclass(frozen=True, slots=True)
class Found:
    """The numbers are there.

    Parameters
    ----------
    finding : Finding
        What is shown and stored.
    """

    finding: Finding


@dataclass(frozen=True, slots=True, kw_only=True)
class Request:
    """All that a diagnosis needs to know, taken when it is asked for.

    Parameters
    ----------
    plan : Plan
        The prediction; its intensities are measured where their numbers are not known yet. The labels are on
        the grid of its image.
    look_at : {"view", "sample", "everything"}
        What to look at.
    project : Path
        Folder of the project.
    subject : Subject
        What is diagnosed, as it is recorded.
    part : Box, optional
        Voxels in view, on the grid that is tiled, where those are looked at.
    labels : array, optional
        Labels over the image's grid axes.
    meaning : LabelSettings
        What the labels hold.
    """

    plan: Plan
    look_at: LookAt
    project: Path
    subject: Subject
    part: Box | None = None
    labels: Any = None
    meaning: LabelSettings = field(default_factory=LabelSettings)


def carry_out(request: Request) -> Iterator[Progress | Found]:
    """Run a diagnosis; what it finds goes into a new folder, which is removed if it does not get that far.

    Yields
    ------
    Progress or Found
        How far it is, and what was found at the end.
    """
    folder = claim_result_folder(request.project, FOLDER, "A diagnosis")
    found = None
    try:
        found = yield from _find(request, folder)
    finally:
        if found is None:
            shutil.rmtree(folder, ignore_errors=True)
    yield found


def _find(request: Request, folder: Path) -> Generator[Progress, None, Found]:
    from napari_tileseg.diagnosis import PairDone
    from napari_tileseg.diagnosis.diagnosis import diagnose_plan

    image, classes = request.plan.tiles.image, request.plan.network.spec.classes
    masks = masks_of(request)
    plan = yield from _plan(request)
    differences = PairDifferences(folder / "pairs.zarr", classes, image.shape, image.grid_axes)

    def enter(event: DiagnoseEvent) -> Progress:
        if not isinstance(event, PairDone):
            return event
        differences.add(event)
        return event.progress

    diagnosing = diagnose_plan(plan, _HOW[request.look_at], masks, part=request.part)
    diagnosis = yield from map_events(diagnosing, enter)
    finding = Finding(
        folder=folder,
        when=datetime.now().astimezone().isoformat(timespec="seconds"),
        look_at=request.look_at,
        subject=request.subject,
        diagnosis=diagnosis,
        profiles=tuple(
            differences.profiles.get((place.first, place.second, place.class_name))
            for place in diagnosis.mismatch.worst
        ),
    )
    store_finding(finding)
    return Found(finding)


def masks_of(request: Request) -> Array | None:
    """Read the masks of the classes on the grid that is tiled; None where there are no labels."""
    from napari_tileseg.diagnosis.measures.quality import masks_on
    from napari_tileseg.labels import dense_masks

    if request.labels is None:
        return None
    labels, classes = np.asarray(request.labels), request.plan.network.spec.classes
    masks = dense_masks(labels, classes, request.meaning, request.plan.image.shape)
    return masks_on(masks, request.plan.image, request.plan.tiles.image)


def _plan(request: Request) -> Generator[Progress, None, Plan]:
    """Measure what the plan of the prediction lacks, on the very tiles of the session."""
    from napari_tileseg.prediction.plan.measuring import measure_plan

    return (yield from measure_plan(request.plan))


def write_report(request: Request, diagnosis: Diagnosis, folder: Path) -> Iterator[Progress | Path]:
    """Write a diagnosis as a page with pictures, and as JSON.

    Parameters
    ----------
    request : Request
        What was diagnosed; some tiles are predicted again for the pictures.
    diagnosis : Diagnosis
        What was found.
    folder : Path
        Where; made if absent.

    Yields
    ------
    Progress or Path
        How far it is, and the page at the end.

    Raises
    ------
    SettingsError
        If matplotlib is not installed; before anything is computed.
    """
    from napari_tileseg.diagnosis.report import collect_pictures, diagnosis_sections, verdict_of, write_page

    check_matplotlib()
    plan = yield from _plan(request)
    pictures = yield from collect_pictures(plan, diagnosis)
    title = f"{diagnosis.network} on {diagnosis.image}"
    sections = tuple(diagnosis_sections(diagnosis, pictures))
    yield write_page(folder, title, verdict_of(diagnosis), sections, diagnosis.as_dict())
