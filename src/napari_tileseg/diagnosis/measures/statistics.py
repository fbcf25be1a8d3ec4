"""How far the statistics that normalization layers meet in a tile lie from those they were trained with."""

from __future__ import annotations

from collections.abc import Generator, Sequence
from typing import TYPE_CHECKING

import numpy as np
from torch import nn

from napari_tileseg._progress import Progress, Steps
from napari_tileseg.diagnosis.measured import LayerStatistics, TileStatistics
from napari_tileseg.diagnosis.measures.moments import (
    Moments,
    Records,
    is_scripted,
    layer_at,
    mean_moments,
    running_moments,
    watch,
    watched_layers,
)
from napari_tileseg.diagnosis.region_predictor import network_regions
from napari_tileseg.tiling import Box

if TYPE_CHECKING:
    from napari_tileseg.nets.inspection import NormLayer
    from napari_tileseg.prediction.plan.plan import Plan


def measure_statistics(plan: Plan, boxes: Sequence[Box]) -> Generator[Progress, None, TileStatistics]:
    """Look at the statistics of tiles in each normalization layer.

    Parameters
    ----------
    plan : Plan
        How the image is prepared, and where it is computed.
    boxes : sequence of Box
        Tiles, on the stride.

    Yields
    ------
    Progress
        One for each tile.

    Returns
    -------
    TileStatistics
        What each layer met in the tiles.
    """
    layers = watched_layers(plan.network.module)
    if not layers:
        return summarize(plan.network.module, {}, len(boxes))
    module, records = watch(plan.network.module, layers)
    regions, steps = network_regions(plan, module=module), Steps("Looking at layers", len(boxes))
    for box in boxes:
        regions(box)
        yield steps.count()
    return summarize(plan.network.module, records, len(boxes))


def summarize(module: nn.Module, records: Records, tiles: int) -> TileStatistics:
    """Return the statistics of all layers from what `watch` wrote down.

    Parameters
    ----------
    module : torch.nn.Module
        The network, whose running statistics are the reference.
    records : Records
        For each path what the layer met, one entry a tile.
    tiles : int
        Tiles that were looked at.
    """
    layers = tuple(layer for layer in watched_layers(module) if records.get(layer.path))
    return TileStatistics(
        layers=tuple(_summary(layer, layer_at(module, layer.path), records[layer.path]) for layer in layers),
        tiles=tiles,
        reason="" if layers else _why_none(module),
    )


def _why_none(module: nn.Module) -> str:
    if is_scripted(module):
        return "The network is TorchScript, whose layers cannot be looked into."
    return "The network has no layer that normalizes over space."


def _summary(layer: NormLayer, module: nn.Module, record: Sequence[Moments]) -> LayerStatistics:
    running = running_moments(module)
    middle = running or mean_moments(record)
    mean, deviation = (values.flatten().double().numpy() for values in (middle.mean, middle.deviation))
    means = np.stack([each.mean.flatten().double().numpy() for each in record])
    deviations = np.stack([each.deviation.flatten().double().numpy() for each in record])
    distances = np.abs(means - mean) / deviation
    spreads = np.exp(np.log(deviations / deviation).mean(axis=1))
    return LayerStatistics(
        path=layer.path,
        kind=layer.kind,
        reference="running" if running else "tiles",
        distances=tuple(map(float, distances.mean(axis=1))),
        largest=float(distances.max()),
        spreads=tuple(map(float, spreads)),
    )
