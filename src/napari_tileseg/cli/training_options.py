"""Flags that the verbs which train have in common."""

from __future__ import annotations

from pathlib import Path

import click

from napari_tileseg.cli.options import Part
from napari_tileseg.settings import PredictSettings

#: How images are read; the rest of these settings is about tiles of a prediction.
INTENSITIES = Part(PredictSettings, ("normalize", "quantiles", "range", "padding", "nonfinite"))
#: The same, and of what statistics are taken.
MEASURING = Part(
    PredictSettings,
    (
        *INTENSITIES.names,
        *("statistics", "sample_error", "sample_seed", "intensities", "region"),
        *("resample", "memory", "scratch", "scratch_folder"),
    ),
)

output_option = click.option(
    "-o",
    "--output",
    "out",
    type=click.Path(path_type=Path),
    required=True,
    help="Network file to write, .safetensors.",
)
resume_option = click.option(
    "--resume/--restart",
    "resume",
    default=None,
    help="Resume a run that was stopped, or discard it and begin again.",
)
curves_option = click.option(
    "--curves",
    type=click.Choice(["csv", "tensorboard"]),
    default="csv",
    show_default=True,
    help="Write losses, scores and phases as curve.csv in the run's folder alone, or for TensorBoard too.",
)
quiet_option = click.option("-q", "--quiet", is_flag=True, help="Show no progress.")
