"""TIFF, BigTIFF, OME-TIFF and ImageJ TIFF: the first series, with its pyramid levels.

Uncompressed contiguous voxels are mapped into memory; others are decoded strip by strip or tile by tile, so
that a compressed page in a single strip is decoded whole whenever part of it is read.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import tifffile
import zarr

from napari_tileseg._types import ImageSource, Shape
from napari_tileseg._words import by_axis
from napari_tileseg.errors import ImageError, answering
from napari_tileseg.images.formats.format import Format, Location, Stored
from napari_tileseg.images.formats.tiff_calibration import calibration
from napari_tileseg.images.formats.tiff_file import check_complete, open_tiff
from napari_tileseg.images.measures import AxisCalibration
from napari_tileseg.images.metadata import size
from napari_tileseg.images.source import FileSource

_SIGNATURES = (b"II*\0", b"MM\0*", b"II+\0", b"MM\0+")
_LETTERS = {"T": "t", "C": "c", "S": "c", "Z": "z", "Y": "y", "X": "x"}


class TiffSource(FileSource):
    """One level of the first series of a TIFF file."""

    def _open(self) -> tuple[ImageSource, Callable[[], None]]:
        file, number = open_tiff(self.path).file, int(self.place)
        what = f"{self.path} should be a complete TIFF of a known compression"
        try:
            with answering(ImageError, what, "Copy it again, or save it as plain TIFF."):
                level = file.series[0].levels[number]
                check_complete(file, level)
                if level.dataoffset is not None and level.keyframe.is_memmappable:
                    array = _mapped(file, level)
                    file.close()
                    return array, file.close
                # A series of several levels is a group unless one of them is asked for.
                return zarr.open_array(file.series[0].aszarr(level=number), mode="r"), file.close
        except BaseException:
            file.close()
            raise


def _mapped(file: tifffile.TiffFile, level: tifffile.TiffPageSeries) -> ImageSource:
    array: ImageSource = np.memmap(
        level.keyframe.parent.filehandle.path,
        level.dtype.newbyteorder(file.byteorder),
        mode="r",
        offset=level.dataoffset or 0,
        shape=level.shape,
    )
    return array


def is_tiff(path: Path) -> bool:
    """Return whether a file starts like a TIFF."""
    return Location(path).head(4) in _SIGNATURES


def tiff_axes(series: tifffile.TiffPageSeries, path: Path) -> str:
    """Return the axes of a series, ``?`` where the file states none.

    Raises
    ------
    ImageError
        If both colour samples and channels are stored.
    """
    axes = "".join(_LETTERS.get(letter, "?") for letter in series.axes)
    if axes.count("c") > 1:
        raise ImageError(
            f"{path} should have one channel axis; its axes are {series.axes} of lengths "
            f"{by_axis(series.shape)}, "
            "with both channels (C) and colour samples (S). Split the colours first."
        )
    return axes


def _recognises(location: Location) -> bool:
    return location.path.is_file() and is_tiff(location.path)


def _levels(location: Location) -> tuple[Shape, ...]:
    with open_tiff(location.path).file as file:
        return tuple(tuple(level.shape) for level in file.series[0].levels)


def _open(location: Location, level: int) -> Stored:
    opened = open_tiff(location.path)
    with opened.file:
        base = opened.series
        axes = tiff_axes(base, location.path)
        known = calibration(opened)
        pairs = zip(axes, base.shape, base.levels[level].shape, strict=True)
        factors = {axis: full / coarse for axis, full, coarse in pairs if axis in set("zyx")}
    return Stored(
        data=TiffSource(location.path, level),
        axes=axes,
        calibration={
            axis: _at_level(each, factors.get(axis, 1.0)) for axis, each in known.calibration.items()
        },
        factors=factors,
        channel_names=known.channel_names,
        notes=(*opened.notes, *known.notes),
    )


def _at_level(finest: AxisCalibration, factor: float) -> AxisCalibration:
    """Return what the file states about the finest level, as it holds for a coarser one of its extent."""
    known = size(finest.size)
    if known is None or factor == 1.0:
        return finest
    # The centre of a larger first voxel lies further in.
    return AxisCalibration(known * factor, (factor - 1) / 2 * known, finest.unit)


TIFF = Format("TIFF (also OME-TIFF and ImageJ)", _recognises, _levels, _open)
