"""Tiles that follow from what a network's layers cost."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from napari_tileseg.engine.choice import route_of
from napari_tileseg.engine.tile_planner import open_planner
from napari_tileseg.images.image import Image
from napari_tileseg.prediction.order.tile_order import TileOrder
from napari_tileseg.prediction.plan.layout import TilePlan, plan_tiles
from napari_tileseg.prediction.plan.unused_settings import chunks_read_again, idle_settings
from napari_tileseg.prediction.store.provenance import core_of
from napari_tileseg.settings import PredictSettings

if TYPE_CHECKING:
    from napari_tileseg.nets.network import Network


def tiles_of(
    image: Image,
    network: Network,
    settings: PredictSettings,
    begun: Path | TileOrder | None = None,
    *,
    swept: bool = True,
) -> TilePlan:
    """Tiles that `predict_to_store` would do; the first time for a network it takes seconds.

    Parameters
    ----------
    image : Image
        The image.
    network : Network
        The opened network.
    settings : PredictSettings
        How. A core that is not set is derived from what it costs and from the memory there is.
    begun : Path or TileOrder, optional
        Folder of a store, or an order of tiles. What was begun keeps its core, whatever memory there is now.
    swept : bool, optional
        As `plan_tiles` takes it.

    Raises
    ------
    ImageError, NetworkError, SettingsError, DeviceError
        As `plan_tiles` and `open_planner`.
    """
    route_of(network)  # makes the graph known, on which planning rests
    planner = open_planner(network, settings.device, settings.dtype, settings.memory)
    stored = core_of(begun) if isinstance(begun, Path) else None
    core = begun.grid.core if isinstance(begun, TileOrder) else stored
    tiles = plan_tiles(image, network.spec, settings, planner, swept=swept, begun=core)
    idle = idle_settings(tiles, settings, begun=stored == tiles.grid.core)
    return replace(tiles, notes=(*tiles.notes, *idle, *chunks_read_again(image, tiles)))
