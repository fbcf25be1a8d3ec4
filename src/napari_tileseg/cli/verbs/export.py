"""``tileseg export``: a network for other programs."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import click

from napari_tileseg._outputs import EXPORTS
from napari_tileseg._words import bytes_words
from napari_tileseg.cli.answers import answer, json_option
from napari_tileseg.cli.options import takes_settings
from napari_tileseg.settings import ImageSettings, NetworkSettings


@click.command()
@click.argument("network", metavar="NETWORK")
@click.option(
    "-o",
    "--output",
    "out",
    type=click.Path(path_type=Path),
    required=True,
    help=(
        "What to write: a package of bioimage.io (.zip, or a new folder), .onnx, .pt2 (torch.export), "
        ".torchscript, or a state dict (.pt)."
    ),
)
@click.option(
    "--format",
    "format_",
    type=click.Choice(list(EXPORTS)),
    help="By the ending of the output by default.",
)
@click.option(
    "--author", "authors", multiple=True, metavar="NAME", help="Author of a package; may be repeated."
)
@click.option(
    "--license",
    "license_",
    default="CC-BY-4.0",
    show_default=True,
    help="Licence of a package, as SPDX has it.",
)
@click.option("--description", default="", help="A sentence for a package: what is found in which images.")
@click.option(
    "--cite", "citations", multiple=True, metavar="TEXT", help="Work to cite, with its DOI; may be repeated."
)
@click.option(
    "--image", metavar="IMAGE", help="Image whose middle becomes the test image and the cover of a package."
)
@takes_settings(image_settings=ImageSettings, network_settings=NetworkSettings)
@json_option
def export(*, as_json: bool, **request: Any) -> None:
    """Write NETWORK for other programs, and check that what was written gives the same.

    BatchRenorm becomes BatchNorm of the same weights. ONNX, TorchScript, exported programs and packages give
    probabilities; a state dict gives what is before them. Beside a single file lies NAME.json with classes,
    intensities and voxel size, by which it opens here again. What the format cannot say is told, and stands
    in the README of a package. ONNX and packages need: pip install "napari-tileseg[export]".

    With --json: output (path), format, bytes, difference (largest of a probability, between the network and
    what was written), notes (a sentence for each thing that one has to know beside).
    """
    from napari_tileseg.cli.run.exporting import ExportCommand, run_export

    values = run_export(
        ExportCommand(format=request.pop("format_"), license=request.pop("license_"), **request)
    )
    answer(values, _summary(values), as_json=as_json)


def _summary(values: dict[str, Any]) -> Iterator[str]:
    yield f"{values['output']}: {values['format']}, {bytes_words(values['bytes'])}"
    yield f"Largest difference of probabilities: {values['difference']:.2g}"
    yield from values["notes"]
