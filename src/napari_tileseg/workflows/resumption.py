"""A resumed run takes what it was begun with; anything else is refused, not silently ignored."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from napari_tileseg._files import as_tuples
from napari_tileseg.errors import SettingsError
from napari_tileseg.nets.formats.description import Description
from napari_tileseg.settings import TrainSettings, knobs
from napari_tileseg.training.checkpoints import read_about, read_checkpoint, reading_run

if TYPE_CHECKING:
    from napari_tileseg.nets.network import Network


def check_same(folder: Path, network: Network, settings: TrainSettings) -> None:
    """Refuse to resume a run with another network or other settings.

    Parameters
    ----------
    folder : Path
        Of the run.
    network : Network
        The network it is resumed with.
    settings : TrainSettings
        The settings it is resumed with.

    Raises
    ------
    SettingsError
        If the run was begun with another network, or with other settings that decide its result.
    StoreError
        If there is no run in the folder, or it is damaged.
    """
    about = read_about(folder)
    with reading_run(folder):
        stored, parent = as_tuples(dict(about["settings"])), dict(about["parent"])
        name, same = str(parent["name"]), _began_from(network, folder, about)
    for each in knobs(TrainSettings):
        former, now = stored.get(each.name), getattr(settings, each.name)
        if each.identity and former != now:
            was = "not set" if former is None else each.format(former)
            raise SettingsError(
                f"The run in {folder} was begun with {each.name} {was}, and resumes with the same. Leave "
                "that as it was, or start again (--restart)."
            )
    if not same:
        raise SettingsError(
            f"The run in {folder} was begun from another network, {name}. Give that one, "
            "or start again (--restart)."
        )


def _began_from(network: Network, folder: Path, about: Mapping[str, Any]) -> bool:
    """Return whether a run was begun from this network."""
    if not about["from_scratch"]:
        return bool(about["parent"]["sha256"] == network.sha256)
    # Fresh weights follow from the description and the seed, which is a setting. The hash of a network in
    # memory is one of its code as well, which another version of the program changes.
    begun = Description.from_json(read_checkpoint(folder)["description"], str(folder))
    return begun.to_json() == network.description.to_json()
