"""TIFF, BigTIFF, OME-TIFF and ImageJ TIFF: the first series, with its pyramid levels.

Uncompressed contiguous voxels are mapped into memory; others are decoded strip by strip or tile by tile, so
that a compressed page in a single strip is decoded whole whenever part of it is read.
"""

from __future__ import annotations

import struct
from collections.abc import Callable
from pathlib import Path

import numpy as np
import tifffile
import zarr

from napari_tileseg._types import ImageSource, Shape
from napari_tileseg.errors import ImageError
from napari_tileseg.images.formats.format import Format, Location, Stored
from napari_tileseg.images.formats.tiff_calibration import Calibration, calibration
from napari_tileseg.images.source import DAMAGE, FileSource

_SIGNATURES = (b"II*\0", b"MM\0*", b"II+\0", b"MM\0+")
#: What tifffile raises on a damaged file.
_DAMAGE = (tifffile.TiffFileError, struct.error, KeyError, IndexError, *DAMAGE)
_LETTERS = {"T": "t", "C": "c", "S": "c", "Z": "z", "Y": "y", "X": "x"}


class TiffSource(FileSource):
    """One level of the first series of a TIFF file."""

    def _open(self) -> tuple[ImageSource, Callable[[], None]]:
        file = open_tiff(self.path)
        level = file.series[0].levels[int(self.place)]
        try:
            _check_complete(file, level)
            if level.dataoffset is not None and level.keyframe.is_memmappable:
                array = np.memmap(
                    level.keyframe.parent.filehandle.path,
                    level.dtype.newbyteorder(file.byteorder),
                    mode="r",
                    offset=level.dataoffset,
                    shape=level.shape,
                )
                file.close()
                return array, file.close
            return zarr.open_array(level.aszarr(), mode="r"), file.close
        except _DAMAGE as error:
            file.close()
            raise ImageError(
                f"{self.path} should be a complete TIFF of a known compression; it cannot be read ({error}). "
                "Copy it again, or save it as plain TIFF."
            ) from error
        except ImageError:
            file.close()
            raise


def is_tiff(path: Path) -> bool:
    """Whether a file starts like a TIFF."""
    return Location(path).head(4) in _SIGNATURES


def open_tiff(path: Path) -> tifffile.TiffFile:
    """Open a TIFF file that holds at least one image.

    Raises
    ------
    ImageError
        If it is damaged or empty.
    """
    try:
        file = tifffile.TiffFile(path)
    except _DAMAGE as error:
        raise ImageError(
            f"{path} should be a complete TIFF; it cannot be opened ({error}). Copy it again."
        ) from error
    try:
        _check_pages(file)
        if _is_written_page_by_page(file):
            file.close()
            file = tifffile.TiffFile(path, is_shaped=False)
        _check_not_empty(file)
    except ImageError:
        file.close()
        raise
    except _DAMAGE as error:
        file.close()
        raise ImageError(
            f"{path} should be a complete TIFF; it is damaged ({type(error).__name__}: {error}). "
            "Copy it again."
        ) from error
    return file


def _check_not_empty(file: tifffile.TiffFile) -> None:
    if not (file.series and file.series[0].size):
        raise ImageError(
            f"{file.filehandle.path} should hold an image; it holds none. It may have been cut off."
        )


def _is_written_page_by_page(file: tifffile.TiffFile) -> bool:
    """Whether tifffile wrote each page of a stack in a call of its own, and so as a series of its own."""
    if not file.is_shaped or len(file.pages) == 1:
        return False
    # Only the first page of a call is described; the series themselves take long to list.
    first, second = file.pages[0], file.pages[1]
    if not isinstance(first, tifffile.TiffPage) or not isinstance(second, tifffile.TiffPage):
        return False
    return first.description == second.description and '"truncated"' not in first.description


def _check_pages(file: tifffile.TiffFile) -> None:
    """Raise if the chain of pages leads past the end of the file, where tifffile stops without a word."""
    handle, form, seen = file.filehandle, file.tiff, set()
    offset = file.pages.first.offset
    while offset and offset not in seen:
        seen.add(offset)
        handle.seek(offset)
        count = handle.read(form.tagnosize)
        if len(count) == form.tagnosize:
            handle.seek(struct.unpack(form.tagnoformat, count)[0] * form.tagsize, 1)
        following = handle.read(form.offsetsize)
        if len(following) < form.offsetsize:
            raise ImageError(
                f"{handle.path} is cut off: page {len(seen)} should lie at byte {offset}, the file ends at "
                f"byte {handle.size}. Copy it again."
            )
        offset = struct.unpack(form.offsetformat, following)[0]


def _check_complete(file: tifffile.TiffFile, level: tifffile.TiffPageSeries) -> None:
    """Raise if voxels that the file lists lie past its end."""
    if level.dataoffset is not None:
        ends = [(file.filehandle, level.dataoffset + level.nbytes)]
    else:
        pages = [page for page in level.pages if page is not None]
        segments = [
            (page, *pair)
            for page in pages
            for pair in zip(page.dataoffsets, page.databytecounts, strict=True)
        ]
        # The pages of an OME-TIFF may lie in several files.
        ends = [(page.parent.filehandle, start + count) for page, start, count in segments]
    for handle, end in ends:
        if end > handle.size:
            raise ImageError(
                f"{handle.path} is cut off: voxels lie up to byte {end}, the file ends at byte "
                f"{handle.size}. Copy it again."
            )


def tiff_axes(series: tifffile.TiffPageSeries, path: Path) -> str:
    """Axes of a series, ``?`` where the file does not say.

    Raises
    ------
    ImageError
        If both colour samples and channels are stored.
    """
    axes = "".join(_LETTERS.get(letter, "?") for letter in series.axes)
    if axes.count("c") > 1:
        raise ImageError(
            f"{path} should have one channel axis; its axes are {series.axes} of lengths {series.shape}, "
            "with both channels (C) and colour samples (S). Split the colours first."
        )
    return axes


def _recognises(location: Location) -> bool:
    return location.path.is_file() and is_tiff(location.path)


def _levels(location: Location) -> tuple[Shape, ...]:
    with open_tiff(location.path) as file:
        return tuple(tuple(level.shape) for level in file.series[0].levels)


def _open(location: Location, level: int) -> Stored:
    with open_tiff(location.path) as file:
        base = file.series[0]
        axes = tiff_axes(base, location.path)
        known = calibration(file)
        ratios = dict(zip(axes, map(_ratio, base.shape, base.levels[level].shape), strict=True))
    return _stored(TiffSource(location.path, level), axes, known, ratios)


def _ratio(base: int, level: int) -> float:
    return base / level


def _stored(data: TiffSource, axes: str, known: Calibration, ratios: dict[str, float]) -> Stored:
    # The levels of a pyramid cover the same extent, so the centre of a larger first voxel lies further in.
    space = {a: r for a, r in ratios.items() if a in "zyx"}
    return Stored(
        data=data,
        axes=axes,
        scale={a: known.scale.get(a, 1.0) * ratios.get(a, 1.0) for a in {*known.scale, *space}},
        translation={a: (r - 1) / 2 * known.scale.get(a, 1.0) for a, r in space.items()},
        units=known.units,
        channel_names=known.channel_names,
    )


TIFF = Format("TIFF (also OME-TIFF and ImageJ)", _recognises, _levels, _open)
