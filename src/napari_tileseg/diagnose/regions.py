"""Predicting a region of an image as one tile by itself: all that is compared comes from this."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import TYPE_CHECKING, TypeAlias

from torch import nn

from napari_tileseg._types import Array
from napari_tileseg.engine import PaddedImage
from napari_tileseg.engine.plain import open_engine
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
    engine = open_engine(chosen, plan.device, plan.dtype)
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
