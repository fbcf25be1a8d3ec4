"""Drives conversion for the shell, and writes what comes of it."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from time import monotonic
from typing import Any

from napari_tileseg.cli.files.checks import check_outputs
from napari_tileseg.cli.run.interruption import StopSignal
from napari_tileseg.cli.run.progress_bar import ProgressBar
from napari_tileseg.cli.run.training import conversion
from napari_tileseg.cli.run.training_log import Follower
from napari_tileseg.engine import WHOLE_TILES
from napari_tileseg.errors import NetworkError, SettingsError
from napari_tileseg.images import Image, open_image
from napari_tileseg.nets import Network, open_network, save_described
from napari_tileseg.prediction.plan.measuring import plan_prediction
from napari_tileseg.prediction.plan.plan import find_way, lay_plan
from napari_tileseg.settings import ImageSettings, NetworkSettings, PredictSettings
from napari_tileseg.training import convert_network, freeze_network

#: What is finished after a first Ctrl-C, and what to do after a second one.
_CONVERTING = ("the step at hand", "Nothing is written; start it again.")


@dataclass(frozen=True, slots=True, kw_only=True)
class ConvertCommand:
    """What ``tileseg convert`` is asked for.

    Parameters
    ----------
    network : str
        Path, or ``sample:NAME``.
    images : sequence of str
        Images of which statistics are.
    out : Path
        Network file to write.
    norm : {"batch_renorm", "frozen"}
        What normalization layers become.
    device : str
        Where to compute.
    image_settings, network_settings, settings : settings
        How images and network are opened, how intensities are normalized, and of what statistics are taken.
    quiet : bool
        Whether to show no progress.
    """

    network: str
    images: tuple[str, ...]
    out: Path
    norm: str
    device: str
    image_settings: ImageSettings
    network_settings: NetworkSettings
    settings: PredictSettings
    quiet: bool


def run_convert(command: ConvertCommand) -> dict[str, Any]:
    """Convert a network's normalization layers and write it; give plain values, ready for JSON.

    Raises
    ------
    TilesegError, StoppedError
        As `run_finetune`; `NetworkError` where there is no layer to convert.
    """
    _check_settings(command)
    check_outputs(command.out)
    begun = monotonic()
    with StopSignal(*_CONVERTING) as stop, ProgressBar(quiet=command.quiet) as bar:
        images = [open_image(each, command.image_settings) for each in command.images]
        opened = open_network(command.network, command.network_settings)
        settings = replace(command.settings, device=command.device)
        how = _freeze if command.norm == "frozen" else _renormalize
        converted, changed = how(images, opened, settings, Follower(bar, stop))
        path = save_described(converted.module, converted.description, command.out)
    written = open_network(path)
    return {
        "output": str(path),
        **changed,
        "normalization": dict(written.spec.norm_counts),
        "seam_free": written.spec.seam_free,
        "network_sha256": written.sha256,
        "parent_sha256": opened.sha256,
        "seconds": monotonic() - begun,
    }


def _check_settings(command: ConvertCommand) -> None:
    if command.norm != "frozen" and command.settings.statistics not in {"auto", "tile"}:
        raise SettingsError(
            "The statistics of BatchRenorm are measured on tiles of the image; --statistics is for --norm "
            "frozen."
        )


def _freeze(
    images: list[Image], network: Network, settings: PredictSettings, follower: Follower
) -> tuple[Network, dict[str, Any]]:
    # Of a tile there are no numbers for all tiles.
    if settings.statistics in {"auto", "tile"}:
        settings = replace(settings, statistics="region")
    way = find_way(network, settings)
    plans = [lay_plan(image, network, settings, way) for image in images]
    converted = follower.follow(freeze_network(plans))
    about = converted.description
    return converted, {
        "layers": list(about.frozen),
        "statistics_of": about.provenance["statistics_of"],
    }


def _renormalize(
    images: list[Image], network: Network, settings: PredictSettings, follower: Follower
) -> tuple[Network, dict[str, Any]]:
    # Its intensities are measured as for the network that it becomes, which needs no statistics of a region.
    settings = replace(settings, statistics="tile")
    plans = [
        follower.follow(plan_prediction(image, network, settings, route=WHOLE_TILES)) for image in images
    ]
    converted = follower.follow(convert_network(network, plans))
    change = follower.converted
    if change is None:
        raise NetworkError(
            f"{network.spec.name} has no layer to convert: its normalization is "
            f"{', '.join(network.spec.norm_counts) or 'none'}. Use it as it is."
        )
    names = [image.uri or image.name for image in images]
    provenance = {
        "parent_sha256": network.sha256,
        "calibrated_on": names[0] if len(names) == 1 else names,
    }
    described = replace(converted.description, provenance=provenance)
    return replace(converted, description=described), conversion(change, network.spec.classes)
