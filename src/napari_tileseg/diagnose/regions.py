"""Predicting a region of an image as one tile by itself: all that is compared comes from this."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, TypeAlias

import numpy as np
from torch import nn

from napari_tileseg._types import Array
from napari_tileseg.engine import PaddedImage
from napari_tileseg.engine.plain import PlainEngine
from napari_tileseg.errors import NetworkError
from napari_tileseg.predict.plan import Plan
from napari_tileseg.tiling import Box, Tile

if TYPE_CHECKING:
    from napari_tileseg.nets.network import Network

#: From a box of the padded image to its prediction as one tile: ``(classes, *box.shape)``, floating.
RegionPredictor: TypeAlias = Callable[[Box], Array]


def network_regions(plan: Plan, network: Network, *, module: nn.Module | None = None) -> RegionPredictor:
    """Regions as the product predicts its tiles.

    Parameters
    ----------
    plan : Plan
        How the image is prepared, and where it is computed. Where intensities are normalized tile by tile,
        each region is normalized by itself.
    network : Network
        The opened network; it is not changed.
    module : torch.nn.Module, optional
        Another module to run in its place, with the same input and output.

    Returns
    -------
    RegionPredictor
        Boxes start on the network's stride and have a shape that it accepts. It raises what
        `Engine.compute` raises.
    """
    chosen = network if module is None else replace(network, module=module)
    engine = PlainEngine(chosen, plan.device, plan.dtype, 1, "Each tile is looked at by itself.")
    prepared = plan.prepared

    def predict(box: Box) -> Array:
        (values,) = engine.compute(prepared, [Tile((0,) * box.ndim, box, box)])
        return values

    return predict


def function_regions(image: PaddedImage, function: Callable[[Array], Array]) -> RegionPredictor:
    """Regions predicted by any function, such as another tool's inference.

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
                f"A prediction of a region of {box.shape} should be (classes, {box.shape}); the function "
                f"gave {values.shape}. Let it keep the shape, and put the classes first."
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
        If the prediction has another shape, or is NaN or infinite in that part; says where.
    """
    expected = (len(names), *box.shape)
    if values.shape != expected:
        raise NetworkError(
            f"A prediction of {len(names)} classes on {box.shape} voxels should be of {expected}; it is of "
            f"{values.shape}. Name one class for each channel."
        )
    kept: Array = values[(slice(None), *part.within(box))]
    if np.isfinite(kept).all():
        return kept
    number, *place = (int(n) for n in np.argwhere(~np.isfinite(kept))[0])
    point = tuple(a + b for a, b in zip(place, part.start, strict=True))
    raise NetworkError(
        f"A prediction should be finite; that of class {names[number]} is {kept[(number, *place)]} at voxel "
        f"{point}, in the tile from {box.start} to {box.stop}. Compute in float32, and check the network's "
        "weights and the image there."
    )
