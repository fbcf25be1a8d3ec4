"""What OME-Zarr 0.5 says of a stored prediction: axes, levels, place, channels."""

from __future__ import annotations

from typing import Any

from napari_tileseg.images.image import Image
from napari_tileseg.prediction.plan.plan import Plan
from napari_tileseg.prediction.store.pyramid import Level
from napari_tileseg.tiling import Box


def stored_axes(grid_axes: str) -> str:
    """Axes of the stored array: time, channel, space, as OME-Zarr orders them."""
    return grid_axes.replace("t", "tc") if "t" in grid_axes else "c" + grid_axes


def stored(values: tuple[Any, ...], grid_axes: str, channel: Any) -> tuple[Any, ...]:
    """`values` of the grid axes, with that of the channel put in its place."""
    place = stored_axes(grid_axes).index("c")
    return (*values[:place], channel, *values[place:])


def place(image: Image, box: Box) -> tuple[float, ...]:
    """World position, before `affine`, of the first voxel of a box."""
    steps = zip(image.translation, box.start, image.voxel_size, strict=True)
    return tuple(offset + start * size for offset, start, size in steps)


def multiscales(plan: Plan, levels: tuple[Level, ...]) -> dict[str, Any]:
    """Attributes of the image that a plan's result is."""
    image, axes = plan.tiles.image, plan.tiles.image.grid_axes
    units = dict(zip(axes, image.units, strict=True))
    return {
        "version": "0.5",
        "multiscales": [
            {
                "name": image.name,
                "axes": [_axis(axis, units.get(axis)) for axis in stored_axes(axes)],
                "datasets": [_dataset(number, plan, level) for number, level in enumerate(levels)],
            }
        ],
        "omero": {
            "channels": [
                {
                    "label": name,
                    "color": _COLORS[number % len(_COLORS)],
                    "active": True,
                    "window": {"min": 0.0, "max": 1.0, "start": 0.0, "end": 1.0},
                }
                for number, name in enumerate(plan.classes)
            ]
        },
    }


_COLORS = ("00FF00", "FF00FF", "00FFFF", "FFFF00", "FF0000", "0000FF")


def _axis(axis: str, unit: str | None) -> dict[str, str]:
    kind = {"t": "time", "c": "channel"}.get(axis, "space")
    known = {} if unit in {None, "pixel"} else {"unit": str(unit)}
    return {"name": axis, "type": kind, **known}


def _dataset(number: int, plan: Plan, level: Level) -> dict[str, Any]:
    image = plan.tiles.image
    size = stored(image.voxel_size, image.grid_axes, 1.0)
    origin = stored(place(image, plan.grid.box), image.grid_axes, 0.0)
    scale = [a * f for a, f in zip(size, level.factors, strict=True)]
    # The centre of a voxel that stands for f voxels lies (f - 1) / 2 of them further.
    shift = [o + (f - 1) / 2 * a for o, f, a in zip(origin, level.factors, size, strict=True)]
    return {
        "path": str(number),
        "coordinateTransformations": [
            {"type": "scale", "scale": scale},
            {"type": "translation", "translation": shift},
        ],
    }
