"""What every format answers, and what it finds."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from napari_tileseg._files import ordinary_file
from napari_tileseg._types import ImageSource, Shape
from napari_tileseg.images.measures import AxisCalibration

#: Bytes that an image's file has at most: any number that a disk holds.
_LARGEST = 2**60


@dataclass(frozen=True, slots=True)
class Location:
    """A file or folder, and a place inside it.

    Parameters
    ----------
    path : Path
        File or folder, which exists.
    inner : str
        What follows the colon in ``file.h5:/raw``; empty without one.
    """

    path: Path
    inner: str = ""

    def __str__(self) -> str:
        return f"{self.path}:{self.inner}" if self.inner else str(self.path)

    def head(self, size: int) -> bytes:
        """Return the first bytes of the file; none for a folder.

        Raises
        ------
        OSError
            If it is neither: a pipe would be waited for, and a device never ends.
        """
        if self.path.is_dir():
            return b""
        with ordinary_file(self.path, _LARGEST) as (file, _):
            return file.read(size)


@dataclass(frozen=True, slots=True, kw_only=True)
class Stored:
    """One level of an image, as the file describes it.

    Parameters
    ----------
    data : ImageSource
        Voxels.
    axes : str
        Name of each axis, ``?`` where the file states none.
    calibration : mapping
        What the file states about an axis, by its letter, not judged yet; of an axis that is absent it states
        nothing.
    factors : mapping
        Voxels of the finest level to one voxel, by axis; 1 by default.
    channel_names : tuple of str
        One for each channel, or empty.
    name : str
        What the image is called; empty where the file's name has to do.
    notes : tuple of str
        A sentence for each thing that is assumed, or of which no use is made.
    """

    data: ImageSource
    axes: str
    calibration: Mapping[str, AxisCalibration] = field(default_factory=dict)
    factors: Mapping[str, float] = field(default_factory=dict)
    channel_names: tuple[str, ...] = ()
    name: str = ""
    notes: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Format:
    """How one kind of file is read.

    Parameters
    ----------
    name : str
        What it is called, with an example of a path where that helps.
    recognises : callable
        Whether a location is of this format, by its content.
    levels : callable
        Shape of each level; ``()`` for a level that is listed and missing. Raises `ImageError`.
    open : callable
        One level, by its index in `levels`, which is within range. Raises `ImageError`.
    has_places : bool
        Whether a file can hold several images, distinguished by what follows a colon in the path.
    """

    name: str
    recognises: Callable[[Location], bool]
    levels: Callable[[Location], tuple[Shape, ...]]
    open: Callable[[Location, int], Stored]
    has_places: bool = False
