"""``tileseg sample``: a synthetic image with its labels, to try things on."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import click

from napari_tileseg._outputs import SAMPLE, STROKES, check_output
from napari_tileseg._types import Shape
from napari_tileseg.cli.answers import answer, json_option
from napari_tileseg.cli.options import takes_settings
from napari_tileseg.settings import LARGEST_SEED, knob


@dataclass(frozen=True, slots=True, kw_only=True)
class SampleSettings:
    """Which sample is made."""

    kind: str = knob(
        "choice", "nuclei", "Nuclei in a volume, or cells in a flat image.", choices=("nuclei", "cells")
    )
    shape: Shape | None = knob(
        "ints",
        None,
        "Size along each axis; 64,256,256 for nuclei and 1024,1024 for cells by default.",
        unit="voxels",
        minimum=1,
    )
    seed: int = knob("int", 0, "The same seed gives the same sample.", minimum=0, maximum=LARGEST_SEED)


@click.command()
@click.argument("out", metavar="OUT", type=click.Path(path_type=Path))
@click.option(
    "--strokes",
    type=click.Path(path_type=Path),
    help="TIFF to write a few painted lines to, from which a network can be fine-tuned.",
)
@takes_settings(settings=SampleSettings)
@json_option
def sample(out: Path, strokes: Path | None, settings: SampleSettings, as_json: bool) -> None:
    """Write a synthetic image and its labels to OUT.

    OUT becomes an OME-Zarr image with its labels inside, or, if it ends in .tif or .tiff, an OME-TIFF
    with the labels beside it as OUT_labels.tif. With --strokes a few lines in a few slices are written, too:
    1 in objects, 2 on their boundaries, 3 in the background. Nothing that is there already is overwritten.

    With --json: output, labels, strokes (paths; strokes is null without --strokes), shape, voxel_size (um),
    objects (count), kind, seed.
    """
    from napari_tileseg.cli.files.sample_files import write_sample, write_strokes
    from napari_tileseg.samples import cells_image, nuclei_volume

    check_output(out, SAMPLE)
    if strokes is not None:
        check_output(strokes, STROKES)
    make = nuclei_volume if settings.kind == "nuclei" else cells_image
    shape = {} if settings.shape is None else {"shape": settings.shape}
    made = make(**shape, seed=settings.seed)
    if strokes is not None:
        write_strokes(made, strokes)
    labels = write_sample(made, out)
    report: dict[str, Any] = {
        "output": str(out),
        "labels": str(labels),
        "strokes": None if strokes is None else str(strokes),
        "shape": made.image.shape,
        "voxel_size": made.voxel_size,
        "objects": int(made.labels.max()),
        "kind": settings.kind,
        "seed": settings.seed,
    }
    size = " x ".join(map(str, made.image.shape))
    painted = "" if strokes is None else f", strokes in {strokes}"
    lines = (f"{out}: {size} voxels, {report['objects']} {settings.kind}; labels in {labels}{painted}",)
    answer(report, lines, as_json=as_json)
