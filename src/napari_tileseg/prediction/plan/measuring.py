"""Finding the numbers of a plan: how intensities are prepared, a region, and fixed statistics."""

from __future__ import annotations

from collections.abc import Generator
from dataclasses import replace
from typing import TYPE_CHECKING

from napari_tileseg._progress import Progress
from napari_tileseg.engine.choice import route_of
from napari_tileseg.engine.engine import Route
from napari_tileseg.errors import NoContentError
from napari_tileseg.images.image import Image
from napari_tileseg.prediction.input.contrast import compare, search_for
from napari_tileseg.prediction.input.normalization import Normalization, measure_normalization
from napari_tileseg.prediction.plan.numbers.gather_statistics import gather
from napari_tileseg.prediction.plan.numbers.kept_numbers import shelf_of
from napari_tileseg.prediction.plan.numbers.statistics import Gathered
from napari_tileseg.prediction.plan.plan import Plan, lay_plan, prepare
from napari_tileseg.prediction.plan.region import Region, find_region, region_of_intensities
from napari_tileseg.prediction.plan.settled import Settled, without_content
from napari_tileseg.settings import PredictSettings

if TYPE_CHECKING:
    from napari_tileseg.nets.network import Network


def plan_prediction(
    image: Image,
    network: Network,
    settings: PredictSettings | None = None,
    *,
    route: Route | None = None,
    settled: Settled | None = None,
    normalization: Normalization | None = None,
) -> Generator[Progress, None, Plan]:
    """Plan a prediction; measures intensities, so it reads the image.

    Parameters
    ----------
    image, network, settings, settled
        As `lay_plan` takes them.
    route : Route, optional
        How the network's tiles are computed; found by default, which takes seconds the first time.
    normalization : Normalization, optional
        Used instead of measuring.

    Yields
    ------
    Progress
        How far measuring is.

    Returns
    -------
    Plan
        With its numbers.

    Raises
    ------
    ImageError, NetworkError
        If image and network do not fit each other, or the intensities are of no use.
    SettingsError
        If core, halo, box or normalization cannot work.
    DeviceError
        If the device is absent, or does not know the number format.
    """
    settings = settings or PredictSettings()
    plan = lay_plan(image, network, settings, route or route_of(network, settings.device), settled=settled)
    return (yield from measure_plan(plan, normalization))


def measure_plan(
    plan: Plan,
    normalization: Normalization | None = None,
    begun: Gathered | None = None,
    region: Region | None = None,
) -> Generator[Progress, None, Plan]:
    """Find the numbers that a plan lacks: how intensities are prepared, and fixed statistics.

    Parameters
    ----------
    plan : Plan
        As `lay_plan` returns it; one that has all numbers is returned as it is.
    normalization : Normalization, optional
        Used instead of what the plan has, and of measuring.
    begun : Gathered, optional
        Statistics that were gathered before.
    region : Region, optional
        The region that was found before.

    Yields
    ------
    Progress
        How far measuring is.

    Raises
    ------
    ImageError
        If a channel is constant, intensities are NaN or infinite and that is refused, or a statistic is; if
        a region that was asked for has no content.
    """
    if region is not None:
        plan = replace(plan, region=region)
    if normalization is not None:
        plan = replace(plan, normalization=normalization)
    plan = yield from find_content_of(plan)
    plan = yield from measure_intensities(plan, normalization)
    fixed = plan.statistics
    if fixed is not None and fixed.origin and begun is not None:
        # A result that was begun goes on with its numbers, whatever has become of those it took them from.
        fixed = replace(fixed, gathered=begun)
        return replace(plan, statistics=fixed, network=fixed.network())
    if fixed is None or fixed.gathered is not None:
        return plan
    prepared = prepare(plan.tiles, plan.normalization, plan.settings)
    shelf = shelf_of(plan.image, fixed, plan.normalization, plan.settings, plan.device)
    if shelf is None:
        fixed = yield from gather(fixed, prepared, plan.settings, plan.device, begun)
    else:
        begun = begun or shelf.load()
        fixed = yield from gather(fixed, prepared, plan.settings, plan.device, begun, shelf.save)
    network = fixed.network()
    return replace(plan, statistics=fixed, network=network, route=route_of(network, plan.settings.device))


def measure_intensities(
    plan: Plan, normalization: Normalization | None = None
) -> Generator[Progress, None, Plan]:
    """Find the region, and the numbers by which a plan prepares intensities, where it lacks them.

    Parameters
    ----------
    plan : Plan
        As `lay_plan` returns it.
    normalization : Normalization, optional
        Used instead of what the plan has, and of measuring.

    Yields
    ------
    Progress
        How far measuring is.

    Raises
    ------
    ImageError
        If a channel is constant, or intensities are NaN or infinite and that is refused; if a region that was
        asked for has no content.
    """
    if normalization is not None:
        return replace(plan, normalization=normalization)
    plan = yield from find_content_of(plan)
    if plan.normalization.known:
        return plan
    part = region_of_intensities(plan.region, plan.image, plan.tiles.image, plan.settings)
    spec, target, settings = plan.source.spec, plan.tiles.image, plan.settings
    search = search_for(plan.image, target, spec, settings, plan.normalization)
    seen = None if search is None else search.add
    found = yield from measure_normalization(target, spec, settings, part=part, seen=seen)
    contrast = None if search is None else (yield from compare(search, found, target, spec, settings))
    return replace(plan, normalization=found, contrast=contrast)


def find_content_of(plan: Plan) -> Generator[Progress, None, Plan]:
    """Find the region that numbers are those of, where they are of one that is not known.

    Yields
    ------
    Progress
        How far it is.

    Returns
    -------
    Plan
        With its region; one with statistics of each tile, laid anew, where there is no content and nobody
        asked for a region.

    Raises
    ------
    ImageError
        As `find_region`.
    """
    if plan.region is None or (plan.statistics is None and plan.normalization.known):
        return plan
    try:
        found = yield from find_region(plan.region, plan.image, plan.source.spec, plan.settings)
    except NoContentError:
        if not plan.may_yield:
            raise
        return plan.yielding(without_content(plan.image))
    fixed = plan.statistics
    if fixed is not None and fixed.part is None:
        fixed = replace(fixed, part=found.on(plan.image, plan.tiles.image))
    return replace(plan, region=found, statistics=fixed)
