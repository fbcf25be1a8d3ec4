"""``tileseg finetune``: a network that is wrong on an image learns from a few strokes."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import click

from napari_tileseg.cli.answers import answer, json_option, table
from napari_tileseg.cli.options import takes_settings
from napari_tileseg.cli.training_answers import parts_words, trained_line
from napari_tileseg.cli.training_options import (
    INTENSITIES,
    curves_option,
    output_option,
    quiet_option,
    resume_option,
)
from napari_tileseg.settings import ImageSettings, LabelSettings, NetworkSettings, TrainSettings
from napari_tileseg.training.watch import Watch


@click.command()
@click.argument("image", metavar="IMAGE")
@click.argument("labels", metavar="LABELS")
@click.argument("network", metavar="NETWORK")
@output_option
@click.option(
    "--keep",
    type=click.Choice(["best", "last"]),
    default="best",
    show_default=True,
    help="Keep the weights of the best validation score, or the last ones.",
)
@click.option(
    "--run",
    "folder",
    type=click.Path(path_type=Path),
    help="Folder for checkpoints and curves; by default beside the output, ending in .run.",
)
@resume_option
@curves_option
@takes_settings(
    meaning=LabelSettings,
    training=TrainSettings,
    image_settings=ImageSettings,
    network_settings=NetworkSettings,
    settings=INTENSITIES,
)
@quiet_option
@json_option
def finetune(*, as_json: bool, **request: Any) -> None:
    """Train NETWORK on LABELS of IMAGE, and write it as a new network.

    LABELS is any file that can be an image, on the grid of IMAGE; --labels-kind says what it holds. A few
    strokes in single slices are enough: what is not labelled counts for nothing. The network's normalization
    layers become BatchRenorm first (--norm keep leaves them), so that the result makes no seams.

    Ctrl-C stops within one step and keeps what was learned so far in the folder of the run; the same command
    with --resume goes on there, to the same result as if it had not been stopped.

    With --json: output (path); kept (best or last, as it happened: the last where nothing is held out) and
    kept_step (0: before the first step); better (true or false by the strokes held out, null where none are)
    and verdict (the same in words); steps; seconds (from the start to the decision) and parts (seconds of
    each part of that); reason (done or stopped); phase (batch, ramp, full or none: where the schedule of
    batch renormalization ended); best_step and best_score; before and after, each
    with loss and dice (on the strokes held out), held_out, held_out_strokes, tile_mismatch and
    train_eval_disparity (of the class with the largest), seam_free, max_abs_difference (of two tiles), and
    classes, a list of name, dice, tile_mismatch and train_eval_disparity (null: could not be measured);
    normalization (kind of layer to how many, of the new network); normalization_before; converted (null, or
    layers, and classes and max_abs_difference between the predictions before and after conversion); run
    (folder); network_sha256 (of the output); parent_sha256; notes (sentences).
    """
    # The minutes begin before what is loaded for them.
    watch = Watch()
    from napari_tileseg.cli.run.training import TuneCommand, run_finetune

    values = run_finetune(TuneCommand(**request), watch)
    answer(values, _summary(values), as_json=as_json)


def _summary(values: dict[str, Any]) -> Iterator[str]:
    yield trained_line(values)
    yield ""
    yield from table(_rows(values["before"], values["after"]))
    yield values["verdict"]
    if values["better"] is False:
        yield "The network as it was may serve you better: use that one, or paint more and train anew."
    yield ""
    layers = ", ".join(f"{count} {kind}" for kind, count in values["normalization"].items())
    yield f"Normalization: {layers or 'none'}"
    yield f"Time: {parts_words(values['parts'])}"
    yield from values["notes"]


def _rows(before: dict[str, Any], after: dict[str, Any]) -> Iterator[tuple[str, ...]]:
    yield ("", "before", "after")
    labels = "held-out strokes" if after["held_out"] else "labels it learned from"
    keys = {
        "loss": f"loss on {labels}",
        "dice": f"Dice on {labels}",
        "tile_mismatch": "tile mismatch",
        "train_eval_disparity": "train/eval disparity",
    }
    for key, words in keys.items():
        yield (words, *("-" if each[key] is None else f"{each[key]:.4f}" for each in (before, after)))
