"""One diagnosis from its order to what is kept of it, and the report on it."""

from __future__ import annotations

import shutil
from collections.abc import Generator, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, TypeAlias

import numpy as np

from napari_tileseg._progress import Progress
from napari_tileseg._types import Array
from napari_tileseg.images.image import Image
from napari_tileseg.session.diagnosis.files import FOLDER, keep_diagnosis
from napari_tileseg.session.diagnosis.findings import Finding, Subject
from napari_tileseg.session.project.folders import claim_result_folder
from napari_tileseg.settings import DiagnoseSettings, LabelSettings, PredictSettings
from napari_tileseg.tiling import Box
from napari_tileseg.workflows.differences import PairDifferences

if TYPE_CHECKING:
    from napari_tileseg.diagnosis.diagnosis import DiagnoseEvent, Diagnosis
    from napari_tileseg.nets import Network
    from napari_tileseg.prediction import Plan, TilePlan
    from napari_tileseg.prediction.input.normalization import Normalization

LookAt: TypeAlias = Literal["view", "sample", "everything"]
#: How each choice of what to look at is diagnosed.
_HOW = {
    "view": DiagnoseSettings(everything=True),
    "sample": DiagnoseSettings(),
    "everything": DiagnoseSettings(everything=True),
}


@dataclass(frozen=True, slots=True)
class Step:
    """How far a diagnosis is.

    Parameters
    ----------
    what : str
        What is being done.
    done, total : int
        Pieces of it.
    seconds_left : float, optional
        Estimate for the rest of it.
    """

    what: str
    done: int
    total: int
    seconds_left: float | None = None


@dataclass(frozen=True, slots=True)
class Found:
    """The numbers are there.

    Parameters
    ----------
    finding : Finding
        What is shown and kept.
    diagnosis : Diagnosis
        All of it, from which a report is written.
    """

    finding: Finding
    diagnosis: Diagnosis


@dataclass(frozen=True, slots=True, kw_only=True)
class Order:
    """All that a diagnosis needs to know, taken when it is asked for.

    Parameters
    ----------
    image : Image
        The image, on whose grid the labels are.
    network : Network
        The opened network.
    tiles : TilePlan
        The tiles of its prediction.
    normalization : Normalization, optional
        How intensities are prepared, with its numbers; measured where it is not known yet.
    predict : PredictSettings
        How it is predicted.
    look_at : {"view", "sample", "everything"}
        What to look at.
    project : Path
        Folder of the project.
    subject : Subject
        What is diagnosed, as it is remembered.
    part : Box, optional
        Voxels in view, on the grid that is tiled, where those are looked at.
    labels : array, optional
        Labels over the image's grid axes.
    holding : LabelSettings
        What the labels hold.
    """

    image: Image
    network: Network
    tiles: TilePlan
    normalization: Normalization | None
    predict: PredictSettings
    look_at: LookAt
    project: Path
    subject: Subject
    part: Box | None = None
    labels: Any = None
    holding: LabelSettings = field(default_factory=LabelSettings)


def carry_out(order: Order) -> Iterator[Step | Found]:
    """Run a diagnosis; what it finds is in a folder of its own, which is gone if it does not get that far.

    Yields
    ------
    Step or Found
        Steps, and what was found at the end.
    """
    folder = claim_result_folder(order.project, FOLDER, "A diagnosis")
    found = None
    try:
        found = yield from _find(order, folder)
    finally:
        if found is None:
            shutil.rmtree(folder, ignore_errors=True)
    yield found


def _find(order: Order, folder: Path) -> Generator[Step, None, Found]:
    from napari_tileseg.diagnosis import PairDone
    from napari_tileseg.diagnosis.diagnosis import Diagnosed, diagnose_plan

    image, classes = order.tiles.image, order.network.spec.classes
    masks = _masks(order)
    plan = yield from _plan(order)
    differences = PairDifferences(folder / "pairs.zarr", classes, image.shape, image.grid_axes)
    diagnosis: Diagnosis | None = None
    for event in diagnose_plan(plan, order.network, _HOW[order.look_at], masks, part=order.part):
        if isinstance(event, PairDone):
            differences.add(event)
        if isinstance(event, Diagnosed):
            diagnosis = event.diagnosis
        else:
            yield _step(event)
    assert diagnosis is not None
    finding = keep_diagnosis(
        folder, diagnosis, order.look_at, order.tiles, differences.profiles, order.subject
    )
    return Found(finding, diagnosis)


def _masks(order: Order) -> Array | None:
    """Masks of the classes on the grid that is tiled."""
    from napari_tileseg.diagnosis.measures.quality import masks_on
    from napari_tileseg.labels import dense_masks

    if order.labels is None:
        return None
    labels, classes = np.asarray(order.labels), order.network.spec.classes
    masks = dense_masks(labels, classes, order.holding, order.image.shape)
    return masks_on(masks, order.image, order.tiles.image)


def _plan(order: Order) -> Generator[Step, None, Plan]:
    """The plan of the prediction, on the very tiles of the session."""
    from napari_tileseg.prediction.plan.plan import measured

    planning = measured(order.tiles, order.network, order.predict, order.normalization)
    while True:
        try:
            event = next(planning)
        except StopIteration as end:
            plan: Plan = end.value
            return plan
        yield _step(event)


def write_report(order: Order, diagnosis: Diagnosis, folder: Path) -> Iterator[Step | Path]:
    """Write a diagnosis as a page with pictures, and as JSON.

    Parameters
    ----------
    order : Order
        What was diagnosed; some tiles are predicted again for the pictures.
    diagnosis : Diagnosis
        What was found.
    folder : Path
        Where; made if absent.

    Yields
    ------
    Step or Path
        Steps, and the page at the end.
    """
    from napari_tileseg.diagnosis.report import Shown, diagnosis_sections, look, verdict_of, write_page

    plan = yield from _plan(order)
    for event in look(plan, order.network, diagnosis):
        if isinstance(event, Shown):
            title = f"{diagnosis.network} on {diagnosis.image}"
            sections = tuple(diagnosis_sections(diagnosis, event))
            yield write_page(folder, title, verdict_of(diagnosis), sections, diagnosis.as_dict())
        else:
            yield _step(event)


def _step(event: DiagnoseEvent) -> Step:
    from napari_tileseg.diagnosis import PairDone, TileCompared
    from napari_tileseg.diagnosis.working import Working

    if isinstance(event, Progress):
        return Step(event.what, round(1000 * event.fraction), 1000)
    if isinstance(event, PairDone):
        return Step("Comparing pairs of tiles", event.done, event.total, event.seconds_left)
    if isinstance(event, TileCompared):
        return Step("Switching to batch statistics", event.done, event.total, event.seconds_left)
    assert isinstance(event, Working)
    return Step(event.what, event.done, event.total, event.seconds_left)
