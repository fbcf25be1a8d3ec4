"""Datasets of HDF5 files, such as those of PlantSeg and ilastik.

h5py serialises its own calls, so a dataset may be read from several threads.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import h5py

from napari_tileseg._types import ImageSource, Shape
from napari_tileseg.errors import ImageError
from napari_tileseg.images.formats.format import Format, Location, Stored
from napari_tileseg.images.source import FileSource


class Hdf5Source(FileSource):
    """One dataset of an HDF5 file."""

    def _open(self) -> tuple[ImageSource, Callable[[], None]]:
        file = _file(self.path)
        return file[str(self.place)], file.close


def _file(path: Any) -> h5py.File:
    try:
        return h5py.File(path, "r")
    except OSError as error:
        raise ImageError(
            f"{path} should be a complete HDF5 file; it cannot be opened ({error}). Copy it again, and close "
            "it in programs that write to it."
        ) from error


def _datasets(file: h5py.File) -> dict[str, Shape]:
    """Path and shape of each dataset with two axes or more."""
    found: dict[str, Shape] = {}

    def visit(name: str, node: object) -> None:
        if isinstance(node, h5py.Dataset) and node.ndim >= 2:
            found[f"/{name}"] = node.shape

    file.visititems(visit)
    return found


def _place(location: Location, file: h5py.File) -> str:
    """Path of the dataset that is meant."""
    inner = "/" + location.inner.strip("/")
    if location.inner and isinstance(file.get(inner), h5py.Dataset):
        return inner
    datasets = _datasets(file)
    if not location.inner and len(datasets) == 1:
        return next(iter(datasets))
    if not datasets:
        raise ImageError(f"{location.path} should hold a dataset of two axes or more; it holds none.")
    listed = ", ".join(f"{name} {shape}" for name, shape in datasets.items())
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
        axes = _axes(file[place])
        sizes = _element_size(file[place])
    space = [letter for letter in "zyx" if letter in axes] if "?" not in axes else list("zyx")
    known = dict(zip(reversed(space), reversed(sizes), strict=False))
    return Stored(
        data=Hdf5Source(location.path, place),
        axes=axes,
        scale=known,
        units=dict.fromkeys(known, "micrometer"),
    )


def _axes(dataset: h5py.Dataset) -> str:
    """Axes as ilastik's ``axistags`` or the labels of the dimensions say."""
    try:
        said = [str(axis["key"]) for axis in json.loads(dataset.attrs.get("axistags", "{}"))["axes"]]
    except (KeyError, TypeError, ValueError):
        said = [dimension.label for dimension in dataset.dims]
    known = len(set(said)) == len(said) == dataset.ndim and set(said) <= set("tczyx")
    return "".join(said) if known else "?" * dataset.ndim


def _element_size(dataset: h5py.Dataset) -> tuple[float, ...]:
    """PlantSeg's ``element_size_um``, in the order z, y, x."""
    values = dataset.attrs.get("element_size_um", ())
    try:
        return tuple(float(value) for value in values)
    except (TypeError, ValueError):
        return ()


HDF5 = Format("an HDF5 dataset (file.h5:/raw)", _recognises, _levels, _open, has_places=True)
