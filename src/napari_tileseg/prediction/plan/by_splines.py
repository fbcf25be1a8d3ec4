"""Which splines bring an image to a network's voxel size, and its result back."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from napari_tileseg.images.image import Image
from napari_tileseg.images.splines import Splines, splined, splined_onto
from napari_tileseg.images.units import voxel_size_in_micrometers
from napari_tileseg.nets.resampling import Resampling


def by_splines(
    image: Image, resampling: Resampling, before: Sequence[float], after: Sequence[float]
) -> Image:
    """Return a lazy view of an image at another voxel size, as near to it as whole voxels allow.

    Parameters
    ----------
    image : Image
        Image to resample.
    resampling : Resampling
        How.
    before, after : sequence of float
        Voxel size along each axis of space, as it is and as it should be, in one unit.

    Returns
    -------
    Image
        Over exactly the same extent; the image itself where it has as many voxels already.
    """
    lead = len(image.shape) - len(before)
    sizes = zip(before, after, image.shape[lead:], strict=True)
    shape = (*image.shape[:lead], *(max(1, round(old / new * n)) for old, new, n in sizes))
    if shape == image.shape:
        return image
    return splined(image, shape, _splines(resampling, resampling.coarse_axis(before, after), image))


def back_onto(image: Image, target: Image, resampling: Resampling, before: Sequence[float]) -> Image:
    """Return a lazy view of a result on the voxels of the image that `by_splines` took, linearly.

    Parameters
    ----------
    image : Image
        At the network's voxel size.
    target : Image
        Of the same axes and units, its voxel size known.
    resampling : Resampling
        How the target was brought to that size: along a coarse axis the nearest voxel is taken again.
    before : sequence of float
        The voxel size that `by_splines` was asked for, along each axis of space, in micrometers.
    """
    after = voxel_size_in_micrometers(target)
    coarse = None if after is None else resampling.coarse_axis(before, after)
    return splined_onto(image, target, _splines(replace(resampling, order=1), coarse, target))


def _splines(resampling: Resampling, coarse: int | None, image: Image) -> Splines:
    """Return the splines over the grid axes of an image, with a coarse axis among those of space."""
    lead = len(image.grid_axes) - len(image.spatial_axes)
    orders = [resampling.order] * len(image.spatial_axes)
    apart = set(range(lead))
    if coarse is not None:
        orders[coarse] = resampling.coarse_order
        apart.add(lead + coarse)
    return Splines(orders=(*(0,) * lead, *orders), apart=frozenset(apart))
