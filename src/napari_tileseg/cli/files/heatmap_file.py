"""The mismatch heatmap as an OME-Zarr 0.5 image, at the image's position."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import dask.array as da
import zarr
from dask.callbacks import Callback
from zarr.core.array_spec import ArrayConfig

from napari_tileseg._drafts import drafted
from napari_tileseg._outputs import check_room
from napari_tileseg.cli.files.checks import check_heatmap
from napari_tileseg.errors import StoreError
from napari_tileseg.images import omezarr_metadata
from napari_tileseg.images.image import SPATIAL, Image
from napari_tileseg.images.omezarr_metadata import position_of, stored_axes, with_channel
from napari_tileseg.prediction.store.damage import Parts
from napari_tileseg.tiling import Box

_CHUNK = 64
# Zeros are results: a chunk that is not there was taken away.
_CONFIG = ArrayConfig(order="C", write_empty_chunks=True)


def write_heatmap(
    heatmap: da.Array, image: Image, box: Box, classes: tuple[str, ...], out: Path, step: Callable[[], None]
) -> None:
    """Compute a heatmap and write it.

    Parameters
    ----------
    heatmap : dask.array.Array
        ``(classes, *box.shape)``.
    image : Image
        The image it lies on.
    box : Box
        The part of the image that it covers.
    classes : tuple of str
        Names of the channels.
    out : Path
        Where; it appears there once it is whole.
    step : callable
        Called after each step, which may raise to stop.

    Raises
    ------
    StoreError
        If something is there, or it cannot be written.
    """
    try:
        with drafted(out) as draft:
            check_heatmap(out)
            check_room(out, int(heatmap.nbytes), "The heatmap", "or predict a box")
            _write(heatmap, _about(image, box, classes), draft, step)
    except OSError as error:
        raise StoreError(
            f"The heatmap could not be written to {out}: {error.strerror or error}. Choose another path."
        ) from error


def _write(heatmap: da.Array, about: dict[str, Any], path: Path, step: Callable[[], None]) -> None:
    axes = [axis["name"] for axis in about["multiscales"][0]["axes"]]
    # Time comes before the channel in a file, and after it here.
    values = da.moveaxis(heatmap, 0, axes.index("c"))
    chunks = tuple(
        min(n, _CHUNK) if axis in SPATIAL else 1 for n, axis in zip(values.shape, axes, strict=True)
    )
    group = zarr.create_group(store=str(path), attributes={"ome": about})
    array = group.create_array(
        "0", shape=values.shape, chunks=chunks, dtype=values.dtype, dimension_names=axes, config=_CONFIG
    )
    parts = Parts.of(path, ("zarr.json", "0/zarr.json"))

    def check_and_step(*_: object) -> None:
        parts.check()
        step()

    with Callback(posttask=check_and_step):
        # zarr arrays are written to as NumPy ones are, which the stubs of dask do not know.
        da.store(values, array, lock=True, scheduler="synchronous")  # type: ignore[arg-type]
    parts.check()
    missing = array.nchunks - array.nchunks_initialized
    if missing:
        raise StoreError(
            f"{missing} of {array.nchunks} parts of the heatmap were removed while it was being written. "
            "Start it again."
        )


def _about(image: Image, box: Box, classes: tuple[str, ...]) -> dict[str, Any]:
    """Return the attributes of the image: axes, position, channels."""
    units = dict(zip(image.grid_axes, image.units, strict=True))
    scale = with_channel(image.voxel_size, image.grid_axes, 1.0)
    translation = with_channel(position_of(image, box), image.grid_axes, 0.0)
    return omezarr_metadata.image_attributes(
        f"mismatch of {image.name}",
        [omezarr_metadata.axis_entry(axis, units.get(axis)) for axis in stored_axes(image.grid_axes)],
        [omezarr_metadata.dataset_entry("0", scale, translation)],
        omero=omezarr_metadata.omero_entry(classes, ["FFFFFF"]),
    )
