"""Single pictures: PNG, JPEG and BMP, decoded whole when first read."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import imageio.v3 as iio
import PIL.Image
from PIL.Image import DecompressionBombError

from napari_tileseg._types import Array, ImageSource, Shape
from napari_tileseg.errors import ImageError, answering
from napari_tileseg.images.formats.format import Format, Location, Stored
from napari_tileseg.images.metadata import attempt
from napari_tileseg.images.source import FileSource

_SIGNATURES = (b"\x89PNG\r\n\x1a\n", b"\xff\xd8\xff", b"BM")
_NAMES = {
    2: ("intensity", "alpha"),
    3: ("red", "green", "blue"),
    4: ("red", "green", "blue", "alpha"),
}


def is_picture(path: Path) -> bool:
    """Return whether a file starts like a picture."""
    return Location(path).head(8).startswith(_SIGNATURES)


def read_picture(path: Path) -> Array:
    """Return the pixels ``(y, x)`` or ``(y, x, channel)``; alpha is a channel like the others.

    Raises
    ------
    ImageError
        If the file is damaged.
    """
    with answering(ImageError, f"{path} should be a complete PNG, JPEG or BMP", "Copy it again."):
        try:
            return iio.imread(path, plugin="pillow", index=0)
        except DecompressionBombError as error:
            raise ImageError(
                f"{path} has too many pixels for a format that can only be decoded whole. Convert it to "
                "OME-Zarr or tiled TIFF."
            ) from error


def picture_axes(shape: Shape) -> str:
    """Return the axes of a picture: the last is the channel where there are three."""
    return "yxc"[: len(shape)]


def picture_channels(shape: Shape) -> tuple[str, ...]:
    """Return the names of a picture's channels."""
    return _NAMES.get(shape[-1], ()) if len(shape) == 3 else ()


class PictureSource(FileSource):
    """A decoded picture."""

    def _open(self) -> tuple[ImageSource, Callable[[], None]]:
        return read_picture(self.path), lambda: None


def _recognises(location: Location) -> bool:
    return location.path.is_file() and is_picture(location.path)


def _levels(location: Location) -> tuple[Shape, ...]:
    return (tuple(read_picture(location.path).shape),)


def _open(location: Location, _level: int) -> Stored:
    source = PictureSource(location.path)
    frames = attempt(lambda: _frames(location.path)) or 1
    return Stored(
        data=source,
        axes=picture_axes(source.shape),
        channel_names=picture_channels(source.shape),
        notes=(f"The picture holds {frames} frames; the first is opened.",) * (frames > 1),
    )


def _frames(path: Path) -> int:
    """Return the pictures in a file: some PNG are animated, some JPEG hold a second one."""
    with PIL.Image.open(path) as picture:
        return int(getattr(picture, "n_frames", 1))


PICTURE = Format("a PNG, JPEG or BMP", _recognises, _levels, _open)
