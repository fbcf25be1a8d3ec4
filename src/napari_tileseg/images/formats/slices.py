"""A folder of slices: TIFF, PNG, JPEG or BMP files, stacked along z in natural order of their names."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import imageio.v3 as iio
import numpy as np

from napari_tileseg._types import Array, ImageSource, Shape
from napari_tileseg._words import by_axis
from napari_tileseg.errors import ImageError, answering
from napari_tileseg.images.formats.format import Format, Location, Stored
from napari_tileseg.images.formats.picture import is_picture, picture_channels, read_picture
from napari_tileseg.images.formats.slice_names import name_notes, natural_key
from napari_tileseg.images.formats.tiff import TiffSource, is_tiff
from napari_tileseg.images.source import FileSource

_ENDINGS = {".tif", ".tiff", ".png", ".jpg", ".jpeg", ".bmp"}


class Stack:
    """Slices of one shape and type, each read when it is asked for.

    Parameters
    ----------
    files : list of Path
        One for each slice, all of a known format.

    Raises
    ------
    ImageError
        If a slice differs from the first.
    """

    def __init__(self, files: list[Path]) -> None:
        self.files = files
        first = _properties(files[0])
        for file in files[1:]:
            if (other := _properties(file)) != first:
                raise ImageError(
                    f"The slices in {file.parent} should have one shape and type; {files[0].name} has "
                    f"{by_axis(first[0])} of {first[1]}, {file.name} has {by_axis(other[0])} of {other[1]}."
                )
        if not 2 <= len(first[0]) <= 3 or (len(first[0]) == 3 and first[0][2] > 4):
            raise ImageError(
                f"Each file in {files[0].parent} should hold one slice, grey or in colour; {files[0].name} "
                f"has the shape {by_axis(first[0])}. Open that file by itself."
            )
        self.shape: Shape = (len(files), *first[0])
        self.dtype = first[1]
        piece = TiffSource(files[0]).chunks if is_tiff(files[0]) else first[0]
        #: Shape of the pieces that are decoded as a whole; None where voxels are mapped into memory.
        self.chunks = None if piece is None else (1, *piece)

    def __getitem__(self, key: tuple[slice | int, ...]) -> Array:
        index, *rest = key
        if not isinstance(index, slice):
            return _read(self.files[index], tuple(rest))
        chosen = self.files[index]
        return np.stack([_read(file, tuple(rest)) for file in chosen])


class FolderSource(FileSource):
    """All slices of a folder."""

    def _open(self) -> tuple[ImageSource, Callable[[], None]]:
        return Stack(_slices(self.path)), lambda: None


def _properties(file: Path) -> tuple[Shape, np.dtype[np.generic]]:
    if is_tiff(file):
        source = TiffSource(file)
        return source.shape, source.dtype.newbyteorder("=")
    with answering(ImageError, f"{file} should be a complete picture", "Copy it again."):
        about = iio.improps(file, plugin="pillow", index=0)
        return tuple(about.shape), np.dtype(about.dtype)


def _read(file: Path, key: tuple[slice | int, ...]) -> Array:
    return TiffSource(file)[key] if is_tiff(file) else read_picture(file)[key]


def _slices(folder: Path) -> list[Path]:
    files = [
        file
        for file in folder.iterdir()
        if file.suffix.lower() in _ENDINGS and not file.name.startswith(".") and file.is_file()
    ]
    if not files:
        raise ImageError(
            f"{folder} should be an OME-Zarr or zarr array, or hold slices ({', '.join(sorted(_ENDINGS))}); "
            "it holds none of these."
        )
    for file in files:
        if not is_tiff(file) and not is_picture(file):
            raise ImageError(
                f"{file} should be a TIFF, PNG, JPEG or BMP, as its name says; its content is not."
            )
    return sorted(files, key=lambda file: natural_key(file.stem))


def _recognises(location: Location) -> bool:
    return location.path.is_dir()


def _levels(location: Location) -> tuple[Shape, ...]:
    return (FolderSource(location.path).shape,)


def _open(location: Location, _level: int) -> Stored:
    source = FolderSource(location.path)
    return Stored(
        data=source,
        axes="zyxc"[: source.ndim],
        channel_names=picture_channels(source.shape[1:]),
        notes=name_notes([file.stem for file in _slices(location.path)]),
    )


SLICES = Format("a folder of slices (TIFF, PNG, JPEG, BMP)", _recognises, _levels, _open)
