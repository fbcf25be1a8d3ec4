"""Opening an image from a path: which format it is, which level, which axes, which position in the world."""

from __future__ import annotations

from contextlib import AbstractContextManager
from dataclasses import replace
from os import PathLike, fspath
from pathlib import Path

from napari_tileseg._types import Indices, Shape
from napari_tileseg._words import as_typed, by_axis
from napari_tileseg.errors import ImageError, MissingImageError, SettingsError, answering
from napari_tileseg.images.axes import axis_order, check_axes, complete_axes
from napari_tileseg.images.formats.format import Format, Location, Stored
from napari_tileseg.images.formats.hdf5 import HDF5
from napari_tileseg.images.formats.numpy_file import NUMPY
from napari_tileseg.images.formats.omezarr import OME_ZARR
from napari_tileseg.images.formats.picture import PICTURE
from napari_tileseg.images.formats.slices import SLICES
from napari_tileseg.images.formats.tiff import TIFF
from napari_tileseg.images.formats.zarr_array import ZARR_ARRAY
from napari_tileseg.images.image import Image
from napari_tileseg.images.measures import measure
from napari_tileseg.images.source import Transposed
from napari_tileseg.images.units import MICROMETERS
from napari_tileseg.settings import ImageSettings

#: In the order in which they are tried; a folder that is nothing else is one of slices.
FORMATS: tuple[Format, ...] = (OME_ZARR, ZARR_ARRAY, TIFF, HDF5, NUMPY, PICTURE, SLICES)
_DEFAULT = ImageSettings()


def open_image(path: str | PathLike[str], settings: ImageSettings = _DEFAULT) -> Image:
    """Open an image lazily; no voxel is read before it is asked for, but for single pictures.

    Parameters
    ----------
    path : str or PathLike
        An OME-Zarr image or label image (0.1 to 0.6), a zarr array, a TIFF, an HDF5 dataset
        (``file.h5:/raw``), a NumPy file (``file.npz:name`` for one of several arrays), a PNG or JPEG, or a
        folder of slices.
    settings : ImageSettings
        Level, channels, and what the file does not state: axes, and voxel size in micrometers.

    Returns
    -------
    Image
        Placed in the world as the file states, in the file's units.

    Notes
    -----
    Where nothing is stated, two to five axes are ``yx``, ``zyx``, ``czyx`` and ``tczyx``; the last of a
    picture's three is the channel, alpha included. Of several series in a TIFF the first is opened.
    A slice, and a compressed TIFF page in one strip, is decoded whole whenever part of it is read: copy
    large ones to OME-Zarr first.

    Raises
    ------
    ImageError
        If the file is absent, damaged or of no known format, or lacks the level.
    SettingsError
        If the settings do not fit what the file holds.
    """
    location = _locate(path)
    with _readable(location):
        form = _format_of(location)
        _check_level(location, form, settings.level)
        stored = form.open(location, settings.level)
    name = stored.name or _short_name(location)
    stated = complete_axes(stored.axes, stored.data.shape, name)
    axes = stated if settings.axes is None else check_axes(settings.axes, stored.data.shape, name)
    if settings.axes is None:
        stored = replace(stored, notes=(*stored.notes, *_assumed(stored, stated)))
    image = _image(stored, stated, axes, name, str(location))
    if settings.voxel_size is not None:
        image = _with_voxel_size(image, settings.voxel_size)
    return image if settings.channel is None else image.with_channels(settings.channel)


def list_levels(path: str | PathLike[str]) -> tuple[Shape, ...]:
    """Return the shape of each level as stored, in the order of its index; ``()`` marks a missing one.

    Raises
    ------
    ImageError
        If the file is absent, damaged or of no known format.
    """
    location = _locate(path)
    with _readable(location):
        return _format_of(location).levels(location)


def _readable(location: object) -> AbstractContextManager[None]:
    """Answer what the system refuses, and whatever libraries report of damage, as an error of the image."""
    return answering(
        ImageError,
        f"{location} should be an image",
        "Check the disk and the permissions, and that it is whole.",
    )


def _locate(path: str | PathLike[str]) -> Location:
    text = fspath(path)
    with _readable(text):
        # Absolute, for another process that opens it may stand in another folder.
        if Path(text).exists():
            return Location(Path(text).absolute())
        outer, colon, inner = text.rpartition(":")
        if colon and Path(outer).is_file():
            return Location(Path(outer).absolute(), inner)
    if "://" in text:
        raise ImageError(f"An image should be a path on this machine; got the address {text}. Copy it first.")
    raise MissingImageError(f"There is no image at {text}: no such file or folder.")


def _format_of(location: Location) -> Format:
    for form in FORMATS:
        if form.recognises(location):
            if location.inner and not form.has_places:
                raise ImageError(
                    f"{location.path} is {form.name}, which holds one image; got the place "
                    f"{location.inner!r} inside it. Leave out what follows the colon."
                )
            return form
    known = "; ".join(form.name for form in FORMATS)
    what = "is an empty file" if location.path.stat().st_size == 0 else "is of no known format"
    raise ImageError(f"{location.path} {what}. Known formats: {known}.")


def _check_level(location: Location, form: Format, level: int) -> None:
    if level == 0:
        return  # Every image has it, and counting the pages of a long TIFF takes time.
    levels = form.levels(location)
    if level >= len(levels):
        listed = ", ".join(
            f"{index} ({by_axis(shape) if shape else 'missing'})" for index, shape in enumerate(levels)
        )
        raise ImageError(f"{location} has levels {listed}; got level {level}. Use one of these.")


def _short_name(location: Location) -> str:
    name = location.path.name
    for ending in (".zarr", ".ome", ".tif", ".tiff", ".h5", ".hdf5", ".npy", ".npz", ".png", ".jpg", ".jpeg"):
        name = name.removesuffix(ending)
    inner = location.inner.strip("/").replace("/", " ")
    return f"{name} {inner}".strip() or "image"


def _image(stored: Stored, stated: str, axes: str, name: str, uri: str) -> Image:
    order = axis_order(axes)
    turned = "".join(axes[index] for index in order)
    shape = tuple(int(stored.data.shape[index]) for index in order)
    grid = [(letter, n) for letter, n in zip(turned, shape, strict=True) if letter != "c"]
    # What the file states about an axis stays with that axis when the user gives it another name.
    origin = dict(zip(axes, stated, strict=True))
    comparable = {a: origin[a] for a, _ in grid if (a == "t") == (origin[a] == "t") and origin[a] != "c"}
    found = measure(
        [letter for letter, _ in grid],
        tuple(n for _, n in grid),
        {a: stored.calibration[b] for a, b in comparable.items() if b in stored.calibration},
        {a: stored.factors[b] for a, b in comparable.items() if b in stored.factors},
    )
    return Image(
        data=stored.data if order == tuple(range(len(order))) else Transposed(stored.data, order),
        axes=turned,
        name=name,
        voxel_size=found.sizes,
        translation=found.positions,
        units=found.units,
        channel_names=_channel_names(stored, turned, order),
        uri=uri,
        notes=(*stored.notes, *found.notes),
    )


def _assumed(stored: Stored, axes: str) -> tuple[str, ...]:
    """Return how axes were taken that the file does not name, where time and channel are as likely."""
    if "?" not in stored.axes or len(axes) < 4:
        return ()
    return (f"The file does not name its axes, of lengths {by_axis(stored.data.shape)}: taken as {axes}.",)


def _channel_names(stored: Stored, axes: str, order: Indices) -> tuple[str, ...]:
    if "c" not in axes:
        return ()
    count = int(stored.data.shape[order[axes.index("c")]])
    fits = len(stored.channel_names) == count
    return stored.channel_names if fits else tuple(f"channel {index}" for index in range(count))


def _with_voxel_size(image: Image, voxel_size: tuple[float, ...]) -> Image:
    space = image.spatial_axes
    if len(voxel_size) != len(space):
        raise SettingsError(
            f"{image.name} has spatial axes {', '.join(space)}: voxel size should have {len(space)} entries; "
            f"got {as_typed(voxel_size)}."
        )
    sizes, positions, units = list(image.voxel_size), list(image.translation), list(image.units)
    for axis, size in zip(range(len(sizes) - len(space), len(sizes)), voxel_size, strict=True):
        # A position of known unit stays as it is; one in voxels moves with their size.
        positions[axis] *= MICROMETERS.get(units[axis], size / sizes[axis])
        sizes[axis], units[axis] = size, "micrometer"
    return replace(image, voxel_size=tuple(sizes), translation=tuple(positions), units=tuple(units))
