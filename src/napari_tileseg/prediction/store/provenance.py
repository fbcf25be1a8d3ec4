"""Where a stored prediction comes from, and whether a new call is the same one."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from napari_tileseg._drafts import is_vacant
from napari_tileseg._files import json_text
from napari_tileseg._version import __version__
from napari_tileseg.errors import StoreError
from napari_tileseg.images.identity import identity_of, what_changed
from napari_tileseg.images.image import Image
from napari_tileseg.images.metadata import mapping, text
from napari_tileseg.images.units import voxel_size_in_micrometers
from napari_tileseg.nets import changes
from napari_tileseg.nets.resampling import Resampling
from napari_tileseg.prediction.input.limits import behind_splines
from napari_tileseg.prediction.input.normalization import Normalization, asked_for
from napari_tileseg.prediction.plan.layout import plan_tiles
from napari_tileseg.prediction.plan.numbers.statistics import Gathered
from napari_tileseg.prediction.plan.plan import Plan, asked_region
from napari_tileseg.prediction.plan.region import Region
from napari_tileseg.prediction.plan.settled import Settled, settle
from napari_tileseg.prediction.store.agreement import check_agreement, chosen, placement_of, unsaid
from napari_tileseg.prediction.store.damage import is_remains, reading
from napari_tileseg.prediction.store.outcome import Outcome
from napari_tileseg.prediction.store.store import (
    check_levels,
    has_chunks,
    is_complete,
    open_group,
    open_level,
    own_attributes,
    writing,
)
from napari_tileseg.settings import PredictSettings, knobs

if TYPE_CHECKING:
    from napari_tileseg.nets.network import Network

#: What statistics may be of that were left to the program.
_LEFT_TO_THE_PROGRAM = {"region", "tile"}
#: Entry of what describes splines, left out where there are none.
RESAMPLING = "resampling"


def identify(plan: Plan) -> dict[str, Any]:
    """Return all that changes a result, in plain values: two plans that agree in it give the same bytes."""
    laid = {"core": plan.grid.core, "halo": plan.grid.halo}
    splines = _splines(plan.image, plan.tiles.image, plan.network)
    return _plain({**_inputs(plan.image, plan.network), **chosen(plan.settings), **laid, **splines})


def _splines(image: Image, target: Image, network: Network) -> dict[str, Any]:
    """Return how an image is brought to another voxel size, where that is not linear; else nothing.

    Parameters
    ----------
    image, target : Image
        As it was given, and as it is predicted.
    network : Network
        The network, at whose voxel size it is predicted.
    """
    known, resampling = voxel_size_in_micrometers(image), network.spec.resampling
    if resampling is None or known is None or behind_splines(target) is None:
        return {}
    size = network.spec.voxel_size_for(known)
    return {RESAMPLING: {**resampling.as_dict(), "voxel_size": size}}


def _inputs(image: Image, network: Network) -> dict[str, Any]:
    known = identity_of(image)
    return {
        "image": known.fingerprint,
        "image_parts": known.parts,
        "network": network.sha256,
        "architecture": network.reference.architecture,
    }


def describe(plan: Plan) -> dict[str, Any]:
    """Return provenance and placement of a prediction, in plain values."""
    image, network = plan.tiles.image, plan.network
    return _plain(
        {
            "version": __version__,
            "network": {"name": network.spec.name, **network.reference.as_data()},
            "settings": chosen(plan.settings),
            "normalization": plan.normalization.as_dict(),
            **_splines(plan.image, image, network),
            **({"region": plan.region.as_dict()} if plan.region is not None and plan.region.known else {}),
            **({} if plan.statistics is None else {"statistics": plan.statistics.as_dict()}),
            "activation": network.spec.activation,
            "classes": plan.classes,
            **Outcome.planned(plan).as_dict(),
            "grid": asdict(plan.grid),
            "cost": plan.tiles.cost,
            "source": _source(image),
            "placement": placement_of(plan),
        }
    )


def _source(image: Image) -> dict[str, Any]:
    return {"name": image.name, "uri": image.uri, "channels": image.channel_indices}


def _plain(values: dict[str, Any]) -> dict[str, Any]:
    """Return a value as JSON gives it back: tuples become lists."""
    plain: dict[str, Any] = json.loads(json_text(values, indent=None))
    return plain


def settled_by(path: Path) -> Settled:
    """Return what the prediction that was begun at `path` has settled; nothing where there is none."""
    try:
        about = own_attributes(open_group(path, "r"))
        with reading(path):
            identity = {**unsaid(), **about["identity"]}
            core = tuple(int(n) for n in identity["core"])
            way = str(identity["statistics"])
    except StoreError:
        return Settled()
    if way not in _LEFT_TO_THE_PROGRAM:
        return Settled(core=core)
    return Settled(core=core, statistics=way, why="this prediction was begun so")


def count_if_complete(path: Path, image: Image, network: Network, settings: PredictSettings) -> int | None:
    """Count the tiles of a prediction that is complete and of the same call; None where it is not both.

    Neither the network's layers nor intensities are looked at for that: it is quick. What it does not settle,
    such as a store that is damaged, is for `resume`.

    Raises
    ------
    ImageError, NetworkError, SettingsError
        As `plan_tiles`.
    """
    try:
        group = open_group(path, "r")
        if not is_complete(group):
            return None
        plan = _as_begun(path, image, network, settings)
        resume(path, identify(plan), plan)
        check_levels(path, group, plan)
        array, axes = open_level(group, 0), plan.tiles.image.grid_axes
        with reading(path):
            there = all(has_chunks(path, array, tile.index, axes) for tile in plan.grid)
    except StoreError:
        return None
    return len(plan.grid) if there else None


def _as_begun(path: Path, image: Image, network: Network, settings: PredictSettings) -> Plan:
    """Return the plan of a prediction that has its core already, laid for no device."""
    settled = settled_by(path)
    known, _ = settle(settings, network, image, settled, looked=False)
    tiles = plan_tiles(image, network.spec, known, begun=settled.core)
    rule = asked_for(tiles.image, network.spec, known)
    return Plan(
        image=image,
        network=network,
        settings=known,
        asked=settings,
        settled=settled,
        swept=True,
        tiles=tiles,
        normalization=rule,
        route=None,
        device="cpu",
        region=asked_region(image, network, known, rule),
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class Begun:
    """Numbers with which a prediction was begun.

    Parameters
    ----------
    normalization : Normalization
        How its intensities are prepared.
    gathered : Gathered, optional
        Its statistics, where they are fixed.
    region : Region, optional
        The region that they are those of, where they are of one.
    """

    normalization: Normalization
    gathered: Gathered | None = None
    region: Region | None = None


def resume(path: Path, identity: dict[str, Any], plan: Plan) -> Begun | None:
    """Return the numbers of the prediction that was begun at `path`; None where nothing is there.

    Parameters
    ----------
    path : Path
        Folder of the store.
    identity : dict
        What `identify` gives for the present call.
    plan : Plan
        The present call's.

    Raises
    ------
    StoreError
        If something else is there, or a prediction that is damaged or has another identity. It is not
        touched.
    """
    with writing(path):
        if is_vacant(path) or is_remains(path):
            return None
    about = own_attributes(open_group(path, "r"))
    with reading(path):
        before = {**unsaid(), **about["identity"]}
        normalization = Normalization.from_dict(about["normalization"])
        Outcome.recorded(about)
        gathered = Gathered.from_dict(about["statistics"]) if "statistics" in about else None
        # A network's description may have changed with its file: both are one difference.
        differences = dict.fromkeys(
            _difference(name, before, identity, about, plan.network)
            for name, value in identity.items()
            if name != "image_parts" and before.get(name) != value
        )
    if differences:
        raise StoreError(
            f"{path} holds a prediction of another kind: {'; '.join(differences)}. It was not touched. "
            "Choose another location, or remove it first."
        )
    with reading(path):
        if about.get(RESAMPLING) != identity.get(RESAMPLING):
            raise ValueError("its voxels are brought to another size than the call's")
        check_agreement(about, plan)
        fixed = plan.statistics
        if fixed is not None and (gathered is None or not fixed.fits(gathered)):
            raise ValueError("its statistics are not those of the network")
        region = plan.region
        if region is not None and "region" in about:
            region = region.with_dict(about["region"])
    return Begun(normalization=normalization, gathered=gathered, region=region)


def _difference(
    name: str, before: Mapping[str, Any], now: Mapping[str, Any], about: Mapping[str, Any], network: Network
) -> str:
    """Describe what has changed since a prediction was begun: hashes are for comparing only."""
    if name == "image":
        source = mapping(about.get("source"))
        called = Path(text(source.get("uri"))).name or text(source.get("name")) or "the image"
        return what_changed(before.get("image_parts"), now["image_parts"], called)
    if name == RESAMPLING:
        # What was begun before splines were known has no entry.
        former = "linearly" if before.get(name) is None else "by other splines"
        return f"the image was brought to the network's voxel size {former} and now is {_words(now[name])}"
    if name in {"network", "architecture"}:
        return changes.what_changed(mapping(about.get("network")), network.spec.name, network.reference)
    knob = next(each for each in knobs(PredictSettings) if each.name == name)
    values = (before.get(name), now[name])
    former, new = ("not set" if each is None else knob.format(each) for each in values)
    return f"{name} was {former} and now is {new}"


def _words(splines: Mapping[str, Any]) -> str:
    return Resampling(**{key: value for key, value in splines.items() if key != "voxel_size"}).words
