"""Datasets of HDF5 files, such as those of PlantSeg and ilastik.

h5py serialises its own calls, so a dataset may be read from several threads.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import h5py

from napari_tileseg._types import ImageSource, Shape
from napari_tileseg._words import by_axis
from napari_tileseg.errors import ImageError, answering
from napari_tileseg.images.formats.format import Format, Location, Stored
from napari_tileseg.images.measures import AxisCalibration
from napari_tileseg.images.metadata import attempt, from_json, items, mapping, number, text
from napari_tileseg.images.source import FileSource


class Hdf5Source(FileSource):
    """One dataset of an HDF5 file."""

    def _open(self) -> tuple[ImageSource, Callable[[], None]]:
        file = _file(self.path)
        return file[str(self.place)], file.close


def _file(path: Any) -> h5py.File:
    cure = "Copy it again, and close it in programs that write to it."
    with answering(ImageError, f"{path} should be a complete HDF5 file", cure):
        return h5py.File(path, "r")


def _datasets(file: h5py.File) -> dict[str, Shape]:
    """Return the path and shape of each dataset with two axes or more."""
    found: dict[str, Shape] = {}

    def visit(name: str, node: object) -> None:
        if isinstance(node, h5py.Dataset) and node.ndim >= 2:
            found[f"/{name}"] = node.shape

    file.visititems(visit)
    return found


def _place(location: Location, file: h5py.File) -> str:
    """Return the path of the dataset that is meant."""
    inner = "/" + location.inner.strip("/")
    if location.inner and isinstance(file.get(inner), h5py.Dataset):
        return inner
    datasets = _datasets(file)
    if not location.inner and len(datasets) == 1:
        return next(iter(datasets))
    if not datasets:
        raise ImageError(f"{location.path} should hold a dataset of two axes or more; it holds none.")
    listed = ", ".join(f"{name} ({by_axis(shape)})" for name, shape in datasets.items())
    asked = f"there is none at {inner}" if location.inner else "none was named"
    raise ImageError(
        f"{location.path} holds the datasets {listed}; {asked}. "
        f"Name one, such as {location.path}:{next(iter(datasets))}."
    )


def _recognises(location: Location) -> bool:
    return location.path.is_file() and bool(h5py.is_hdf5(location.path))


def _levels(location: Location) -> tuple[Shape, ...]:
    with _file(location.path) as file:
        return (file[_place(location, file)].shape,)


def _open(location: Location, _level: int) -> Stored:
    with _file(location.path) as file:
        place = _place(location, file)
        dataset = file[place]
        axes = _axes(dataset)
        measured = _tagged(dataset) | _element_size(dataset, axes)
    return Stored(data=Hdf5Source(location.path, place), axes=axes, calibration=measured)


def _attribute(dataset: h5py.Dataset, name: str) -> Any:
    """Return an attribute; None where there is none, or where it is of a type that h5py does not read."""
    return attempt(lambda: dataset.attrs[name])


def _tags(dataset: h5py.Dataset) -> list[Mapping[str, Any]]:
    """Return the entries of ilastik's ``axistags``, one for each axis."""
    return [mapping(tag) for tag in items(mapping(from_json(_attribute(dataset, "axistags"))).get("axes"))]


def _axes(dataset: h5py.Dataset) -> str:
    """Return the axes as ilastik's ``axistags`` or the labels of the dimensions state them."""
    tagged = [text(tag.get("key")) for tag in _tags(dataset)]
    labelled = [text(label) for label in attempt(lambda: [each.label for each in dataset.dims]) or ()]
    for letters in (tagged, labelled):
        if len(set(letters)) == len(letters) == len(dataset.shape) and set(letters) <= set("tczyx"):
            return "".join(letters)
    return "?" * len(tuple(dataset.shape))


def _tagged(dataset: h5py.Dataset) -> dict[str, AxisCalibration]:
    """Return resolutions of ilastik's ``axistags``, where 0 stands for unknown, with the units beside."""
    units = mapping(from_json(_attribute(dataset, "axis_units")))
    found = {}
    for tag in _tags(dataset):
        letter, resolution = text(tag.get("key")), tag.get("resolution")
        if resolution is not None and number(resolution) != 0:
            found[letter] = AxisCalibration(resolution, 0.0, units.get(letter, tag.get("unit")))
    # A channel and an axis without a name have no size.
    return {letter: each for letter, each in found.items() if letter in set("tzyx")}


def _element_size(dataset: h5py.Dataset, axes: str) -> dict[str, AxisCalibration]:
    """Return PlantSeg's ``element_size_um``, in the order z, y, x."""
    value = _attribute(dataset, "element_size_um")
    space = [letter for letter in "zyx" if letter in axes] if "?" not in axes else list("zyx")
    sizes = items(value) or (() if value is None else [value] * len(space))
    return {
        axis: AxisCalibration(size, 0.0, "um")
        for axis, size in zip(reversed(space), reversed(sizes), strict=False)
    }


HDF5 = Format("an HDF5 dataset (file.h5:/raw)", _recognises, _levels, _open, has_places=True)
