"""``tileseg sweep``: what the size of the tiles does to a prediction."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import click

from napari_tileseg._types import Shape
from napari_tileseg.cli.answers import answer, json_option, table
from napari_tileseg.cli.files.labels import ComparedLabels
from napari_tileseg.cli.options import takes_settings
from napari_tileseg.cli.verbs.diagnose import PLAIN_TILES, quiet_option, report_option
from napari_tileseg.settings import LARGEST_SEED, ImageSettings, LabelSettings, NetworkSettings, knob


@dataclass(frozen=True, slots=True, kw_only=True)
class SweepSettings:
    """Which sizes of tiles are tried."""

    sizes: Shape | None = knob(
        "ints",
        None,
        "Lengths of a tile to try, halo included; five by default, from the smallest that can be compared.",
        unit="voxels",
        minimum=1,
    )
    pairs: int = knob("int", 4, "Pairs of tiles to compare at each size.", minimum=1)
    threshold: float = knob("float", 0.5, "Least probability that belongs to a mask.", minimum=0, maximum=1)
    seed: int = knob(
        "int",
        0,
        "Of the random positions: the same seed gives the same ones.",
        minimum=0,
        maximum=LARGEST_SEED,
    )


@click.command()
@click.argument("image", metavar="IMAGE")
@click.argument("network", metavar="NETWORK")
@report_option
@takes_settings(
    sizes=SweepSettings,
    labels=ComparedLabels,
    meaning=LabelSettings,
    image_settings=ImageSettings,
    network_settings=NetworkSettings,
    settings=PLAIN_TILES,
)
@quiet_option
@json_option
def sweep(*, as_json: bool, sizes: SweepSettings, **request: Any) -> None:
    """Predict the same regions of IMAGE in tiles of several sizes.

    A network that is free of seams gives the same whatever the size. One that is not changes with it.

    With --json: points, a list of size, mismatch (as measured with tiles of that size: classes,
    max_abs_difference, seam_free and more) and dice (one for each class; null without --labels); classes;
    view (the part of the image that the report shows); image; network; network_sha256; report (path, or
    null).
    """
    from napari_tileseg.cli.run.diagnosis import run_sweep

    values = run_sweep(how=sizes, **request)
    answer(values, _summary(values), as_json=as_json)


def _summary(values: dict[str, Any]) -> Iterator[str]:
    yield from table(_rows(values))
    if values["report"]:
        yield f"Report: {values['report']}"


def _rows(values: dict[str, Any]) -> Iterator[tuple[str, ...]]:
    labelled, classes = values["points"][0]["dice"] is not None, values["classes"]
    dice = [f"Dice of {name}" for name in classes] if labelled else []
    yield ("tile", *(f"mismatch of {name}" for name in classes), "largest difference", *dice)
    for point in values["points"]:
        mismatch = point["mismatch"]
        numbers = [each["tile_mismatch"] for each in mismatch["classes"]]
        numbers += [mismatch["max_abs_difference"], *(point["dice"] or ())]
        yield (str(point["size"]), *(f"{number:.4f}" for number in numbers))
