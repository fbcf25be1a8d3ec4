"""Where a stored prediction comes from, and whether a new call is the same one."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

from napari_tileseg import __version__
from napari_tileseg._drafts import is_vacant
from napari_tileseg._files import json_text
from napari_tileseg._types import Shape
from napari_tileseg.errors import StoreError
from napari_tileseg.images.fingerprint import identity_of, what_changed
from napari_tileseg.images.image import Image
from napari_tileseg.images.metadata import mapping, text
from napari_tileseg.predict.layout import TilePlan
from napari_tileseg.predict.normalization import Normalization
from napari_tileseg.predict.outcome import Outcome
from napari_tileseg.predict.plan import Plan
from napari_tileseg.predict.store import open_group, ours, place, writing
from napari_tileseg.settings import PredictSettings, knobs

if TYPE_CHECKING:
    from napari_tileseg.nets.network import Network


def identify(image: Image, network: Network, settings: PredictSettings, tiles: TilePlan) -> dict[str, Any]:
    """All that changes a result, in plain values: two calls that agree in it give the same bytes."""
    known = identity_of(image)
    return _plain(
        {
            "image": known.fingerprint,
            "image_parts": known.parts,
            "network": network.sha256,
            "architecture": network.reference.architecture,
            "core": tiles.grid.core,
            "halo": tiles.grid.halo,
            **{each.name: getattr(settings, each.name) for each in knobs(PredictSettings) if _counts(each)},
        }
    )


def _counts(knob: Any) -> bool:
    return knob.identity and knob.name not in {"core", "halo"}


def describe(plan: Plan, network: Network) -> dict[str, Any]:
    """Provenance and placement of a prediction, in plain values."""
    image, grid = plan.tiles.image, plan.grid
    return _plain(
        {
            "version": __version__,
            "network": {"name": network.spec.name, **network.reference.as_data()},
            "settings": {
                k.name: getattr(plan.settings, k.name) for k in knobs(PredictSettings) if k.identity
            },
            "normalization": plan.normalization.as_dict(),
            "activation": network.spec.activation,
            "classes": plan.classes,
            **Outcome.planned(plan).as_dict(),
            "grid": asdict(grid),
            "source": {"name": image.name, "uri": image.uri, "channels": image.channel_indices},
            "placement": {
                "axes": image.grid_axes,
                "voxel_size": image.voxel_size,
                "translation": place(image, grid.box),
                "units": image.units,
                "affine": image.affine,
            },
        }
    )


def _plain(values: dict[str, Any]) -> dict[str, Any]:
    """As JSON gives it back: tuples become lists."""
    plain: dict[str, Any] = json.loads(json_text(values, indent=None))
    return plain


def core_of(path: Path) -> Shape | None:
    """Core of the prediction that was begun at `path`; None where nothing is there that says it."""
    try:
        core = ours(open_group(path, "r"))["identity"]["core"]
        return tuple(int(n) for n in core)
    except (StoreError, KeyError, TypeError, ValueError):
        return None


def resume(path: Path, identity: dict[str, Any]) -> Normalization | None:
    """Normalization of the prediction that was begun at `path`; None where nothing is there.

    Raises
    ------
    StoreError
        If something else is there, or a prediction that is broken or has another identity. It is not touched.
    """
    with writing(path):
        if is_vacant(path):
            return None
    about = ours(open_group(path, "r"))
    try:
        before, normalization = dict(about["identity"]), Normalization.from_dict(about["normalization"])
        Outcome.said(about)
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise StoreError(
            f"{path} should say what its prediction was begun with; {error} is missing or broken. It was not "
            "touched. Choose another place, or remove it first."
        ) from error
    differences = [
        _difference(name, before, identity, about)
        for name, value in identity.items()
        if name != "image_parts" and before.get(name) != value
    ]
    if differences:
        raise StoreError(
            f"{path} holds a prediction of another kind: {'; '.join(differences)}. It was not touched. "
            "Choose another place, or remove it first."
        )
    return normalization


def _difference(
    name: str, before: Mapping[str, Any], now: Mapping[str, Any], about: Mapping[str, Any]
) -> str:
    """Say in words what is not as it was when a prediction was begun."""
    if name != "image":
        return f"{name} was {before.get(name)} and now is {now[name]}"
    source = mapping(about.get("source"))
    called = Path(text(source.get("uri"))).name or text(source.get("name")) or "the image"
    return what_changed(before.get("image_parts"), now["image_parts"], called)
