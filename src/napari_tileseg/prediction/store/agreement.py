"""Whether what a store says of its prediction is what image, network and settings make of one."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, TypeAlias

from napari_tileseg.images.omezarr_metadata import position_of
from napari_tileseg.prediction.input.normalization import Normalization
from napari_tileseg.prediction.plan.plan import Plan
from napari_tileseg.prediction.store.store import grid_of
from napari_tileseg.settings import PredictSettings, knobs

#: Reads something from a store's attributes; says what a plan has there.
_Stored: TypeAlias = Callable[[Mapping[str, Any]], Any]
_Planned: TypeAlias = Callable[[Plan], Any]


def chosen(settings: PredictSettings) -> dict[str, Any]:
    """Return the settings that change a result."""
    return {each.name: getattr(settings, each.name) for each in knobs(PredictSettings) if each.identity}


def unsaid() -> dict[str, Any]:
    """Return what holds where a store says nothing, as one of a version that had fewer settings."""
    return {each.name: each.unsaid for each in knobs(PredictSettings) if each.identity and each.added}


def placement_of(plan: Plan) -> dict[str, Any]:
    """Return where a result lies in the world."""
    image = plan.tiles.image
    return {
        "axes": image.grid_axes,
        "voxel_size": image.voxel_size,
        "translation": position_of(image, plan.grid.box),
        "units": image.units,
        "affine": image.affine,
    }


#: What has to agree, by the words for it. Names and paths may change, as files are moved.
_FIELDS: dict[str, tuple[_Stored, _Planned]] = {
    "tiles are": (lambda about: grid_of(about["grid"]), lambda plan: plan.grid),
    "classes are": (lambda about: about["classes"], lambda plan: plan.classes),
    "activation is": (lambda about: about["activation"], lambda plan: plan.network.spec.activation),
    "place is": (lambda about: about["placement"], placement_of),
    "channels are": (
        lambda about: about["source"]["channels"],
        lambda plan: plan.tiles.image.channel_indices,
    ),
    "network is": (lambda about: about["network"]["sha256"], lambda plan: plan.network.sha256),
    "settings are": (lambda about: unsaid() | dict(about["settings"]), lambda plan: chosen(plan.settings)),
}


def check_agreement(about: Mapping[str, Any], plan: Plan) -> None:
    """Raise where a store says something else of its prediction than a plan of the same identity.

    Parameters
    ----------
    about : mapping
        Attributes of the store, as they were read.
    plan : Plan
        Of the image, network and settings with which it was begun.

    Raises
    ------
    KeyError, TypeError, ValueError
        If something is missing, or differs.
    """
    for words, (stored, planned) in _FIELDS.items():
        if _plain(stored(about)) != _plain(planned(plan)):
            raise ValueError(f"its {words} not what image, network and settings make of it")
    known = Normalization.from_dict(about["normalization"])
    if not known.fits(plan.tiles.image):
        raise ValueError("its intensities are of another number of channels or planes")
    if not (known.known and known.answers(plan.normalization)):
        raise ValueError("its intensities are prepared in another way")


def _plain(value: Any) -> Any:
    """Return a value with lists for tuples, as a store gives it back."""
    if isinstance(value, Mapping):
        return {key: _plain(each) for key, each in value.items()}
    return [_plain(each) for each in value] if isinstance(value, (list, tuple)) else value
