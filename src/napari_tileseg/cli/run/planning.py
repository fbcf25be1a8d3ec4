"""Says for the shell what a prediction would do, without doing it."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import Any

from napari_tileseg._outputs import PREDICTION, check_output
from napari_tileseg._progress import Progress, drain
from napari_tileseg.cli.run.interruption import StoppedError, StopSignal
from napari_tileseg.cli.run.predict_command import PredictCommand
from napari_tileseg.cli.run.progress_bar import ProgressBar
from napari_tileseg.images import open_image
from napari_tileseg.nets import open_network
from napari_tileseg.prediction.plan.forecast import forecast
from napari_tileseg.prediction.plan.measuring import measure_intensities
from napari_tileseg.prediction.plan.plan import Plan, find_way, lay_plan
from napari_tileseg.prediction.store.provenance import settled_by


def run_plan(command: PredictCommand) -> dict[str, Any]:
    """Plan a prediction; the image is read where intensities, or content, are looked for. Nothing is written.

    Returns
    -------
    dict
        Plain values, ready for JSON: what the help of the verb lists.

    Raises
    ------
    TilesegError, StoppedError
        As `run_predict`.
    """
    out, settings = command.out, command.settings
    check_output(out, PREDICTION)
    with (
        StopSignal("the block at hand", "Nothing was written.") as stop,
        ProgressBar(quiet=command.quiet) as bar,
    ):
        image = open_image(command.image, command.image_settings)
        opened = open_network(command.network, command.network_settings)
        laid = lay_plan(image, opened, settings, find_way(opened, settings), settled=settled_by(out))

        def show(event: Progress) -> None:
            bar.show(event)
            if stop.number is not None:
                raise StoppedError("Stopped. Nothing was written.", stop.number)

        plan = drain(measure_intensities(laid), show)
    return _report(plan, out)


def _report(plan: Plan, out: Path) -> dict[str, Any]:
    grid, tiles, found = plan.grid, plan.tiles, forecast(plan)
    known = plan.region is not None and plan.region.known
    return {
        "output": str(out),
        "shape": grid.box.shape,
        "axes": tiles.image.grid_axes,
        "core": grid.core,
        "halo": grid.halo,
        "stride": grid.stride,
        "tiles": len(grid),
        "exact": tiles.exact,
        "cost": tiles.cost,
        "statistics": plan.settings.statistics if plan.source.spec.geometry.halo is None else None,
        "region": plan.region.as_dict() if plan.region is not None and known else None,
        "passes": None if found is None else {**asdict(found), "words": found.words()},
        "intensities": plan.normalization.sentence,
        "device": plan.device,
        "network": plan.source.spec.name,
        "network_sha256": plan.source.sha256,
        "warnings": [*tiles.warnings, *([plan.contrast.sentence] if plan.contrast is not None else [])],
        "notes": [*tiles.notes, *([plan.region.sentence] if plan.region is not None else [])],
    }
