"""Runs one prediction for the shell: progress, stopping, and the report at its end."""

from __future__ import annotations

from collections.abc import Generator
from contextlib import closing
from dataclasses import replace
from pathlib import Path
from typing import Any

from napari_tileseg._outputs import PREDICTION, check_output
from napari_tileseg._progress import Noted, Progress
from napari_tileseg.cli.run.interruption import StoppedError, StopSignal
from napari_tileseg.cli.run.memory import PeakMemory
from napari_tileseg.cli.run.predict_command import PredictCommand
from napari_tileseg.cli.run.progress_bar import ProgressBar
from napari_tileseg.engine import resolve_device
from napari_tileseg.errors import SettingsError, StoreError
from napari_tileseg.images import open_image
from napari_tileseg.nets import Network, open_network
from napari_tileseg.prediction import PredictionStore, open_prediction, predict_to_store, write_on_image
from napari_tileseg.prediction.events import PredictEvent, Saved, Started, TileDone
from napari_tileseg.prediction.input.normalization import Normalization
from napari_tileseg.prediction.store.agreement import unsaid
from napari_tileseg.prediction.store.on_image import check_vacant
from napari_tileseg.prediction.store.outcome import Outcome
from napari_tileseg.settings import PredictSettings

#: What is finished after a first Ctrl-C, and what to do after a second one.
_STOPPING = (
    "the tile at hand",
    "The tiles on the disk are kept: run the same command again to compute the rest.",
)


def run_predict(command: PredictCommand) -> dict[str, Any]:
    """Predict an image into a store.

    Returns
    -------
    dict
        Plain values, ready for JSON: what the help of the verb lists.

    Raises
    ------
    TilesegError
        If image, network, settings, output path or device are not what they should be.
    StoppedError
        If a signal asked to stop; what is done is kept.
    """
    out, settings, on_image = command.out, command.settings, command.on_image
    check_output(out, PREDICTION)
    if on_image is not None:
        _check_on_image(on_image, out, settings)
    with (
        StopSignal(*_STOPPING) as stop,
        PeakMemory() as memory,
        ProgressBar(quiet=command.quiet) as bar,
    ):
        source = open_image(command.image, command.image_settings)
        opened = open_network(command.network, command.network_settings)
        saved, notes = _follow(predict_to_store(source, opened, settings, out), bar, stop, out)
        store = open_prediction(out)
        about = _about_tiles(store)
        if on_image is not None:
            _bring(write_on_image(store, source, on_image), bar, stop)
    return {
        "output": str(out),
        "on_image": on_image and str(on_image),
        **about,
        "tiles": saved.tiles,
        "tiles_computed": saved.tiles_computed,
        "seconds": saved.seconds,
        "device": resolve_device(settings.device),
        "peak_memory_bytes": memory.bytes,
        "input_normalization": _numbers(store.normalization),
        "intensities": store.normalization.sentence,
        "statistics": _statistics(store, opened),
        "region": store.provenance.get("region"),
        "classes": list(opened.spec.classes),
        "network": opened.spec.name,
        "network_sha256": opened.sha256,
        "warnings": [each.message for each in notes if each.warning],
        "notes": [each.message for each in notes if not each.warning],
    }


def _check_on_image(path: Path, out: Path, settings: PredictSettings) -> None:
    """Refuse before anything is predicted what could not be written after it."""
    if not settings.resample:
        raise SettingsError(
            "The result is on the image's voxels anyway: --on-image is for what --resample predicts at the "
            "network's voxel size. Leave it out, or add --resample."
        )
    check_output(path, PREDICTION)
    if path.absolute() == out.absolute():
        raise StoreError(f"--on-image writes a file of its own; got {path} for both. Choose another path.")
    check_vacant(path)


def _bring(events: Generator[Progress], bar: ProgressBar, stop: StopSignal) -> None:
    """Drive the way onto the image to its end."""
    with closing(events):
        for event in events:
            bar.show(event)
            if stop.number is not None:
                raise StoppedError(
                    "Stopped before the result was on the voxels of the image. Run the same command again; "
                    "its tiles are kept.",
                    stop.number,
                )


def _numbers(normalization: Normalization) -> dict[str, Any]:
    """Return the plain values of a normalization without its holes and limits, which may be many."""
    return replace(normalization, holes=(), limits=None).as_dict()


def _statistics(store: PredictionStore, network: Network) -> str | None:
    """Return whose statistics are, in a word of the setting; None where nothing is computed over space."""
    said: str = {**unsaid(), **store.provenance["settings"]}["statistics"]
    return said if network.spec.geometry.halo is None else None


def _about_tiles(store: PredictionStore) -> dict[str, Any]:
    """Return the tiles as they were laid, and how they were computed."""
    grid, outcome = store.grid, Outcome.recorded(store.provenance)
    return {
        "shape": grid.box.shape,
        "axes": store.image.grid_axes,
        "core": grid.core,
        "halo": grid.halo,
        "stride": grid.stride,
        # Of layers where it was planned and computed so; a store of an earlier version does not record it.
        "cost": store.provenance.get("cost", grid.cost) if outcome.engine == "regions" else grid.cost,
        **outcome.as_dict(),
    }


def _follow(
    events: Generator[PredictEvent], bar: ProgressBar, stop: StopSignal, out: Path
) -> tuple[Saved, list[Noted]]:
    """Drive the work to its end; give that, and what was noted on the way."""
    notes = []
    done = total = 0
    # Closed here, where a second signal is still handled: closing waits for the tile that is being computed.
    with closing(events):
        for event in events:
            bar.show(event)
            match event:
                case Started() | TileDone():
                    done, total = event.done, event.total
                case Noted():
                    notes.append(event)
                case Saved():
                    return event, notes
            if stop.number is not None:
                raise StoppedError(_where_it_stopped(done, total, out), stop.number)
    raise AssertionError("A prediction ends with Saved.")


def _where_it_stopped(done: int, total: int, out: Path) -> str:
    if not total:
        return "Stopped before the first tile."
    return (
        f"Stopped after {done} of {total} tiles, which are kept in {out}. Run the same command again to "
        "compute the rest."
    )
