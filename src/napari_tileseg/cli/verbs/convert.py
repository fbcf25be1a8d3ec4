"""``tileseg convert``: BatchRenorm instead of a network's normalization layers, without training."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import click

from napari_tileseg.cli.answers import answer, json_option
from napari_tileseg.cli.options import takes_settings
from napari_tileseg.cli.training_options import INTENSITIES, output_option, quiet_option
from napari_tileseg.settings import ImageSettings, NetworkSettings


@click.command()
@click.argument("network", metavar="NETWORK")
@click.option(
    "--norm",
    type=click.Choice(["batch_renorm"]),
    default="batch_renorm",
    show_default=True,
    help="What normalization layers become.",
)
@click.option(
    "--calibrate",
    "image",
    metavar="IMAGE",
    required=True,
    help="Image on which the running statistics are measured.",
)
@output_option
@click.option("--device", default="auto", show_default=True, help="Where to compute: auto, cpu, mps, cuda.")
@takes_settings(image_settings=ImageSettings, network_settings=NetworkSettings, settings=INTENSITIES)
@quiet_option
@json_option
def convert(*, as_json: bool, norm: str, **request: Any) -> None:
    """Replace the normalization layers of NETWORK, keep its weights, and measure statistics on an image.

    The result makes no seams. It is not the same function: how far its predictions are from those of NETWORK
    is measured on tiles of the image. Where that is too far, fine-tune it.

    With --json: output (path); layers (paths of the converted ones); classes, a list of name and dice
    (between the predictions before and after; 1 is no change); max_abs_difference; normalization (kind of
    layer to how many); seam_free; network_sha256 (of the output); parent_sha256; seconds.
    """
    from napari_tileseg.cli.run.training import run_convert

    del norm  # BatchRenorm is all there is to choose yet.
    values = run_convert(**request)
    answer(values, _summary(values), as_json=as_json)


def _summary(values: dict[str, Any]) -> Iterator[str]:
    yield f"{values['output']}: {len(values['layers'])} layers are BatchRenorm now"
    changes = ", ".join(f"{each['name']} {each['dice']:.4f}" for each in values["classes"])
    yield f"Dice between the predictions before and after: {changes}"
    yield f"Largest difference of probabilities: {values['max_abs_difference']:.2g}"
