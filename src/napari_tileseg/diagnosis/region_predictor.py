"""Predicting a region of an image as one tile by itself: all that is compared comes from this."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import TypeAlias

import numpy as np
from torch import nn

from napari_tileseg._types import Array
from napari_tileseg._words import as_typed, by_axis
from napari_tileseg.engine import Engine, PaddedImage, open_engine
from napari_tileseg.engine.plain_engine import PlainEngine
from napari_tileseg.errors import NetworkError
from napari_tileseg.prediction.plan.plan import Plan
from napari_tileseg.tiling import Box, Tile

#: From a box of the padded image to its prediction as one tile: ``(classes, *box.shape)``, floating.
RegionPredictor: TypeAlias = Callable[[Box], Array]


#: From the box that a tile reads, and its core, to the prediction of the core.
CorePredictor: TypeAlias = Callable[[Box, Box], Array]


class NetworkRegions:
    """Predicts regions of a plan's image by one engine, each as one tile.

    Parameters
    ----------
    plan : Plan
        How the image is prepared.
    engine : Engine
        What computes.
    """

    def __init__(self, plan: Plan, engine: Engine) -> None:
        self._plan, self._engine, self._prepared = plan, engine, plan.prepared

    def __call__(self, box: Box) -> Array:
        """Predict a box: ``(classes, *box.shape)``."""
        return self.predict_core(box, box)

    def predict_core(self, read: Box, core: Box) -> Array:
        """Predict the core of a tile: ``(classes, *core.shape)``."""
        tile = Tile((0,) * read.ndim, core, read)
        self._engine.verify(self._prepared, tile)
        (values,) = self._engine.compute(self._prepared, [tile])
        return values


def network_regions(plan: Plan, *, module: nn.Module | None = None) -> NetworkRegions:
    """Return a predictor of regions that works as the engine does on tiles.

    Parameters
    ----------
    plan : Plan
        How the image is prepared, and where it is computed. Where intensities are normalized tile by tile,
        each region is normalized by itself.
    module : torch.nn.Module, optional
        Another module to run instead, with the same input and output.

    Returns
    -------
    NetworkRegions
        Boxes start on the network's stride and have a shape that it accepts. It raises what
        `Engine.compute` raises.
    """
    chosen = plan.network if module is None else replace(plan.network, module=module)
    engine = PlainEngine(chosen, plan.device, plan.dtype, 1, "Each tile is looked at by itself.")
    return NetworkRegions(plan, engine)


def planned_regions(plan: Plan, *, module: nn.Module | None = None) -> NetworkRegions:
    """Return a predictor as `network_regions` does, computed as the plan's prediction is.

    Where that computes of each layer no more than a core needs, so does this, since whole tiles of that size
    may not fit into memory; `module` is not looked at then.
    """
    if plan.tiles.regions is None:
        return network_regions(plan, module=module)
    return NetworkRegions(plan, open_engine(plan.network, plan.device, plan.dtype))


def core_predictor_of(regions: RegionPredictor | NetworkRegions) -> CorePredictor:
    """Make a predictor of the core of a tile from any predictor of regions."""
    if isinstance(regions, NetworkRegions):
        return regions.predict_core
    return lambda read, core: regions(read)[(slice(None), *core.within(read))]


def function_regions(image: PaddedImage, function: Callable[[Array], Array]) -> RegionPredictor:
    """Make a predictor of regions from any function, such as another tool's inference.

    Parameters
    ----------
    image : PaddedImage
        What to look at, such as the `prepared` of a plan.
    function : callable
        From the voxels of a region, ``(channels, *shape)``, to ``(classes, *shape)``.

    Returns
    -------
    RegionPredictor
        It raises `NetworkError` where the function gives another shape.
    """

    def predict(box: Box) -> Array:
        values = function(image.read(box))
        if values.shape[1:] != box.shape:
            raise NetworkError(
                f"A prediction of a region of {by_axis(box.shape)} should be (classes, "
                f"{by_axis(box.shape)}); the function "
                f"gave {by_axis(values.shape)}. Let it keep the shape, and put the classes first."
            )
        return values

    return predict


def part_of(values: Array, box: Box, part: Box, names: Sequence[str]) -> Array:
    """Cut a part out of a region's prediction, and check it.

    Parameters
    ----------
    values : ndarray
        Prediction of `box`: ``(classes, *box.shape)``.
    box, part : Box
        The region, and a box inside it.
    names : sequence of str
        Name of each class.

    Returns
    -------
    ndarray
        ``(classes, *part.shape)``, finite.

    Raises
    ------
    NetworkError
        If the prediction has another shape, or is NaN or infinite in that part, with its position.
    """
    expected = (len(names), *box.shape)
    if values.shape != expected:
        raise NetworkError(
            f"A prediction of {len(names)} classes on {by_axis(box.shape)} voxels should be of "
            f"{by_axis(expected)}; it is of "
            f"{by_axis(values.shape)}. Name one class for each channel."
        )
    cropped: Array = values[(slice(None), *part.within(box))]
    if np.isfinite(cropped).all():
        return cropped
    number, *at = (int(n) for n in np.argwhere(~np.isfinite(cropped))[0])
    point = tuple(a + b for a, b in zip(at, part.start, strict=True))
    raise NetworkError(
        f"A prediction should be finite; that of class {names[number]} is {cropped[(number, *at)]} at voxel "
        f"{as_typed(point)}, in the tile {box}. Compute in float32, and check the "
        "network's "
        "weights and the image there."
    )
