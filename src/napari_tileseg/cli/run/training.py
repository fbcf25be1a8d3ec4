"""Drives training for the shell, and writes what comes of it."""

from __future__ import annotations

import hashlib
from dataclasses import replace
from math import isfinite
from pathlib import Path
from time import monotonic
from typing import Any

from napari_tileseg.cli.files.checks import check_places
from napari_tileseg.cli.files.curves import Curves
from napari_tileseg.cli.run.interruption import StopSignal
from napari_tileseg.cli.run.progress_bar import ProgressBar
from napari_tileseg.cli.run.training_log import Follower
from napari_tileseg.engine import WHOLE_TILES
from napari_tileseg.errors import NetworkError
from napari_tileseg.images import open_image
from napari_tileseg.nets import Network, open_network, save_described
from napari_tileseg.prediction.plan.plan import plan_prediction
from napari_tileseg.settings import (
    ImageSettings,
    LabelSettings,
    NetworkSettings,
    PredictSettings,
    TrainSettings,
)
from napari_tileseg.training import Calibrated, Trained, convert_network
from napari_tileseg.training.watch import Watch
from napari_tileseg.workflows.finetuning import FineTuning, TuneOrder
from napari_tileseg.workflows.finetuning_events import Kept, Tuned
from napari_tileseg.workflows.from_scratch import lay_out
from napari_tileseg.workflows.label_file import read_labels
from napari_tileseg.workflows.recipe_file import read_recipe
from napari_tileseg.workflows.verdict import is_better, verdict_words

#: What a first Ctrl-C still finishes, and what a second one leaves.
_LEARNING = (
    "the step at hand",
    "The same command with --resume goes on from the last checkpoint, if there is one yet.",
)
_CONVERTING = ("the step at hand", "Nothing is written; start it again.")


def run_finetune(
    image: str,
    labels: str,
    network: str,
    out: Path,
    *,
    keep: Kept,
    folder: Path | None,
    resume: bool | None,
    curves: str,
    meaning: LabelSettings,
    training: TrainSettings,
    image_settings: ImageSettings,
    network_settings: NetworkSettings,
    settings: PredictSettings,
    quiet: bool,
    watch: Watch,
) -> dict[str, Any]:
    """Fine-tune a network and write it; give plain values, ready for JSON.

    Raises
    ------
    TilesegError
        If image, labels, network, settings, places or device are not what they should be, or the loss became
        NaN; the last good weights are written then.
    StoppedError
        If a signal asked to stop.
    """
    folder = folder or out.with_suffix(".run")
    check_places(out, folder, resume)
    with StopSignal(*_LEARNING) as stop, ProgressBar(quiet=quiet) as bar, Curves(curves, folder) as drawn:
        source, opened = open_image(image, image_settings), open_network(network, network_settings)
        order = TuneOrder(
            image=source,
            labels=read_labels(labels, source.shape),
            network=opened,
            folder=folder,
            training=training,
            meaning=meaning,
            predict=settings,
            keep=keep,
            resume=bool(resume),
        )
        job, follower = FineTuning(order, watch), Follower(bar, stop, drawn)
        tuned = follower.follow(job.events(), Tuned, job.stop)
        path, made = job.save(keep, out), job.network(keep)
        job.close()
    assert made is not None
    _refuse_divergence(tuned.trained, path, tuned.step)
    return {
        **_about(path, made, folder, tuned.trained),
        "kept": tuned.kept,
        "kept_step": tuned.step,
        "seconds": tuned.seconds,
        "parts": dict(tuned.parts),
        "better": is_better(tuned.verdict),
        "verdict": verdict_words(tuned.before, tuned.after),
        "before": tuned.before.as_dict(),
        "after": tuned.after.as_dict(),
        "normalization_before": dict(opened.spec.normalization),
        "converted": follower.converted and _change(follower.converted, opened.spec.classes),
        "parent_sha256": opened.sha256,
        "notes": follower.notes,
    }


def run_train(config: Path, *, keep: Kept, resume: bool | None, curves: str, quiet: bool) -> dict[str, Any]:
    """Train a network from scratch and write it; give plain values, ready for JSON.

    Raises
    ------
    TilesegError, StoppedError
        As `run_finetune`.
    """
    watch, recipe = Watch(), read_recipe(config)
    check_places(recipe.output, recipe.folder, resume)
    with (
        StopSignal(*_LEARNING) as stop,
        ProgressBar(quiet=quiet) as bar,
        Curves(curves, recipe.folder) as drawn,
    ):
        follower = Follower(bar, stop, drawn)
        training = follower.finish(lay_out(recipe, resume=bool(resume), watch=watch))
        trained = follower.follow(training.events(), Trained, training.stop)
        path, made = training.save(keep, recipe.output), training.network(keep)
        kept, step = training.resolved(keep)
        training.close()
    _refuse_divergence(trained, path, step)
    best = training.best
    dice = [None] * len(recipe.classes) if best is None else [_known(value) for value in best.dice]
    return {
        **_about(path, made, recipe.folder, trained),
        "kept": kept,
        "kept_step": step,
        "loss": None if best is None else _known(best.loss),
        "dice": None if best is None else _known(best.mean),
        "classes": [{"name": n, "dice": d} for n, d in zip(recipe.classes, dice, strict=True)],
        "notes": follower.notes,
    }


def run_convert(
    network: str,
    image: str,
    out: Path,
    *,
    device: str,
    image_settings: ImageSettings,
    network_settings: NetworkSettings,
    settings: PredictSettings,
    quiet: bool,
) -> dict[str, Any]:
    """Convert a network's normalization layers and write it; give plain values, ready for JSON.

    Raises
    ------
    TilesegError, StoppedError
        As `run_finetune`; `NetworkError` where there is no layer to convert.
    """
    check_places(out)
    begun = monotonic()
    with StopSignal(*_CONVERTING) as stop, ProgressBar(quiet=quiet) as bar:
        source, opened = open_image(image, image_settings), open_network(network, network_settings)
        follower = Follower(bar, stop)
        plan = follower.finish(
            plan_prediction(source, opened, replace(settings, device=device), route=WHOLE_TILES)
        )
        converted = follower.finish(convert_network(opened, [plan]))
        change = follower.converted
        if change is None:
            raise NetworkError(
                f"{opened.spec.name} has no layer to convert: its normalization is "
                f"{', '.join(opened.spec.normalization) or 'none'}. Use it as it is."
            )
        said = {"parent_sha256": opened.sha256, "calibrated_on": source.uri or source.name}
        description = replace(converted.description, provenance=said)
        path = save_described(converted.module, description, out)
    written = open_network(path)
    return {
        "output": str(path),
        **_change(change, opened.spec.classes),
        "normalization": dict(written.spec.normalization),
        "seam_free": written.spec.seam_free,
        "network_sha256": written.sha256,
        "parent_sha256": opened.sha256,
        "seconds": monotonic() - begun,
    }


def _about(path: Path, made: Network, folder: Path, trained: Trained) -> dict[str, Any]:
    """What both verbs tell of a network that was trained and written."""
    # To open what was written would take longer than to hash it, and somebody waits.
    return {
        "output": str(path),
        "steps": trained.steps,
        "seconds": trained.seconds,
        "reason": trained.reason,
        "phase": trained.phase,
        "best_step": trained.best_step,
        "best_score": _known(trained.best_score),
        "normalization": dict(made.spec.normalization),
        "network_sha256": hashlib.sha256(path.read_bytes()).hexdigest(),
        "run": str(folder),
    }


def _change(converted: Calibrated, classes: tuple[str, ...]) -> dict[str, Any]:
    return {
        "layers": list(converted.layers),
        "classes": [{"name": n, "dice": d} for n, d in zip(classes, converted.dice, strict=True)],
        "max_abs_difference": converted.max_abs_difference,
    }


def _refuse_divergence(trained: Trained, path: Path, step: int) -> None:
    if trained.reason == "diverged":
        raise NetworkError(f"{trained.message} The weights after step {step} are in {path}.")


def _known(value: float) -> float | None:
    return value if isfinite(value) else None
