"""``tileseg receptive-field``: how far a network can see, and how far it does."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import click

from napari_tileseg.cli.answers import answer, json_option, table
from napari_tileseg.cli.options import takes_settings
from napari_tileseg.cli.verbs.diagnose import PLAIN_TILES, quiet_option, report_option
from napari_tileseg.settings import LARGEST_SEED, ImageSettings, NetworkSettings, knob


@dataclass(frozen=True, slots=True, kw_only=True)
class FieldSettings:
    """How the effective receptive field is measured."""

    tiles: int = knob("int", 8, "Tiles at random positions whose gradients are averaged.", minimum=1)
    share: float = knob(
        "float",
        0.95,
        "Part of the gradient that the effective field holds along each axis.",
        minimum=0.01,
        maximum=0.999,
    )
    seed: int = knob(
        "int",
        0,
        "Of the random positions: the same seed gives the same ones.",
        minimum=0,
        maximum=LARGEST_SEED,
    )


@click.command("receptive-field")
@click.argument("image", metavar="IMAGE")
@click.argument("network", metavar="NETWORK")
@report_option
@takes_settings(
    field=FieldSettings,
    image_settings=ImageSettings,
    network_settings=NetworkSettings,
    settings=PLAIN_TILES,
)
@quiet_option
@json_option
def receptive_field(*, as_json: bool, field: FieldSettings, **request: Any) -> None:
    """Measure how far NETWORK can see, and how far it does see on IMAGE.

    The effective field comes from the gradient of the centre voxel's outputs. With -o its picture is drawn,
    and the gradient itself is written as gradient.tif.

    With --json: theoretical (axes; extent and sides, null where unbounded; reason); effective (axes, share,
    sides, extent, tiles, centre); image; network; network_sha256; report (path, or null). Extents and sides
    ([before, after]) are in voxels.
    """
    from napari_tileseg.cli.run.diagnosis import run_receptive_field

    values = run_receptive_field(tiles=field.tiles, share=field.share, seed=field.seed, **request)
    answer(values, _summary(values), as_json=as_json)


def _summary(values: dict[str, Any]) -> Iterator[str]:
    yield from table(_rows(values["theoretical"], values["effective"]))
    if values["theoretical"]["extent"] is None:
        yield values["theoretical"]["reason"]
    if values["report"]:
        yield f"Report: {values['report']}"


def _rows(theory: dict[str, Any], effective: dict[str, Any]) -> Iterator[tuple[str, ...]]:
    yield ("axis", "theoretical", "before, after", "effective", "before, after")
    for number, axis in enumerate(effective["axes"]):
        could = ("unbounded", "unbounded")
        if theory["extent"] is not None:
            could = (str(theory["extent"][number]), ", ".join(map(str, theory["sides"][number])))
        sides = ", ".join(map(str, effective["sides"][number]))
        yield (axis, *could, str(effective["extent"][number]), sides)
