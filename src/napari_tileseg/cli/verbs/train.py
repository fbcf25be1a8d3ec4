"""``tileseg train``: a network from scratch, by a recipe."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import click

from napari_tileseg.cli.answers import answer, json_option, table
from napari_tileseg.cli.training_answers import trained_line
from napari_tileseg.cli.training_options import curves_option, quiet_option, resume_option


@click.command()
@click.argument("config", metavar="CONFIG", type=click.Path(path_type=Path))
@click.option(
    "--keep",
    type=click.Choice(["best", "last"]),
    default="best",
    show_default=True,
    help="Keep the weights of the best validation score, or the last ones.",
)
@resume_option
@curves_option
@quiet_option
@json_option
def train(*, as_json: bool, **request: Any) -> None:
    """Train a network from scratch on pairs of images and labels, as CONFIG describes.

    CONFIG is a recipe in YAML; the documentation lists its keys. What it leaves out is as in the paper: Adam,
    0.001, 25,000 steps of one patch and 8 accumulations, flips.

    Ctrl-C stops within one step; the same command with --resume goes on, to the same result.

    With --json: output (path); kept (best or last, as it happened: the last where nothing is held out) and
    kept_step (0: before the first step); steps; seconds; reason (done or stopped); phase;
    best_step and best_score; loss and dice (mean of the classes on what is held out, at the best step; null
    where nothing is) with classes, a list of name and dice; normalization (kind of layer to how many); run
    (folder); network_sha256 (of the output); notes (sentences).
    """
    from napari_tileseg.cli.run.training import run_train

    values = run_train(**request)
    answer(values, _summary(values), as_json=as_json)


def _summary(values: dict[str, Any]) -> Iterator[str]:
    yield trained_line(values)
    yield ""
    rows = [("class", "Dice on what is held out")]
    rows += [(c["name"], "-" if c["dice"] is None else f"{c['dice']:.4f}") for c in values["classes"]]
    yield from table(rows)
    yield from values["notes"]
