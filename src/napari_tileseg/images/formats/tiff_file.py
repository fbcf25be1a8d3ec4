"""Opening a TIFF file so that its first series is the whole image, or what is missing is reported."""

from __future__ import annotations

import struct
from dataclasses import dataclass
from math import prod
from pathlib import Path
from typing import Any

import tifffile

from napari_tileseg._words import by_axis
from napari_tileseg.errors import ImageError, answering
from napari_tileseg.images.formats.ome_xml import OmeXml, joined, missing_files, parse_ome
from napari_tileseg.images.metadata import attempt, text

#: Descriptions of how pages make up an image; without them, pages are stacked as they come.
_DESCRIPTIONS = {"ome": "OME-XML", "imagej": "ImageJ's description"}
#: Pieces of at most this many bytes are decoded, whatever size the file states for them.
_PIECE = 2**28
#: Bytes that a byte may be decoded into in larger ones; deflate, the most common compression, reaches 1032.
_EXPANSION = 2000


@dataclass(frozen=True, slots=True)
class OpenTiff:
    """An open file, and what was found about it on the way.

    Parameters
    ----------
    file : tifffile.TiffFile
        Whose first series is the image; to be closed.
    ome : OmeXml or None
        Its OME-XML, or that of the file which describes how it belongs to others.
    notes : tuple of str
        What is assumed, missing, or not read.
    """

    file: tifffile.TiffFile
    ome: OmeXml | None
    notes: tuple[str, ...]

    @property
    def series(self) -> tifffile.TiffPageSeries:
        """The image."""
        return self.file.series[0]


def open_tiff(path: Path) -> OpenTiff:
    """Open a TIFF file that holds at least one image.

    Raises
    ------
    ImageError
        If it is damaged or empty.
    """
    with answering(ImageError, f"{path} should be a complete TIFF", "Copy it again."):
        file = tifffile.TiffFile(path)
        try:
            _check_pages(file)
            if _is_written_page_by_page(file):
                file = _again(file, path, is_shaped=False)
            file, ome, notes = _with_description(file, path)
            _check_not_empty(file)
            return OpenTiff(file, ome, (*notes, *_incomplete(file, ome, path), *_others(file)))
        except BaseException:
            file.close()
            raise


def _again(file: tifffile.TiffFile, path: Path, **options: Any) -> tifffile.TiffFile:
    file.close()
    return tifffile.TiffFile(path, **options)


def _with_description(
    file: tifffile.TiffFile, path: Path
) -> tuple[tifffile.TiffFile, OmeXml | None, tuple[str, ...]]:
    """Return the file as its description states, or without one that cannot be followed."""
    ome: OmeXml | None = None
    notes: tuple[str, ...] = ()
    if file.is_ome and (ome := parse_ome(text(attempt(lambda: file.ome_metadata)))) is not None:
        first, ome = ome, joined(ome, path)
        notes = ome.notes
        if ome is not first or notes:
            file = _again(file, path, omexml=ome.text)
    kind = next((kind for kind in _DESCRIPTIONS if getattr(file, f"is_{kind}")), None)
    if kind is None or attempt(lambda: _follows(file, kind)):
        return file, ome, notes or _cut_off(file)
    if ome is None or ome.binary_only is None:
        notes = (
            f"{_DESCRIPTIONS[kind]} in the file cannot be followed: its pages are stacked as they come.",
            *notes,
        )
    return _again(file, path, is_ome=False, is_imagej=False, is_shaped=False), ome, notes


def _follows(file: tifffile.TiffFile, kind: str) -> bool:
    """Return whether the first series follows a description of a kind; tifffile may read it only now."""
    series = file.series
    return bool(series) and series[0].size > 0 and series[0].kind == kind


def _cut_off(file: tifffile.TiffFile) -> tuple[str, ...]:
    """Return a note where a description starts as OME-XML and is none."""
    description = attempt(lambda: file.pages.first.description) or ""
    if file.is_ome or "<OME" not in description[:2000]:
        return ()
    return ("The OME-XML of the file is cut off: axes and voxel size are not taken from it.",)


def _incomplete(file: tifffile.TiffFile, ome: OmeXml | None, path: Path) -> tuple[str, ...]:
    """Return a note on which planes are missing: they are read as zeros."""
    pages = file.series[0].pages
    lost = sum(page is None for page in pages)
    if not lost:
        return ()
    names = missing_files(ome, path) if ome else ()
    listed = ", ".join(names[:3]) + (f" and {len(names) - 3} more" if len(names) > 3 else "")
    where = f" Put {listed} beside it." if names else ""
    return (
        f"The image in {path.name} is incomplete: {lost} of its {len(pages)} planes are missing, and are "
        f"read as zeros.{where}",
    )


def _others(file: tifffile.TiffFile) -> tuple[str, ...]:
    """Return a note where a file holds other images than the first; scanners add a label and an overview."""
    others = [series for series in file.series[1:] if series.kind not in {"svs", "ndpi", "scn", "bif"}]
    if not others:
        return ()
    shapes = ", ".join(by_axis(series.shape) for series in others[:3])
    more = f" and {len(others) - 3} more" if len(others) > 3 else ""
    return (
        f"The file holds {len(others) + 1} images; the first, {by_axis(file.series[0].shape)}, is "
        "opened, not "
        f"{shapes}{more}.",
    )


def _check_not_empty(file: tifffile.TiffFile) -> None:
    if not (file.series and file.series[0].size):
        raise ImageError(
            f"{file.filehandle.path} should hold an image; it holds none. It may have been cut off."
        )


def _is_written_page_by_page(file: tifffile.TiffFile) -> bool:
    """Return whether tifffile wrote each page of a stack by itself, and so as a separate series."""
    if not file.is_shaped or len(file.pages) == 1:
        return False
    # Only the first page of a call is described; the series themselves take long to list.
    first, second = file.pages[0], file.pages[1]
    if not isinstance(first, tifffile.TiffPage) or not isinstance(second, tifffile.TiffPage):
        return False
    if second.is_reduced:
        return False  # a level of the first page, which is described too
    return first.description == second.description and '"truncated"' not in first.description


def _check_pages(file: tifffile.TiffFile) -> None:
    """Raise if the chain of pages leads past the end of the file, or back to an earlier page.

    Without a word, tifffile stops at the first, and goes on for ever at the second.
    """
    handle, form, seen = file.filehandle, file.tiff, set()
    offset = file.pages.first.offset
    while offset:
        if offset in seen:
            raise ImageError(
                f"{handle.path} is damaged: its pages lead back to byte {offset}. Copy it again."
            )
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


def check_complete(file: tifffile.TiffFile, level: tifffile.TiffPageSeries) -> None:
    """Raise if voxels that the file lists lie past its end, or are more than it can hold.

    Raises
    ------
    ImageError
        If the file is cut off or its sizes are damaged.
    """
    if level.dataoffset is not None:
        ends = [(file.filehandle, level.dataoffset + level.nbytes)]
    else:
        pages = [page for page in level.pages if page is not None]
        for page in pages:
            _check_pieces(page)
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


def _check_pieces(page: tifffile.TiffPage | tifffile.TiffFrame) -> None:
    """Raise if strips or tiles of a page are missing, or too small for the size that the file states."""
    frame = page.keyframe
    if frame is None:
        raise ImageError(f"{page.parent.filehandle.path} is damaged: pages differ. Copy it again.")
    wanted, there = prod(frame.chunked), len(page.dataoffsets)
    piece = prod(frame.chunks) * (frame.dtype.itemsize if frame.dtype is not None else 1)
    if there < wanted or (piece > _PIECE and piece > _EXPANSION * max(page.databytecounts, default=0)):
        raise ImageError(
            f"{page.parent.filehandle.path} is damaged: it states {by_axis(frame.shape)} voxels in {wanted} "
            "pieces of "
            f"{piece} bytes, and holds {there} pieces of up to {max(page.databytecounts, default=0)} bytes. "
            "Copy it again."
        )
