"""Of what statistics are where that is left to the program: of a region where that can be, or each tile's."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from napari_tileseg._types import Shape
from napari_tileseg._words import by_axis
from napari_tileseg.engine.regions.check.captured import PROCESS_CACHE, CaptureCache
from napari_tileseg.graphs.graph import NoRuleError
from napari_tileseg.graphs.statistics.statistic import find_statistics
from napari_tileseg.images.image import Image
from napari_tileseg.prediction.input.normalization import ask_normalization
from napari_tileseg.prediction.plan.numbers.statistics import are_fixed
from napari_tileseg.prediction.plan.region import looked_at
from napari_tileseg.settings import PredictSettings

if TYPE_CHECKING:
    from napari_tileseg.nets.network import Network


@dataclass(frozen=True, slots=True, kw_only=True)
class Settled:
    """What settings leave open and holds already: a prediction was begun with it, or voxels were looked at.

    Parameters
    ----------
    core : tuple of int, optional
        Core of a prediction that is resumed. It stays, whatever memory there is now.
    statistics : {"region", "tile"}, optional
        Of what statistics are that are left to the program.
    why : str
        Why each tile has its own, as part of a sentence.
    """

    core: Shape | None = None
    statistics: str | None = None
    why: str = ""


def without_content(image: Image) -> str:
    """Return why each tile has statistics of its own in an image of noise, as part of a sentence."""
    return f"no content was found in {image.name}: all is one value, or noise"


def own_statistics(why: str) -> str:
    """Return the sentence that says why each tile has statistics of its own."""
    return f"Each tile has statistics of its own, because {why}."


def settle(
    settings: PredictSettings,
    network: Network,
    image: Image,
    settled: Settled,
    *,
    looked: bool,
    cache: CaptureCache = PROCESS_CACHE,
) -> tuple[PredictSettings, str]:
    """Put what statistics are of in the place of ``auto``; no voxel is read.

    Parameters
    ----------
    settings : PredictSettings
        What is asked.
    network : Network
        The opened network.
    image : Image
        As it was given.
    settled : Settled
        What holds already.
    looked : bool
        Whether the network's layers were looked at; until they are, they are taken to have statistics that
        can be those of a region.
    cache : CaptureCache, optional
        What is known of networks; that of the process by default.

    Returns
    -------
    settings : PredictSettings
        With ``statistics`` of a region, or of each tile, where that was ``auto``. It is the region wherever
        there is one volume, and the network computes something over all of space that can be put together
        from parts. Intensities that are left to the program, and that a package prescribes in steps of its
        own, stay those of the image.
    why : str
        Why each tile has statistics of its own, as part of a sentence; "" where nobody would expect others.
    """
    if settings.statistics != "auto":
        return settings, ""
    if not are_fixed(network, settings):
        return replace(settings, statistics="tile"), ""
    prepared = ask_normalization(network.spec, settings, network.spec.in_channels).kind
    if settled.statistics is not None:
        way, why = settled.statistics, settled.why
    elif prepared == "tile":
        way, why = "tile", "each has intensities of its own"
    else:
        obstacle = _obstacle(settings, network, image, cache if looked else None)
        way, why = ("region", "") if obstacle is None else ("tile", obstacle)
    if way == "region" and prepared == "steps" and settings.intensities == "auto":
        settings = replace(settings, intensities="image")
    return replace(settings, statistics=way), why


def _obstacle(
    settings: PredictSettings, network: Network, image: Image, cache: CaptureCache | None
) -> str | None:
    """Return why statistics cannot be those of a region; None where they can."""
    lead = len(image.shape) - network.spec.ndim
    region = looked_at(image, network.spec, settings)
    if any(n > 1 for n in region.shape[:lead]):
        return (
            f"they are those of one volume, and there are {by_axis(region.shape[:lead])} in what is "
            "predicted: name one of them in region, or predict one at a time"
        )
    if cache is None:
        return None
    try:
        found = find_statistics(cache.whole_graph_of(network))
    except NoRuleError as error:
        return f"they cannot be gathered from parts of an image: {error}"
    return None if found else ""
