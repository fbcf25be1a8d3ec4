"""An image layer of napari as an `Image` that can be predicted."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import dask.array as da
import numpy as np
from napari.layers import Image as ImageLayer

from napari_tileseg._napari.images.layer_file import filed, uri_of
from napari_tileseg._napari.images.placement import Placement, axes_of
from napari_tileseg._types import Array, ImageSource, Shape
from napari_tileseg._words import as_typed
from napari_tileseg.errors import ImageError
from napari_tileseg.images.image import Image
from napari_tileseg.images.source import chunk_of
from napari_tileseg.settings import ImageSettings

_COLORS = ("red", "green", "blue", "alpha")


class DaskVoxels:
    """A dask array that is computed where it is read, past napari's cache, which is not thread-safe."""

    def __init__(self, array: da.Array) -> None:
        self.array = array

    @property
    def shape(self) -> Shape:
        """Voxels along each axis."""
        return tuple(int(n) for n in self.array.shape)

    @property
    def dtype(self) -> np.dtype[Any]:
        """Type of the voxels."""
        dtype: np.dtype[Any] = np.dtype(self.array.dtype)
        return dtype

    def __getitem__(self, key: tuple[slice | int, ...]) -> Array:
        return np.asarray(self.array[key].compute(scheduler="threads", callbacks=()))


def lazily(image: Image) -> da.Array:
    """Return the voxels of an image that are read in the pieces in which they are stored, when drawn."""
    array: da.Array = da.from_array(
        image.data, chunks=chunk_of(image.data) or "auto", name=False, asarray=True
    )
    return array


def level_shapes(layer: ImageLayer) -> tuple[Shape, ...]:
    """Return the shape of the data at each level of a layer, the finest first."""
    levels = layer.data if layer.multiscale else [layer.data]
    return tuple(tuple(int(n) for n in level.shape) for level in levels)


def level_factors(layer: ImageLayer, level: int) -> tuple[float, ...]:
    """Return the voxels of the finest level to one of `level`, along each axis of the layer."""
    return (
        tuple(float(f) for f in layer.downsample_factors[level]) if layer.multiscale else (1.0,) * layer.ndim
    )


def image_of(layer: ImageLayer, settings: ImageSettings) -> Image:
    """Return voxels, axes and position of an image layer, lazily.

    Parameters
    ----------
    layer : napari.layers.Image
        Any image layer: NumPy, dask or zarr data, multiscale or not, RGB or not.
    settings : ImageSettings
        Level, axes, channels, and the voxel size where the layer's is not right.

    Returns
    -------
    Image
        Whose voxel size and position are the layer's; those of its file where the layer was given none.

    Raises
    ------
    ImageError
        If the level or channels do not exist, the axes do not fit, or the voxels are not real numbers.
    """
    shapes = level_shapes(layer)
    if settings.level >= len(shapes):
        raise ImageError(
            f"{layer.name} has the levels 0 to {len(shapes) - 1}; got {settings.level}. Choose one of them."
        )
    axes = settings.axes or axes_of(layer)
    data = layer.data[settings.level] if layer.multiscale else layer.data
    placement, notes = _measured(layer, axes, placement_of(layer, settings), settings)
    return Image(
        data=_readable(data),
        axes=axes,
        name=layer.name,
        voxel_size=_voxel_size(placement, axes, settings),
        translation=tuple(float(t) for t in placement.translate),
        units=tuple(str(unit) for unit in placement.units),
        affine=_affine(placement),
        channel_names=channel_names_of(layer, axes),
        channels=settings.channel,
        uri=uri_of(layer),
        notes=notes,
    )


def channel_names_of(layer: ImageLayer, axes: str) -> tuple[str, ...]:
    """Return the names of the channels of a layer: colours, or what its file states; empty if unknown."""
    shape = level_shapes(layer)[0]
    if "c" not in axes or len(axes) != len(shape):
        return ()
    count = shape[axes.index("c")]
    if layer.rgb:
        return _COLORS[:count]
    found = filed(layer)
    return found.channel_names if found is not None and len(found.channel_names) == count else ()


def _measured(
    layer: ImageLayer, axes: str, placement: Placement, settings: ImageSettings
) -> tuple[Placement, tuple[str, ...]]:
    """Return the placement, from the file where the layer was given none, and notes on it."""
    found = filed(layer)
    if found is None or len(found.axes) != len(axes):
        return placement, ()
    grid = [number for number, axis in enumerate(axes[: layer.ndim]) if axis != "c"]
    sizes, offsets = (np.array([values[n] for n in grid]) for values in (found.sizes, found.offsets))
    units = tuple(found.units[n] for n in grid)
    notes = [*found.notes]
    if axes != found.axes and settings.axes is None:
        notes.append(
            f"The file of {layer.name} has the axes {found.axes} where it is opened by itself; those of the "
            f"layer are called {axes}, which counts."
        )
    factors = np.array([level_factors(layer, settings.level)[n] for n in grid])
    whole = Placement.of_layer(layer, grid)
    if whole.untouched:
        if axes == found.axes:
            placement = replace(placement, scale=sizes * factors, translate=offsets, units=units)
    elif units != tuple(map(str, whole.units)) or not np.allclose(sizes, whole.scale):
        stated, shown = _sizes(sizes, units), _sizes(whole.scale, whole.units)
        notes.append(
            f"The file of {layer.name} gives voxels of {stated}; the layer has {shown}, which counts."
        )
    return placement, tuple(notes)


def _sizes(sizes: Array, units: Sequence[Any]) -> str:
    return ", ".join(f"{size:g} {unit}" for size, unit in zip(sizes, units, strict=True))


def placement_of(layer: ImageLayer, settings: ImageSettings) -> Placement:
    """Return the placement of the grid axes of a layer at a level: all axes but the channel.

    Raises
    ------
    ImageError
        If the axes do not fit the layer.
    """
    axes = settings.axes or axes_of(layer)
    if len(axes) != layer.ndim + bool(layer.rgb):
        raise ImageError(
            f"{layer.name} has {layer.ndim + bool(layer.rgb)} axes; name each once, from t, c, z, y, x; "
            f"got {axes!r}."
        )
    grid = [i for i, axis in enumerate(axes[: layer.ndim]) if axis != "c"]
    factors = level_factors(layer, settings.level)
    return Placement.of_layer(layer, grid, [factors[i] for i in grid])


def _readable(data: Any) -> ImageSource:
    return DaskVoxels(data) if isinstance(data, da.Array) else data


def _voxel_size(placement: Placement, axes: str, settings: ImageSettings) -> tuple[float, ...]:
    size = [float(s) for s in placement.scale]
    if settings.voxel_size is not None:
        spatial = [i for i, axis in enumerate(axes.replace("c", "")) if axis != "t"]
        if len(settings.voxel_size) != len(spatial):
            raise ImageError(
                f"The voxel size needs {len(spatial)} numbers, one for each spatial axis; "
                f"got {as_typed(settings.voxel_size)}."
            )
        for i, value in zip(spatial, settings.voxel_size, strict=True):
            size[i] = value
    return tuple(size)


def _affine(placement: Placement) -> tuple[tuple[float, ...], ...] | None:
    """Return the matrix from scaled and translated coordinates to the world; None for the identity."""
    turn = placement.rotate @ placement.shear
    matrix = np.eye(len(turn) + 1)
    matrix[:-1, :-1] = turn
    matrix[:-1, -1] = placement.translate - turn @ placement.translate
    matrix = placement.affine @ matrix
    if np.array_equal(matrix, np.eye(len(matrix))):
        return None
    return tuple(tuple(float(v) for v in row) for row in matrix)


def placement_of_image(image: Image) -> Placement:
    """Return the placement of an image that no layer shows, such as a stored prediction."""
    ndim = len(image.shape)
    return Placement(
        scale=np.asarray(image.voxel_size, dtype=float),
        translate=np.asarray(image.translation, dtype=float),
        rotate=np.eye(ndim),
        shear=np.eye(ndim),
        affine=np.eye(ndim + 1) if image.affine is None else np.asarray(image.affine, dtype=float),
        units=image.units,
        axis_labels=tuple(image.grid_axes),
        world_axes=tuple(range(-ndim, 0)),
    )


def placement_beside(layer: Placement, image: Image, other: Image) -> Placement:
    """Return the placement of another grid over the same part of the world, such as a predicted box.

    Parameters
    ----------
    layer : Placement
        Where `image` lies in the viewer.
    image, other : Image
        Their voxel sizes and translations define how the grids lie to each other.
    """
    size = np.asarray(image.voxel_size)
    start = (np.asarray(other.translation) - np.asarray(image.translation)) / size
    return layer.regridded(np.asarray(other.voxel_size) / size, start)
