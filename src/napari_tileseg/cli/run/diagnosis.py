"""Drives diagnoses for the shell: progress, stopping, and the reports at their end."""

from __future__ import annotations

from collections.abc import Generator, Iterable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import replace
from itertools import count
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any, TypeVar

import dask.array as da

from napari_tileseg._progress import Progress, drain, map_events
from napari_tileseg.cli.files.checks import check_heatmap, check_report
from napari_tileseg.cli.files.heatmap_file import write_heatmap
from napari_tileseg.cli.files.labels import ComparedLabels, read_masks
from napari_tileseg.cli.run.interruption import StoppedError, StopSignal
from napari_tileseg.cli.run.progress_bar import ProgressBar
from napari_tileseg.cli.training_options import MEASURING
from napari_tileseg.diagnosis import DiagnoseEvent, Diagnosis, diagnose_plan
from napari_tileseg.diagnosis.events import PairDone
from napari_tileseg.diagnosis.measures.quality import masks_on
from napari_tileseg.diagnosis.measures.receptive_field import (
    effective_field,
    field_tiles,
    theoretical_field,
)
from napari_tileseg.diagnosis.report.page import Section, Verdict, write_page
from napari_tileseg.diagnosis.report.sections import collect_pictures, diagnosis_sections, verdict_of
from napari_tileseg.diagnosis.report.sweep_pages import field_sections, sweep_sections
from napari_tileseg.diagnosis.size_sweep import sweep
from napari_tileseg.engine import WHOLE_TILES, route_of
from napari_tileseg.errors import NetworkError, StoreError
from napari_tileseg.images import open_image
from napari_tileseg.images.image import Image
from napari_tileseg.nets import open_network
from napari_tileseg.nets.network import Network
from napari_tileseg.prediction.command import freeze_command, predict_command
from napari_tileseg.prediction.plan.measuring import measure_plan, plan_prediction
from napari_tileseg.prediction.plan.plan import Plan, find_way, lay_plan
from napari_tileseg.settings import (
    DiagnoseSettings,
    ImageSettings,
    LabelSettings,
    NetworkSettings,
    PredictSettings,
)
from napari_tileseg.training.networks.frozen_statistics import what_to_freeze
from napari_tileseg.workflows.differences import PairDifferences

if TYPE_CHECKING:
    from napari_tileseg.cli.verbs.sweep import SweepSettings

R = TypeVar("R")
_AGAIN = "A diagnosis cannot be resumed; start it again."
#: What is finished after a first Ctrl-C, and what to do after a second one.
_STOPPING = ("the step at hand", _AGAIN)


class Bench:
    """An opened image and network, with a bar and a signal to stop, for one diagnosis.

    Parameters
    ----------
    bar : ProgressBar
        Shows how far it is.
    stop : StopSignal
        Ends it after the current step.
    image, network : str
        Path or name of each.
    image_settings, network_settings, settings
        How they are read and predicted.
    """

    def __init__(
        self,
        bar: ProgressBar,
        stop: StopSignal,
        image: str,
        network: str,
        *,
        image_settings: ImageSettings,
        network_settings: NetworkSettings,
        settings: PredictSettings,
    ) -> None:
        self._bar, self._stop = bar, stop
        self.image: Image = open_image(image, image_settings)
        self.network: Network = open_network(network, network_settings)
        self.settings = settings

    def plan(self) -> Plan:
        """Plan how the image would be predicted; measures its intensities."""
        plan = drain(plan_prediction(self.image, self.network, self.settings, route=WHOLE_TILES))
        for warning in plan.tiles.warnings:
            self._bar.write(f"Warning: {warning}")
        return plan

    def planned(self) -> Plan:
        """Plan as ``tileseg predict`` would with the same settings, tiles included."""
        route = route_of(self.network, self.settings.device)
        laid = lay_plan(self.image, self.network, self.settings, route)
        for warning in laid.tiles.warnings:
            self._bar.write(f"Warning: {warning}")
        return self.drive(measure_plan(laid))

    def masks_of(self, masks: Any, plan: Plan) -> Any:
        """Return the masks of the image, if any, on the voxels that are tiled."""
        return None if masks is None else masks_on(masks, self.image, plan.tiles.image)

    def about(self) -> dict[str, Any]:
        """Return the entries of a report that name image and network."""
        return {
            "image": self.image.uri or self.image.name,
            "network": self.network.spec.name,
            "network_sha256": self.network.sha256,
        }

    def diagnosed(
        self, plan: Plan, diagnosis: DiagnoseSettings, masks: Any, heatmap: Path | None
    ) -> Diagnosis:
        """Diagnose a plan; with a heatmap, of all its tiles, whose differences are written."""
        if heatmap is None:
            return self.drive(map_events(diagnose_plan(plan, diagnosis, masks), _progress))
        heatmap.parent.mkdir(parents=True, exist_ok=True)
        every = replace(diagnosis, everything=True, shift=None, sample=None)
        image = plan.tiles.image
        with TemporaryDirectory(dir=heatmap.parent, prefix=f".{heatmap.name}.") as folder:
            differences = PairDifferences(
                Path(folder) / "pairs.zarr", plan.classes, image.shape, image.grid_axes
            )

            def enter(event: DiagnoseEvent) -> Progress:
                if isinstance(event, PairDone):
                    differences.add(event)
                return _progress(event)

            found = self.drive(map_events(diagnose_plan(plan, every, masks), enter))
            self._write_heatmap(differences.values(plan.grid.box), plan, heatmap)
        return found

    def _write_heatmap(self, values: da.Array, plan: Plan, out: Path) -> None:
        done, total = count(1), len(values.dask)

        def step() -> None:
            self._bar.show(Progress("Writing the heatmap", min(next(done), total), total))
            self._check_stopped()

        write_heatmap(values, plan.tiles.image, plan.grid.box, plan.classes, out, step)

    def _check_stopped(self) -> None:
        if self._stop.number is not None:
            raise StoppedError(f"Stopped. {_AGAIN}", self._stop.number)

    def drive(self, work: Generator[Progress, None, R]) -> R:
        """Run work to its result, and show how far it is.

        Raises
        ------
        StoppedError
            If a signal asked to stop.
        """

        def receive(event: Progress) -> None:
            self._bar.show(event)
            self._check_stopped()

        return drain(work, receive)


def _progress(event: DiagnoseEvent) -> Progress:
    return event.progress if isinstance(event, PairDone) else event


@contextmanager
def _opened(
    quiet: bool, out: Path | None, request: dict[str, Any], heatmap: Path | None = None
) -> Iterator[Bench]:
    """Open image and network once what is to be written can be written, until a signal asks to stop."""
    with StopSignal(*_STOPPING) as stop, ProgressBar(quiet=quiet) as bar:
        if out is not None:
            check_report(out)
        if heatmap is not None:
            check_heatmap(heatmap)
        yield Bench(bar, stop, **request)


def _write_report(
    out: Path, title: str, verdict: Verdict | None, sections: Iterable[Section], values: dict[str, Any]
) -> None:
    """Write the page of a report, and enter its path into the values that are written with it."""
    values["report"] = str(out / "report.html")
    write_page(out, title, verdict, list(sections), values, pictures=True)


def run_diagnose(
    *,
    quiet: bool,
    out: Path | None,
    heatmap: Path | None,
    labels: ComparedLabels,
    meaning: LabelSettings,
    diagnosis: DiagnoseSettings,
    **request: Any,
) -> dict[str, Any]:
    """Diagnose an image and a network; give plain values, ready for JSON.

    Raises
    ------
    TilesegError
        If image, network, labels, settings, an output path or the device are not what they should be.
    StoppedError
        If a signal asked to stop.
    """
    with _opened(quiet, out, request, heatmap) as bench:
        masks = read_masks(labels, meaning, bench.network.spec.classes, bench.image.shape)
        plan = bench.planned()
        masks = bench.masks_of(masks, plan)
        found = bench.diagnosed(plan, diagnosis, masks, heatmap)
        paths = {"report": None, "heatmap": None if heatmap is None else str(heatmap)}
        values = {
            **found.as_dict(),
            "commands": list(_cures(bench, found, request)),
            **bench.about(),
            **paths,
        }
        if out is not None:
            pictures = bench.drive(collect_pictures(plan, found))
            title = f"{bench.network.spec.name} on {bench.image.name}"
            _write_report(out, title, verdict_of(found), diagnosis_sections(found, pictures), values)
    return values


def _cures(bench: Bench, found: Diagnosis, request: dict[str, Any]) -> Iterator[str]:
    """Yield the commands that carry out a cure without training, as far as they would work."""
    if not found.of_statistics:
        return
    image, network, how = request["image"], bench.network, request["image_settings"]
    settings = replace(bench.settings, statistics="region")
    with suppress(NetworkError):
        laid = lay_plan(bench.image, network, settings, find_way(network, settings))
        yield predict_command(image, network.reference, "prediction.ome.zarr", how, settings)
        what_to_freeze(laid)
        out = "frozen.safetensors"
        yield freeze_command(image, network.reference, out, how, settings, names=MEASURING.names)


def run_sweep(
    *,
    quiet: bool,
    out: Path | None,
    labels: ComparedLabels,
    meaning: LabelSettings,
    how: SweepSettings,
    **request: Any,
) -> dict[str, Any]:
    """Try sizes of tiles; give plain values, ready for JSON.

    Raises
    ------
    TilesegError, StoppedError
        As `run_diagnose`.
    """
    with _opened(quiet, out, request) as bench:
        masks = read_masks(labels, meaning, bench.network.spec.classes, bench.image.shape)
        plan = bench.plan()
        masks = bench.masks_of(masks, plan)
        work = sweep(plan, how.sizes, masks=masks, pairs=how.pairs, seed=how.seed, threshold=how.threshold)
        swept = bench.drive(work)
        values = {**swept.as_dict(), **bench.about(), "report": None}
        if out is not None:
            title = f"Tile sizes for {bench.network.spec.name} on {bench.image.name}"
            _write_report(out, title, None, sweep_sections(swept), values)
    return values


def run_receptive_field(
    *, quiet: bool, out: Path | None, tiles: int, seed: int, share: float, **request: Any
) -> dict[str, Any]:
    """Measure how far a network sees; give plain values, ready for JSON.

    Raises
    ------
    TilesegError, StoppedError
        As `run_diagnose`.
    """
    with _opened(quiet, out, request) as bench:
        plan, spec = bench.plan(), bench.network.spec
        boxes = field_tiles(plan, tiles, seed)
        field = bench.drive(effective_field(plan, boxes, share))
        theory = theoretical_field(spec)
        values = {
            "theoretical": theory.as_dict(),
            "effective": field.as_dict(),
            **bench.about(),
            "report": None,
        }
        if out is not None:
            title = f"Receptive field of {spec.name} on {bench.image.name}"
            _write_report(out, title, None, field_sections(theory, field), values)
            _write_gradient(out / "gradient.tif", field.gradient, field.axes)
    return values


def _write_gradient(path: Path, gradient: Any, axes: str) -> None:
    import tifffile

    try:
        tifffile.imwrite(path, gradient.astype("float32"), metadata={"axes": axes.upper()})
    except OSError as error:
        raise StoreError(
            f"The gradient could not be written to {path}: {error.strerror or error}. Choose another folder."
        ) from error
