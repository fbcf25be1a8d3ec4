"""Which engine computes a network."""

from __future__ import annotations

from typing import TYPE_CHECKING

from napari_tileseg.engine.device import check_dtype, resolve_device
from napari_tileseg.engine.engine import Engine, Route
from napari_tileseg.engine.plain_engine import PlainEngine
from napari_tileseg.engine.region_engine import Kept, RegionEngine
from napari_tileseg.engine.regions.check.captured import PROCESS_CACHE, CaptureCache
from napari_tileseg.graphs.graph import NoRuleError

if TYPE_CHECKING:
    from napari_tileseg.nets.network import Network


def open_engine(
    network: Network,
    device: str = "auto",
    dtype: str = "float32",
    batch: int | None = None,
    cache: CaptureCache = PROCESS_CACHE,
    kept: Kept | None = None,
) -> Engine:
    """Open an engine for a network on a device.

    Parameters
    ----------
    network : Network
        The opened network; it is not changed.
    device : str
        As `resolve_device` takes it.
    dtype : {"float32", "bfloat16", "float16", "float64"}
        Number format of the computation.
    batch : int, optional
        Tiles that go through the network at once; 1 by default.
    cache : CaptureCache, optional
        What is known of networks; that of the process by default.
    kept : Kept, optional
        Feature maps that have been computed of the image that is to be predicted.

    Returns
    -------
    Engine
        One that computes of each feature map what a core needs, where every operation of the network has a
        rule for that; else one that computes whole tiles.

    Raises
    ------
    DeviceError
        If the device is absent, or does not know the format.
    """
    found = resolve_device(device)
    check_dtype(dtype, found)
    try:
        graph = cache.graph_of(network, found)
    except NoRuleError as error:
        return PlainEngine(network, found, dtype, batch or 1, str(error))
    return RegionEngine(network, graph, found, dtype, batch or 1, cache, kept)


def route_of(network: Network, device: str = "auto", cache: CaptureCache = PROCESS_CACHE) -> Route:
    """Find how a network's tiles are computed on a device, and why; the first time it takes seconds.

    Parameters
    ----------
    network : Network
        The opened network.
    device : str
        As `resolve_device` takes it.
    cache : CaptureCache, optional
        What is known of networks; that of the process by default.

    Raises
    ------
    DeviceError
        If the device is absent.
    """
    try:
        graph = cache.graph_of(network, resolve_device(device))
    except NoRuleError as error:
        return Route("plain", str(error))
    return Route("regions", graph=graph)


def known_route(network: Network, device: str = "auto", cache: CaptureCache = PROCESS_CACHE) -> Route | None:
    """As `route_of`, where it has been found out already; None where it has not. It takes no time."""
    return route_of(network, device, cache) if cache.is_known(network) else None
