"""A network whose normalization layers hold the statistics of images: BatchNorm, which makes no seams."""

from __future__ import annotations

from collections import Counter
from collections.abc import Generator, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import torch

from napari_tileseg._progress import Progress
from napari_tileseg._words import few
from napari_tileseg.errors import NetworkError, SettingsError
from napari_tileseg.graphs.operations.reductions import GlobalNorm
from napari_tileseg.nets.listed.by_graph import by_graph
from napari_tileseg.nets.listed.network import ListedNetwork
from napari_tileseg.nets.network import network_in_memory
from napari_tileseg.nets.norm_layers import convertible, freeze
from napari_tileseg.prediction.plan.measuring import measure_intensities, measure_plan
from napari_tileseg.prediction.plan.numbers.gather_statistics import gather_of_all
from napari_tileseg.prediction.plan.numbers.statistics import FixedStatistics
from napari_tileseg.prediction.plan.plan import Plan, prepare

if TYPE_CHECKING:
    from napari_tileseg.nets.network import Network

#: Ways to have statistics that are one thing for all of an image.
_OF_ALL = ("region", "whole", "sample")
_NAMED = 3
#: What gives the same prediction where a network cannot be frozen.
_INSTEAD = (
    "Predict with statistics of a region or of the whole image instead (the setting statistics): that gives "
    "the same result, and needs no other network."
)


def freeze_network(plans: Sequence[Plan]) -> Generator[Progress, None, Network]:
    """Let a network's normalization layers hold the statistics of images, as BatchNorm; all weights stay.

    The numbers are those that a prediction with fixed statistics takes, so that the network gives what that
    gives, without gathering anything again. Those of several images are the moments of all of their voxels
    together, layer after layer, as if they were one image.

    Parameters
    ----------
    plans : sequence of Plan
        How each image is predicted by the network, with statistics of a region or of the whole image; as
        `lay_plan` gives them. One that has its numbers is not measured again where it is the only one.

    Yields
    ------
    Progress
        How far measuring is.

    Returns
    -------
    Network
        In memory. Its description says which images the numbers are of.

    Raises
    ------
    NetworkError
        If something that the network computes over all of space is not a layer that can be replaced.
    SettingsError
        If a plan is one with statistics of each tile.
    ImageError
        If the intensities are of no use, or a number is not finite.
    """
    for plan in plans:
        what_to_freeze(plan)
    if len(plans) == 1:
        measured = [(yield from measure_plan(plans[0]))]
        fixed = what_to_freeze(measured[0])
    else:
        _refuse_samples(plans)
        measured = []
        for plan in plans:
            measured.append((yield from measure_intensities(plan)))
        images = [prepare(each.tiles, each.normalization, each.settings) for each in measured]
        parts = [what_to_freeze(each) for each in measured]
        fixed = yield from gather_of_all(parts, images, plans[0].settings, plans[0].device)
    return _frozen(fixed, measured)


def _refuse_samples(plans: Sequence[Plan]) -> None:
    if any(plan.settings.statistics == "sample" for plan in plans):
        raise SettingsError(
            "What is sampled of several images cannot be joined. Take statistics of a region of each, or of "
            "all of them (region, whole), or one image."
        )


def what_to_freeze(plan: Plan) -> FixedStatistics:
    """Return what layers would hold; no voxel is read.

    Parameters
    ----------
    plan : Plan
        As `freeze_network` takes it.

    Raises
    ------
    NetworkError, SettingsError
        If that is nothing, or cannot be held by layers.
    """
    network, fixed = plan.source, plan.statistics
    if plan.settings.statistics not in _OF_ALL:
        raise SettingsError(
            f"A network is frozen with numbers of a calibration image, the same for all of it: statistics is "
            f"one of {', '.join(_OF_ALL)}; got {plan.settings.statistics}."
        )
    if fixed is None:
        raise NetworkError(
            f"{network.spec.name} has no layer to freeze: its normalization is "
            f"{', '.join(network.spec.norm_counts) or 'none'}. Use it as it is."
        )
    if network.description.architecture is None and not isinstance(network.module, ListedNetwork):
        raise NetworkError(
            f"{network.spec.name} ({network.spec.architecture}) is code, so that a network with other layers "
            "could not be saved. Make it one that is known by its graph first, with by_graph."
        )
    paths = _paths(fixed)
    others = [
        each.layer or "the network itself"
        for each in fixed.found
        if each.number not in paths or not isinstance(each.operation, GlobalNorm)
    ]
    if others:
        raise NetworkError(
            f"{network.spec.name} computes more over all of space than InstanceNorm, GroupNorm and BatchNorm "
            f"do, which no such layer can hold: {few(tuple(dict.fromkeys(others)), _NAMED)}. {_INSTEAD}"
        )
    shared = tuple(path for path, times in Counter(paths.values()).items() if times > 1)
    if shared:
        raise NetworkError(
            f"{network.spec.name} runs layers more than once, each time with other statistics, and a layer "
            f"holds those of one time: {few(shared, _NAMED)}. {_INSTEAD}"
        )
    return fixed


def _paths(fixed: FixedStatistics) -> dict[int, str]:
    """Return the path of the layer of each statistic that is one of a layer, as `convertible` gives it."""
    module = fixed.source.module
    # A layer may lie in a network under several paths.
    known = {id(module.get_submodule(path)): path for path in convertible(module)}
    layers = {each.number: id(module.get_submodule(each.layer)) for each in fixed.found}
    return {number: known[layer] for number, layer in layers.items() if layer in known}


def _frozen(fixed: FixedStatistics, plans: Sequence[Plan]) -> Network:
    # A list of operations has the same layers at the same paths.
    source, gathered = by_graph(fixed.source), fixed.gathered
    assert gathered is not None
    paths = _paths(fixed)
    module = freeze(source.module, tuple(paths.values()))
    for number, path in paths.items():
        layer = module.get_submodule(path)
        numbers = zip(("running_mean", "running_var"), gathered.values[number], strict=True)
        for name, values in numbers:
            layer.get_buffer(name).copy_(torch.tensor(values, dtype=torch.float64))
    provenance = {"parent_sha256": source.sha256, "statistics_of": [_about(plan) for plan in plans]}
    description = replace(
        source.description,
        name=f"{source.spec.name}, frozen",
        frozen=(*source.description.frozen, *paths.values()),
        provenance=provenance,
    )
    return network_in_memory(module, description, ancestor=source.sha256)


def _about(plan: Plan) -> dict[str, Any]:
    """Say of which part of which image statistics are, in plain values."""
    fixed = plan.statistics
    assert fixed is not None
    return {
        "image": plan.image.uri or plan.image.name,
        "region": [list(ends) for ends in zip(fixed.box.start, fixed.box.stop, strict=True)],
        "voxel_size": list(plan.tiles.image.voxel_size),
    }
