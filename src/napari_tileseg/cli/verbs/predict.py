"""``tileseg predict``: an image and a network in, an OME-Zarr out."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import click

from napari_tileseg.cli.answers import answer, json_option
from napari_tileseg.cli.options import takes_settings
from napari_tileseg.cli.run.predict_command import PredictCommand
from napari_tileseg.settings import ImageSettings, NetworkSettings, PredictSettings


@click.command()
@click.argument("image", metavar="IMAGE")
@click.argument("network", metavar="NETWORK")
@click.option(
    "-o", "--output", "out", type=click.Path(path_type=Path), required=True, help="OME-Zarr to write."
)
@click.option(
    "--on-image",
    type=click.Path(path_type=Path),
    help="OME-Zarr to write the result of --resample to once more, on the voxels of the image.",
)
@click.option("--plan", "only_plan", is_flag=True, help="Say what it would do, and write nothing.")
@takes_settings(image_settings=ImageSettings, network_settings=NetworkSettings, settings=PredictSettings)
@click.option("-q", "--quiet", is_flag=True, help="Show no progress.")
@json_option
def predict(*, as_json: bool, only_plan: bool, **request: Any) -> None:
    """Predict IMAGE with NETWORK, tile by tile.

    IMAGE is an OME-Zarr, a zarr array, a TIFF, an HDF5 dataset (file.h5:/raw), a NumPy file or a folder of
    slices. NETWORK is a file, or sample:NAME for one of the shipped networks (see tileseg networks).

    Ctrl-C stops after the current tile. The same command again computes what is missing, also after a crash;
    it never mixes in another network, image or setting.

    With --resample the result has the voxel size of the network; --on-image brings it back onto the voxels
    of the image, interpolated linearly, in a file of its own.

    With --plan nothing is written: it says the tiles, of what statistics are, and how many passes over the
    image statistics and prediction take, with what memory and scratch. Intensities are measured for that.

    With --json: output (path); on_image (path; null without); shape (voxels predicted along axes, which
    leaves out the channel); axes; classes; core, halo ([before, after]) and stride along the same axes;
    tiles (in all) and tiles_computed (now); exact (whether the result equals the network on the whole
    image); cost (work over that of one pass over the image); engine (regions: each layer computes no more
    than a core needs; plain: tiles are computed whole); dtype; fallbacks (sentences: what was computed
    otherwise than planned, and why, such as in smaller parts where memory ran out; exact, cost, engine and
    dtype are as it came); seconds; device; peak_memory_bytes (anonymous memory of the process, sampled
    every 20 ms; null where the system does not tell); input_normalization (kind, and offset and scale of
    each channel, of each step where the network states steps); intensities (the same in words); statistics
    (whose they are, in a word of the setting; null where the network computes nothing over all of space);
    region (box, start and stop on all axes but the channel, that numbers are those of, and whether it was
    suggested; null where they are of none); network (name); network_sha256; warnings and notes (sentences).
    With --plan those that are known before, and passes (passes: operations relative to one pass over the
    image; most, where it may take more; memory and scratch, bytes of kept feature maps; runs, of networks
    and their mirrored copies in a pass; words; null where statistics are each tile's).
    """
    command = PredictCommand(**request)
    if only_plan:
        from napari_tileseg.cli.run.planning import run_plan

        plan = run_plan(command)
        answer(plan, _planned(plan), as_json=as_json)
        return
    from napari_tileseg.cli.run.prediction import run_predict

    report = run_predict(command)
    answer(report, _summary(report), as_json=as_json)


def _planned(plan: dict[str, Any]) -> Iterator[str]:
    tiles = "1 tile" if plan["tiles"] == 1 else f"{plan['tiles']} tiles"
    core = " x ".join(map(str, plan["core"]))
    yield f"{plan['output']}: {tiles} with a core of {core} on {plan['device']}"
    yield f"Intensities: {plan['intensities']}."
    yield from plan["warnings"]
    yield from plan["notes"]
    if plan["passes"] is not None:
        yield plan["passes"]["words"]
    exact = "will equal" if plan["exact"] else "may differ from"
    yield f"The result {exact} the network on the whole image."


_WHOSE = {
    "tile": "Statistics: each tile's.",
    "whole": "Statistics: those of the whole image, for all tiles.",
    "sample": "Statistics: those of a sample of the image, for all tiles.",
    "region": "Statistics: those of the region, for all tiles.",
    "result": "Statistics: those of the other result, for all tiles.",
}


def _summary(report: dict[str, Any]) -> Iterator[str]:
    size = " x ".join(map(str, report["shape"]))
    yield f"{report['output']}: {', '.join(report['classes'])} of {size} voxels"
    if report["tiles_computed"]:
        tiles = f"{report['tiles']} tiles, {report['tiles_computed']} of them computed now"
        yield f"{tiles}, in {report['seconds']:.1f} s on {report['device']}"
    else:
        yield f"It was there already: all of its {report['tiles']} tiles are done, none was computed now."
    if report["on_image"]:
        yield f"{report['on_image']}: the same on the voxels of the image"
    yield from report["fallbacks"]
    yield f"Intensities: {report['intensities']}."
    if report["statistics"] is not None:
        yield _WHOSE[report["statistics"]]
    exact = "equals" if report["exact"] else "may differ from"
    yield f"The result {exact} the network on the whole image."
