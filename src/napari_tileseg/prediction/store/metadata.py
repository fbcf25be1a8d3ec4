"""OME-Zarr metadata of a stored prediction."""

from __future__ import annotations

from typing import Any

from napari_tileseg.images import omezarr_metadata
from napari_tileseg.images.image import Image
from napari_tileseg.images.omezarr_metadata import position_of, stored_axes, with_channel
from napari_tileseg.prediction.plan.plan import Plan
from napari_tileseg.prediction.store.pyramid import Level
from napari_tileseg.tiling import Box

#: Of the classes, in turn.
COLORS = ("00FF00", "FF00FF", "00FFFF", "FFFF00", "FF0000", "0000FF")


def multiscales(plan: Plan, levels: tuple[Level, ...]) -> dict[str, Any]:
    """Return the attributes of the image that a plan's result is."""
    image, axes = plan.tiles.image, plan.tiles.image.grid_axes
    units = dict(zip(axes, image.units, strict=True))
    return omezarr_metadata.image_attributes(
        image.name,
        [omezarr_metadata.axis_entry(axis, units.get(axis)) for axis in stored_axes(axes)],
        [dataset(number, image, plan.grid.box, level) for number, level in enumerate(levels)],
        omero=omezarr_metadata.omero_entry(plan.classes, COLORS),
    )


def dataset(number: int, image: Image, box: Box, level: Level) -> dict[str, Any]:
    """Return the entry of a level of what lies on a box of an image."""
    size = with_channel(image.voxel_size, image.grid_axes, 1.0)
    origin = with_channel(position_of(image, box), image.grid_axes, 0.0)
    scale = [a * f for a, f in zip(size, level.factors, strict=True)]
    # The centre of a voxel that stands for f voxels lies (f - 1) / 2 of them further.
    shift = [o + (f - 1) / 2 * a for o, f, a in zip(origin, level.factors, size, strict=True)]
    return omezarr_metadata.dataset_entry(str(number), scale, shift)
