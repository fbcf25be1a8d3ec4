"""A prediction, planned once: image, network, settings, and all that follows from them."""

from __future__ import annotations

from contextlib import suppress
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from napari_tileseg.engine.choice import known_route, route_of
from napari_tileseg.engine.device import check_dtype, resolve_device
from napari_tileseg.engine.engine import WHOLE_TILES, Route
from napari_tileseg.engine.regions.check.captured import PROCESS_CACHE
from napari_tileseg.engine.tile_planner import open_planner
from napari_tileseg.graphs.graph import NoRuleError
from napari_tileseg.images.image import Image
from napari_tileseg.prediction.input.contrast import Contrast
from napari_tileseg.prediction.input.normalization import Normalization, asked_for
from napari_tileseg.prediction.input.prepared import PreparedImage, prepared_image
from napari_tileseg.prediction.plan.channels import with_channels_by_name
from napari_tileseg.prediction.plan.layout import TilePlan, at_network_size, covered, plan_tiles
from napari_tileseg.prediction.plan.numbers.borrowed import borrow
from napari_tileseg.prediction.plan.numbers.statistics import FixedStatistics, are_fixed, fix_statistics
from napari_tileseg.prediction.plan.region import Region, ask_region
from napari_tileseg.prediction.plan.settled import Settled, own_statistics, settle
from napari_tileseg.prediction.plan.unused_settings import chunks_read_again, idle_settings
from napari_tileseg.settings import PredictSettings
from napari_tileseg.tiling import Box, TileGrid

if TYPE_CHECKING:
    from napari_tileseg.nets.network import Network


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Plan:
    """All that a prediction needs to know.

    Parameters
    ----------
    image : Image
        The image as it was given; `tiles` are laid over it, or over it at the network's voxel size.
    network : Network
        The opened network, with numbers in place of its statistics where these are fixed.
    settings : PredictSettings
        What was asked, with what was found in the place of statistics that are left to the program.
    asked : PredictSettings
        What was asked.
    settled : Settled
        What held already when tiles were laid.
    swept : bool
        Whether tiles are laid to follow one another in sweeps.
    tiles : TilePlan
        The tiles, and what to report of them.
    normalization : Normalization
        How intensities are prepared: with its numbers, or the rule by which they are still to be measured.
    route : Route, optional
        How the engine computes the tiles; None where nobody has looked at the network's layers yet. Tiles
        are then laid to be computed whole.
    device : str
        Device that torch understands.
    statistics : FixedStatistics, optional
        What the network computes over all of space, where that is one thing for all tiles.
    region : Region, optional
        Part of the image that numbers are those of, where any are; its box may still have to be found.
    contrast : Contrast, optional
        Content that quantiles of the whole image make little of, if there is such.
    """

    image: Image
    network: Network
    settings: PredictSettings
    asked: PredictSettings
    settled: Settled
    swept: bool
    tiles: TilePlan
    normalization: Normalization
    route: Route | None
    device: str
    statistics: FixedStatistics | None = None
    region: Region | None = None
    contrast: Contrast | None = None

    @property
    def source(self) -> Network:
        """The network as it was opened."""
        return self.network if self.statistics is None else self.statistics.source

    @property
    def measured(self) -> bool:
        """Whether all numbers are known: intensities, and statistics where these are fixed."""
        return self.normalization.known and (self.statistics is None or self.statistics.gathered is not None)

    @property
    def may_yield(self) -> bool:
        """Whether tiles get statistics of their own where no content is found, as none was asked for."""
        asked = self.asked
        return (
            asked.statistics == "auto"
            and self.settings.statistics == "region"
            and self.settled.statistics is None
            and asked.region is None
            and asked.intensities != "region"
        )

    @property
    def grid(self) -> TileGrid:
        """The tiles."""
        return self.tiles.grid

    @property
    def dtype(self) -> str:
        """Number format of the computation."""
        return self.settings.dtype

    @property
    def classes(self) -> tuple[str, ...]:
        """Names of the result's channels."""
        return self.network.spec.classes

    @property
    def batch(self) -> int:
        """Tiles at once: as asked, or small tiles together, as far as they make about one 3D tile."""
        if self.settings.batch is not None:
            return self.settings.batch
        if self.device == "cpu":
            return 1
        regions = self.tiles.regions
        shape, fitting = (self.grid.core, regions.fitting) if regions else (self.grid.read_shape, 16)
        return max(1, min(16, fitting, 2**21 // Box.of_shape(shape).size))

    @property
    def prepared(self) -> PreparedImage:
        """The image as an engine reads it.

        Raises
        ------
        ValueError
            If numbers are still to be measured.
        """
        if not self.measured:
            raise ValueError("The numbers of this plan are still to be measured: measure_plan.")
        return prepare(self.tiles, self.normalization, self.settings)

    def over(self, image: Image) -> Plan:
        """Return the same plan over another source of the same voxels, such as one that caches its chunks."""
        target = at_network_size(image, self.network.spec) if self.settings.resample else image
        return replace(self, image=image, tiles=replace(self.tiles, image=target))

    def yielding(self, why: str) -> Plan:
        """Return a plan of the same with statistics of each tile.

        Parameters
        ----------
        why : str
            Why they are not those of a region, as part of a sentence.
        """
        settled = replace(self.settled, statistics="tile", why=why)
        route = self.route if self.statistics is None else route_of(self.source, self.settings.device)
        return lay_plan(self.image, self.source, self.asked, route, settled=settled, swept=self.swept)

    def unmeasured(self) -> Plan:
        """Return the same plan with intensities that are to be measured anew."""
        fixed, asked = self.statistics, self.normalization
        if fixed is not None and not fixed.origin:
            fixed = _fixed(self.image, self.source, self.settings)
        if not asked.origin:
            asked = asked_for(self.tiles.image, self.network.spec, self.settings)
        region = self.region and ask_region(self.image, self.source.spec, self.settings)
        return replace(self, normalization=asked, statistics=fixed, region=region, contrast=None)


def prepare(tiles: TilePlan, normalization: Normalization, settings: PredictSettings) -> PreparedImage:
    """Return the image that tiles are laid over as an engine reads it."""
    return prepared_image(
        tiles.image,
        normalization,
        tiles.grid.padded_shape,
        settings.padding,  # type: ignore[arg-type]  # the knob allows the same words
        settings.nonfinite,  # type: ignore[arg-type]
    )


def find_way(network: Network, settings: PredictSettings) -> Route:
    """Find all that takes seconds before tiles can be laid, and return how a network's tiles are computed.

    Raises
    ------
    DeviceError
        If the device is absent.
    """
    if are_fixed(network, settings):
        with suppress(NoRuleError):
            PROCESS_CACHE.whole_graph_of(network)
    return route_of(network, settings.device)


def known_way(network: Network, settings: PredictSettings) -> Route | None:
    """As `find_way`, where it has been found out already; None where it has not. It takes no time."""
    if are_fixed(network, settings) and not PROCESS_CACHE.is_whole_known(network):
        return None
    return known_route(network, settings.device)


def lay_plan(
    image: Image,
    network: Network,
    settings: PredictSettings | None = None,
    route: Route | None = None,
    *,
    settled: Settled | None = None,
    swept: bool = True,
) -> Plan:
    """Plan a prediction as far as that goes without reading a voxel: it is quick, whatever the image.

    Parameters
    ----------
    image : Image
        The image.
    network : Network
        The opened network.
    settings : PredictSettings, optional
        What is asked; defaults are derived.
    route : Route, optional
        How the network's tiles are computed, as `route_of` gives it; None where that is not known yet. Where
        its layers have rules, a core that is not set follows from what they cost and from the memory there
        is.
    settled : Settled, optional
        What holds already, as `settled_by` finds it of a prediction that is resumed.
    swept : bool, optional
        As `plan_tiles` takes it.

    Returns
    -------
    Plan
        With the rule for the intensities, not yet their numbers. Its image is read by the names of channels
        where these are the network's and nobody has chosen channels.

    Raises
    ------
    ImageError, NetworkError, SettingsError, DeviceError
        As `plan_tiles` and `open_planner`.
    """
    asked, settled = settings or PredictSettings(), settled or Settled()
    image = with_channels_by_name(image, network.spec)
    settings, why = settle(asked, network, image, settled, looked=route is not None)
    device = resolve_device(settings.device)
    check_dtype(settings.dtype, device)
    # Whoever asks for whole tiles wants those of the network as it is.
    statistics = None if route in (None, WHOLE_TILES) else _fixed(image, network, settings)
    source, borrowed = network, borrow(network, settings)
    if statistics is not None and borrowed is not None and settings.statistics == "result":
        statistics = borrowed.statistics_for(statistics)
    if statistics is not None:
        network = statistics.network()
        route = route_of(network, settings.device)
    planner = open_planner(network, route, device, settings.dtype, settings.memory) if route else None
    tiles = plan_tiles(image, network.spec, settings, planner, swept=swept, begun=settled.core)
    if route is not None:
        unused = idle_settings(tiles, settings, begun=settled.core == tiles.grid.core)
        # Where one tile holds all there are no seams.
        own = (own_statistics(why),) if why and not tiles.exact else ()
        tiles = replace(tiles, notes=(*tiles.notes, *own, *unused, *chunks_read_again(image, tiles)))
    rule = asked_for(tiles.image, network.spec, settings)
    if borrowed is not None and settings.intensities_of == "result" and rule.needs_voxels:
        rule = borrowed.intensities_for(rule, tiles.image)
    return Plan(
        image=image,
        network=network,
        settings=settings,
        asked=asked,
        settled=settled,
        swept=swept,
        tiles=tiles,
        normalization=rule,
        route=route,
        device=device,
        statistics=statistics,
        region=asked_region(image, source, settings, rule, whole_tiles=route == WHOLE_TILES),
    )


def asked_region(
    image: Image,
    network: Network,
    settings: PredictSettings,
    asked: Normalization,
    *,
    whole_tiles: bool = False,
) -> Region | None:
    """Return the region that numbers are those of, as it is asked for; None where none are.

    Parameters
    ----------
    image, network, settings
        As `lay_plan` takes them.
    asked : Normalization
        How intensities are prepared, or the rule for that.
    whole_tiles : bool, optional
        Whether each tile is computed whole, with statistics of its own.

    Raises
    ------
    SettingsError
        As `ask_region`.
    """
    of_region = settings.statistics == "region" and are_fixed(network, settings) and not whole_tiles
    if of_region or (settings.intensities_of == "region" and asked.needs_voxels):
        return ask_region(image, network.spec, settings)
    return None


def _fixed(image: Image, network: Network, settings: PredictSettings) -> FixedStatistics | None:
    """Return what is fixed of a network for all tiles, if anything is."""
    if not are_fixed(network, settings):
        return None
    target, box = covered(image, network.spec, settings)
    return fix_statistics(network, settings, target.shape, box)
