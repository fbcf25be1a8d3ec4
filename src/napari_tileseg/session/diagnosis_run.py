"""One diagnosis from its order to what is kept of it, and the report on it."""

from __future__ import annotations

import shutil
from collections.abc import Generator, Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, TypeAlias

import numpy as np

from napari_tileseg._types import Array, Shape
from napari_tileseg.errors import SettingsError, StoreError
from napari_tileseg.images.image import Image
from napari_tileseg.predict.events import Progress
from napari_tileseg.session.differences import PairDifferences, fill_map
from napari_tileseg.session.finding_files import keep_diagnosis, new_folder
from napari_tileseg.session.findings import Finding
from napari_tileseg.settings import DiagnoseSettings, LabelSettings, PredictSettings

if TYPE_CHECKING:
    from napari_tileseg.diagnose.diagnosis import DiagnoseEvent, Diagnosis
    from napari_tileseg.nets import Network
    from napari_tileseg.predict import Plan
    from napari_tileseg.predict.normalization import Normalization

LookAt: TypeAlias = Literal["view", "sample", "everything"]
#: How each choice of what to look at is diagnosed. A view is small: it may cost a few times its prediction.
_HOW = {
    "view": DiagnoseSettings(effort=4.0),
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
class Mapped:
    """The heatmap of a finding now holds every voxel that was looked at."""

    finding: Finding


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
        The image.
    network : Network
        The opened network.
    predict : PredictSettings
        How it is predicted, with the box that is looked at.
    look_at : {"view", "sample", "everything"}
        What to look at.
    project : Path
        Folder of the project.
    labels : array, optional
        Labels over the image's grid axes.
    holding : LabelSettings
        What the labels hold.
    normalization : Normalization, optional
        The session's, so that intensities are not measured again for the map.
    """

    image: Image
    network: Network
    predict: PredictSettings
    look_at: LookAt
    project: Path
    labels: Any = None
    holding: LabelSettings = field(default_factory=LabelSettings)
    normalization: Normalization | None = None


def carry_out(order: Order) -> Iterator[Step | Found | Mapped]:
    """Run a diagnosis; what it finds is in a folder of its own, which is gone if it does not get that far.

    Yields
    ------
    Step, Found or Mapped
        Steps; what was found; unless a sample was looked at, steps of the heatmap, and `Mapped`.
    """
    try:
        folder = new_folder(order.project)
    except OSError as error:
        raise StoreError(
            f"A diagnosis is kept in {order.project}; {error}. Free some space, or choose another folder "
            "with TILESEG_HOME."
        ) from error
    found = None
    try:
        found = yield from _find(order, folder)
    finally:
        if found is None:
            shutil.rmtree(folder, ignore_errors=True)
    yield found
    if order.look_at != "sample":
        yield from _map(order, found)


def _find(order: Order, folder: Path) -> Generator[Step, None, Found]:
    from napari_tileseg.diagnose import PairDone
    from napari_tileseg.diagnose.diagnosis import Diagnosed, diagnose
    from napari_tileseg.predict import plan_tiles

    tiles = plan_tiles(order.image, order.network.spec, order.predict)
    classes = order.network.spec.classes
    differences = PairDifferences(folder / "pairs.zarr", classes, tiles.image.shape, tiles.image.grid_axes)
    masks = _masks(order, tiles.image.shape)
    diagnosis: Diagnosis | None = None
    for event in diagnose(order.image, order.network, order.predict, _HOW[order.look_at], masks):
        if isinstance(event, PairDone):
            differences.add(event)
        if isinstance(event, Diagnosed):
            diagnosis = event.diagnosis
        else:
            yield _step(event)
    assert diagnosis is not None
    finding = keep_diagnosis(folder, diagnosis, order.look_at, tiles.image, differences.profiles)
    return Found(finding, diagnosis)


def _masks(order: Order, shape: Shape) -> Array | None:
    from napari_tileseg.labels import dense_masks

    if order.labels is None:
        return None
    return dense_masks(np.asarray(order.labels), order.network.spec.classes, order.holding, shape)


def _plan(order: Order, settings: PredictSettings) -> Generator[Step, None, Plan]:
    """Plan again; the session's intensities are those of the whole image, as are those of a box."""
    from napari_tileseg.predict.plan import measure_plan

    planning = measure_plan(order.image, order.network, settings, order.normalization)
    while True:
        try:
            event = next(planning)
        except StopIteration as end:
            plan: Plan = end.value
            return plan
        yield _step(event)


def _map(order: Order, found: Found) -> Iterator[Step | Mapped]:
    """Fill in the heatmap, unless no tiles are small enough to be moved in what is looked at."""
    settings = _movable(order, found.diagnosis.mismatch.shift)
    if settings is None:
        return
    plan = yield from _plan(order, settings)
    for event in fill_map(found.finding.folder / "map.zarr", plan, order.network):
        yield _step(event)
    yield Mapped(found.finding)


def _movable(order: Order, shift: Shape) -> PredictSettings | None:
    """Tiles of the whole image where they can be moved in what is looked at, else cores of one shift."""
    from napari_tileseg.diagnose import half_core
    from napari_tileseg.predict import plan_tiles

    core = plan_tiles(order.image, order.network.spec, replace(order.predict, box=None)).grid.core
    moved = tuple(step or size for step, size in zip(shift, core, strict=True))
    lead = len(core) - order.network.spec.ndim
    for each in (core, moved):
        settings = replace(order.predict, core=each[lead:])
        try:
            half_core(plan_tiles(order.image, order.network.spec, settings).grid)
        except SettingsError:
            continue
        return settings
    return None


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
    from napari_tileseg.diagnose.report import Shown, diagnosis_sections, look, verdict_of, write_page

    plan = yield from _plan(order, order.predict)
    for event in look(plan, order.network, diagnosis):
        if isinstance(event, Shown):
            title = f"{diagnosis.network} on {diagnosis.image}"
            sections = tuple(diagnosis_sections(diagnosis, event))
            yield write_page(folder, title, verdict_of(diagnosis), sections, diagnosis.as_dict())
        else:
            yield _step(event)


def _step(event: DiagnoseEvent) -> Step:
    from napari_tileseg.diagnose import PairDone, TileCompared
    from napari_tileseg.diagnose.working import Working

    if isinstance(event, Progress):
        return Step(event.what, round(1000 * event.fraction), 1000)
    if isinstance(event, PairDone):
        return Step("Comparing pairs of tiles", event.done, event.total, event.seconds_left)
    if isinstance(event, TileCompared):
        return Step("Switching to batch statistics", event.done, event.total, event.seconds_left)
    assert isinstance(event, Working)
    return Step(event.what, event.done, event.total, event.seconds_left)
