"""Painted labels read from disk to be continued, before anybody paints on them."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from napari_tileseg._files import lies_inside, outward_link
from napari_tileseg._words import by_axis
from napari_tileseg.errors import ImageError
from napari_tileseg.images.image import Image
from napari_tileseg.labels.sparse_array import SparseArray
from napari_tileseg.session.painting.files import StrokeFiles, copy_strokes
from napari_tileseg.session.painting.saved_chunks import SavedChunks


@dataclass(frozen=True, slots=True, eq=False)
class ReadStrokes:
    """What was read.

    Parameters
    ----------
    image : Image
        What is painted on from now on.
    files : StrokeFiles
        Where they are saved from now on.
    array : SparseArray
        The labels.
    on_disk : SavedChunks
        What of them is in the files: all.
    when : datetime or None
        When the last chunk was written; None if there is none.
    """

    image: Image
    files: StrokeFiles
    array: SparseArray
    on_disk: SavedChunks
    when: datetime | None


def read_strokes(files: StrokeFiles, image: Image, project: Path) -> ReadStrokes:
    """Read labels; those of another project, or with links out of it, are copied into this one first.

    Raises
    ------
    ImageError
        If they are on another grid than the image.
    StoreError, OSError
        If they cannot be read or copied.
    """
    record = files.record
    if (record.shape, record.axes) != (image.shape, image.grid_axes):
        raise ImageError(
            f"{files.path} holds labels of {by_axis(record.shape)} voxels ({record.axes}); the image has "
            f"{by_axis(image.shape)} ({image.grid_axes}). Choose the level of the image that was painted on."
        )
    array = files.read()
    # What is painted is written through any link that came with a project; a copy has none.
    own = lies_inside(files.path, project) and outward_link(files.path) is None
    ours = files if own else copy_strokes(files, project)
    return ReadStrokes(image, ours, array, SavedChunks.of(array), ours.saved_at())
