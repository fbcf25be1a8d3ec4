"""Drives training for the shell, and writes what comes of it."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from math import isfinite
from pathlib import Path
from typing import Any

from napari_tileseg.cli.files.checks import check_outputs
from napari_tileseg.cli.files.curves import Curves
from napari_tileseg.cli.run.interruption import StopSignal
from napari_tileseg.cli.run.progress_bar import ProgressBar
from napari_tileseg.cli.run.training_log import Follower
from napari_tileseg.errors import NetworkError
from napari_tileseg.images import open_image
from napari_tileseg.nets import Network, open_network
from napari_tileseg.settings import (
    ImageSettings,
    LabelSettings,
    NetworkSettings,
    PredictSettings,
    TrainSettings,
)
from napari_tileseg.training import Calibrated, Trained
from napari_tileseg.training.watch import Watch
from napari_tileseg.workflows.finetuning import FineTuning
from napari_tileseg.workflows.finetuning_events import FinalWeights
from napari_tileseg.workflows.finetuning_request import TuneRequest
from napari_tileseg.workflows.from_scratch import lay_out
from napari_tileseg.workflows.label_file import read_labels
from napari_tileseg.workflows.recipe_file import read_recipe
from napari_tileseg.workflows.verdict import is_better, verdict_words

#: What is finished after a first Ctrl-C, and what to do after a second one.
_LEARNING = (
    "the step at hand",
    "The same command with --resume goes on from the last checkpoint, if there is one yet.",
)


@dataclass(frozen=True, slots=True, kw_only=True)
class TuneCommand:
    """What ``tileseg finetune`` is asked for.

    Parameters
    ----------
    image, labels, network : str
        Paths, or ``sample:NAME``.
    out : Path
        Network file to write.
    keep : {"best", "last"}
        Which weights are written.
    folder : Path, optional
        Folder of the run; beside the output by default.
    resume : bool, optional
        Whether to resume the run in the folder, or to replace it; None refuses to do either.
    curves : {"csv", "tensorboard"}
        How losses and scores are written.
    meaning, training, image_settings, network_settings, settings : settings
        What the labels' values mean, how it is trained, how image and network are opened, and how
        intensities are normalized.
    quiet : bool
        Whether to show no progress.
    """

    image: str
    labels: str
    network: str
    out: Path
    keep: FinalWeights
    folder: Path | None
    resume: bool | None
    curves: str
    meaning: LabelSettings
    training: TrainSettings
    image_settings: ImageSettings
    network_settings: NetworkSettings
    settings: PredictSettings
    quiet: bool


def run_finetune(command: TuneCommand, watch: Watch) -> dict[str, Any]:
    """Fine-tune a network and write it; give plain values, ready for JSON.

    Parameters
    ----------
    command : TuneCommand
        What is asked for.
    watch : Watch
        Counts since the command began.

    Raises
    ------
    TilesegError
        If image, labels, network, settings, output paths or device are not what they should be, or the loss
        became NaN; the last good weights are written then.
    StoppedError
        If a signal asked to stop.
    """
    folder = command.folder or command.out.with_suffix(".run")
    check_outputs(command.out, folder, command.resume)
    with (
        StopSignal(*_LEARNING) as stop,
        ProgressBar(quiet=command.quiet) as bar,
        Curves(command.curves, folder) as drawn,
    ):
        source = open_image(command.image, command.image_settings)
        opened = open_network(command.network, command.network_settings)
        request = TuneRequest(
            image=source,
            labels=read_labels(command.labels, source.shape),
            network=opened,
            folder=folder,
            training=command.training,
            meaning=command.meaning,
            predict=command.settings,
            which=command.keep,
            resume=bool(command.resume),
        )
        job, follower = FineTuning(request, watch), Follower(bar, stop, drawn)
        tuned = follower.follow(job.run(), job.stop)
        path, made = job.trainer.save(command.keep, command.out), job.trainer.network(command.keep)
        job.close()
    _refuse_divergence(tuned.trained, path, tuned.step)
    return {
        **_about(path, made, folder, tuned.trained),
        "kept": tuned.which,
        "kept_step": tuned.step,
        "seconds": tuned.seconds,
        "parts": dict(tuned.parts),
        "better": is_better(tuned.verdict),
        "verdict": verdict_words(tuned.before, tuned.after),
        "before": tuned.before.as_dict(),
        "after": tuned.after.as_dict(),
        "normalization_before": dict(opened.spec.norm_counts),
        "converted": follower.converted and conversion(follower.converted, opened.spec.classes),
        "parent_sha256": opened.sha256,
        "notes": follower.notes,
    }


def run_train(
    config: Path, *, keep: FinalWeights, resume: bool | None, curves: str, quiet: bool
) -> dict[str, Any]:
    """Train a network from scratch and write it; give plain values, ready for JSON.

    Raises
    ------
    TilesegError, StoppedError
        As `run_finetune`.
    """
    watch, recipe = Watch(), read_recipe(config)
    check_outputs(recipe.output, recipe.folder, resume)
    with (
        StopSignal(*_LEARNING) as stop,
        ProgressBar(quiet=quiet) as bar,
        Curves(curves, recipe.folder) as drawn,
    ):
        follower = Follower(bar, stop, drawn)
        trainer = follower.follow(lay_out(recipe, resume=bool(resume), watch=watch))
        trained = follower.follow(trainer.run(), trainer.stop)
        path, made = trainer.save(keep, recipe.output), trainer.network(keep)
        which, step = trainer.weights.resolve(keep)
        trainer.close()
    _refuse_divergence(trained, path, step)
    best = trainer.weights.best_score
    dice = [None] * len(recipe.classes) if best is None else [_known(value) for value in best.dice]
    return {
        **_about(path, made, recipe.folder, trained),
        "kept": which,
        "kept_step": step,
        "loss": None if best is None else _known(best.loss),
        "dice": None if best is None else _known(best.mean),
        "classes": [{"name": n, "dice": d} for n, d in zip(recipe.classes, dice, strict=True)],
        "notes": follower.notes,
    }


def _about(path: Path, made: Network, folder: Path, trained: Trained) -> dict[str, Any]:
    """Return what both verbs answer of a network that was trained and written."""
    # To open what was written would take longer than to hash it, and somebody waits.
    return {
        "output": str(path),
        "steps": trained.steps,
        "seconds": trained.seconds,
        "reason": trained.reason,
        "phase": trained.phase,
        "best_step": trained.best_step,
        "best_score": _known(trained.best_score),
        "normalization": dict(made.spec.norm_counts),
        "network_sha256": hashlib.sha256(path.read_bytes()).hexdigest(),
        "run": str(folder),
    }


def conversion(converted: Calibrated, classes: tuple[str, ...]) -> dict[str, Any]:
    """Return what conversion to BatchRenorm changed, in plain values."""
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
