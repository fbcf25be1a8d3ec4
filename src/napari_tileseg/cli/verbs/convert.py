"""``tileseg convert``: other layers instead of a network's normalization layers, without training."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import click

from napari_tileseg.cli.answers import answer, json_option
from napari_tileseg.cli.options import takes_settings
from napari_tileseg.cli.training_options import MEASURING, output_option, quiet_option
from napari_tileseg.settings import ImageSettings, NetworkSettings


@click.command()
@click.argument("network", metavar="NETWORK")
@click.option(
    "--norm",
    type=click.Choice(["batch_renorm", "frozen"]),
    default="batch_renorm",
    show_default=True,
    help="What normalization layers become: BatchRenorm, or BatchNorm that holds exact statistics.",
)
@click.option(
    "--calibrate",
    "images",
    metavar="IMAGE",
    required=True,
    multiple=True,
    help="Image of which the statistics are; more than one may be given, which then count as one image.",
)
@output_option
@click.option("--device", default="auto", show_default=True, help="Where to compute: auto, cpu, mps, cuda.")
@takes_settings(image_settings=ImageSettings, network_settings=NetworkSettings, settings=MEASURING)
@quiet_option
@json_option
def convert(*, as_json: bool, norm: str, **request: Any) -> None:
    """Replace the normalization layers of NETWORK, keep its weights, and measure statistics on an image.

    The result makes no seams.

    batch_renorm: statistics are measured on tiles. It is not the same function: how far its predictions are
    from those of NETWORK is measured on tiles of the image. Where that is too far, fine-tune it.

    frozen: each InstanceNorm, GroupNorm, and BatchNorm without running statistics becomes a BatchNorm that
    holds what was gathered of the image, layer after layer: exactly, of a region or with --statistics whole
    of all of it, or of a sample. It gives what tileseg predict gives of NETWORK with the same --statistics,
    and does so for any image without gathering.

    With --json: output (path); layers (paths of the converted ones); normalization (kind of layer to how
    many); seam_free; network_sha256 (of the output); parent_sha256; seconds. For batch_renorm also classes, a
    list of name and dice (between the predictions before and after; 1 is no change), and max_abs_difference;
    for frozen also statistics_of, a list of image, region (start and stop along each axis) and voxel_size.
    """
    from napari_tileseg.cli.run.converting import ConvertCommand, run_convert

    values = run_convert(ConvertCommand(norm=norm, **request))
    answer(values, _summary(values), as_json=as_json)


def _summary(values: dict[str, Any]) -> Iterator[str]:
    count = len(values["layers"])
    if "statistics_of" in values:
        yield f"{values['output']}: {count} layers are BatchNorm now, with statistics of"
        for each in values["statistics_of"]:
            yield f"  {each['image']}, {','.join(f'{a}:{b}' for a, b in each['region'])}"
        return
    yield f"{values['output']}: {count} layers are BatchRenorm now"
    changes = ", ".join(f"{each['name']} {each['dice']:.4f}" for each in values["classes"])
    yield f"Dice between the predictions before and after: {changes}"
    yield f"Largest difference of probabilities: {values['max_abs_difference']:.2g}"
