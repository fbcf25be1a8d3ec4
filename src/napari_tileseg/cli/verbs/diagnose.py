"""``tileseg diagnose``: whether tiles disagree, how much, why, and what to do."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import click

from napari_tileseg.cli.answers import answer, json_option, table
from napari_tileseg.cli.files.labels import ComparedLabels
from napari_tileseg.cli.options import Part, takes_settings
from napari_tileseg.settings import (
    DiagnoseSettings,
    ImageSettings,
    LabelSettings,
    NetworkSettings,
    PredictSettings,
)

report_option = click.option(
    "-o",
    "--output",
    "out",
    type=click.Path(path_type=Path),
    help="Folder for a report: one HTML page with its pictures, the pictures as PNG, and JSON.",
)
quiet_option = click.option("-q", "--quiet", is_flag=True, help="Show no progress.")
#: Tiles that are looked at as such are not derived from what they cost.
PLAIN_TILES = Part.without(PredictSettings, "memory")


@click.command()
@click.argument("image", metavar="IMAGE")
@click.argument("network", metavar="NETWORK")
@report_option
@click.option(
    "--heatmap",
    type=click.Path(path_type=Path),
    help="OME-Zarr to write the difference at every voxel to. All tiles are compared then, whatever "
    "--sample, --effort and --shift say, which costs two predictions.",
)
@takes_settings(
    labels=ComparedLabels,
    meaning=LabelSettings,
    diagnosis=DiagnoseSettings,
    image_settings=ImageSettings,
    network_settings=NetworkSettings,
    settings=PredictSettings,
)
@quiet_option
@json_option
def diagnose(*, as_json: bool, **request: Any) -> None:
    """Find out whether the prediction of IMAGE with NETWORK depends on its tiles.

    The tiles are those of tileseg predict with the same flags. Some of them are compared, voxel by voxel,
    with tiles that are moved by half their core; where they disagree, the cause is found by experiment.
    Nothing else is predicted: --effort bounds the voxels put through the network. Where one tile holds the
    whole image there can be no seam, and that is the answer. A report with -o predicts the worst place and
    its surroundings once more.

    With --json: seam_free; classes, a list of name, tile_mismatch, tile_mismatch_thresholded, interval (95 %
    confidence of tile_mismatch; null where all pairs were compared), empty_pairs, train_eval_disparity and
    train_eval_disparity_thresholded (null where the network cannot be switched), and with --labels
    dice_eval and dice_train; max_dice_mismatch; max_abs_difference; mean_abs_difference; tolerance (the
    difference that rounding explains); pairs (compared, 0 where no two tiles meet) and pairs_in_all;
    compared (what with what, in words); tile (with its context), halo ([before, after]), stride and shift
    along the grid axes; skipped (axes along which no tile is moved, each with its reason);
    causes, a list of name, share, layers, sentence, cure and difference_without, the largest share first;
    cause and cure (a sentence or two each); commands (lines for the shell that carry out the cure without
    training, if there is one that does); disparity (reason, max_abs_difference, tiles); layers (statistics of
    each normalization layer); voxels (put through the network), prediction_voxels (that the prediction puts
    through it) and image_voxels (of the image or its box); intensities (how they were prepared, in words);
    image; network; network_sha256; report and heatmap (paths, or null).
    """
    from napari_tileseg.cli.run.diagnosis import run_diagnose

    values = run_diagnose(**request)
    answer(values, _summary(values), as_json=as_json)


def _summary(values: dict[str, Any]) -> Iterator[str]:
    yield from _verdict(values)
    yield ""
    yield from table(_rows(values["classes"]))
    yield ""
    yield f"Cause: {values['cause']}"
    yield f"Cure:  {values['cure']}"
    for cause in values["causes"]:
        if cause["share"] is not None:
            yield f"  {cause['share']:4.0%}  {cause['name']}"
    for number, command in enumerate(values["commands"]):
        yield f"{'' if number else 'Try:':<6} {command}"
    for each in values["skipped"]:
        yield f"Along {each['axis']} no tile was moved: {each['reason']}."
    yield values["disparity"]["reason"]
    if values["report"]:
        yield f"Report: {values['report']}"


def _verdict(values: dict[str, Any]) -> Iterator[str]:
    pairs, largest = values["pairs"], f"{values['max_abs_difference']:.2g}"
    if not pairs:
        yield f"Seam-free: {values['compared']}."
        return
    if values["seam_free"]:
        yield f"Seam-free: tiles agree; the largest difference is {largest}, which is rounding."
    else:
        yield f"Not seam-free: the same voxel differs by up to {largest} between two tiles."
    yield f"Compared: {values['compared']}, {pairs} of {values['pairs_in_all']} pairs."


def _rows(classes: list[dict[str, Any]]) -> Iterator[tuple[str, ...]]:
    labelled = "dice_eval" in classes[0]
    dice = ("Dice (eval)", "Dice (train)") if labelled else ()
    yield ("class", "mismatch", "of masks", "disparity", "of masks", *dice)
    keys = (
        "tile_mismatch",
        "tile_mismatch_thresholded",
        "train_eval_disparity",
        "train_eval_disparity_thresholded",
        *(("dice_eval", "dice_train") if labelled else ()),
    )
    for each in classes:
        yield (each["name"], *("-" if each[key] is None else f"{each[key]:.4f}" for key in keys))
