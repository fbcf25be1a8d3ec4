"""Painted labels in a project folder: OME-Zarr 0.5 label images, written chunk by chunk."""

from __future__ import annotations

import gzip
import json
import shutil
from collections.abc import Iterator
from dataclasses import asdict, replace
from datetime import datetime
from pathlib import Path
from typing import Any

import numpy as np
import zarr
from zarr.codecs import GzipCodec

from napari_tileseg._files import json_text, read_ordinary, write_bytes, write_text
from napari_tileseg._types import Array, Shape
from napari_tileseg.errors import StoreError, answering
from napari_tileseg.images.omezarr_metadata import (
    axis_entry,
    dataset_entry,
    image_attributes,
    label_entry,
    labels_attributes,
)
from napari_tileseg.labels.sparse_array import SparseArray
from napari_tileseg.session.painting.record import StrokeClass, StrokeRecord
from napari_tileseg.session.project.folders import claim_folder, projects_folder
from napari_tileseg.tiling.chunks import chunk_box

FOLDER = "labels"
#: Key of this package's attributes in the group.
_OURS = "tileseg"
_FORMAT = 1
#: Voxels of a chunk along the last axes, by how many of them are spatial; brush strokes lie in few of these.
_CHUNKS = {2: (256, 256), 3: (16, 128, 128)}
_COMPRESSION = 1
#: Bytes that metadata have at most.
_LARGEST = 2**26


def stroke_chunks(shape: Shape, axes: str) -> Shape:
    """Return the voxels of a chunk of painted labels along each grid axis."""
    space = len(axes.replace("t", ""))
    return tuple(map(min, shape, (1,) * (len(shape) - space) + _CHUNKS[space]))


class StrokeFiles:
    """The files of one labels layer. Chunks are written by one thread at a time.

    Parameters
    ----------
    path : Path
        Folder of the label image, inside the group ``labels`` of a project.
    record : StrokeRecord
        What they belong to and mean.
    dtype : numpy.dtype
        Type of the values.
    """

    def __init__(self, path: Path, record: StrokeRecord, dtype: np.dtype[Any]) -> None:
        self.path = path
        self.record = record
        self.dtype = np.dtype(dtype).newbyteorder("<")
        self.chunks = stroke_chunks(record.shape, record.axes)

    @classmethod
    def open(cls, path: Path) -> StrokeFiles:
        """Find painted labels again.

        Raises
        ------
        StoreError
            If there are none, or they are damaged or of a later format.
        """
        what = f"{path} should hold painted labels"
        with answering(StoreError, what, "Its chunks are gzip files of plain voxels."):
            for metadata in (path / "zarr.json", path / "0" / "zarr.json"):
                read_ordinary(metadata, _LARGEST)
            attributes = zarr.open_group(str(path), mode="r", zarr_format=3).attrs.asdict()
            ours: Any = attributes[_OURS]
            if ours["format"] != _FORMAT:
                raise StoreError(
                    f"{path} should be of format {_FORMAT}; it is of {ours['format']!r}. Update "
                    "napari-tileseg to open it."
                )
            array = zarr.open_array(str(path / "0"), mode="r")
            return cls(path, StrokeRecord.from_dict(ours["strokes"]), array.dtype)

    def create(self) -> None:
        """Write the metadata, and enter the layer into the group of all labels of the project.

        Raises
        ------
        OSError
            If the folder cannot be written to.
        """
        self.path.mkdir(parents=True, exist_ok=True)
        # Emptied, not removed: in between, somebody else would claim a folder of the same number.
        for left in self.path.iterdir():
            if left.is_dir():
                shutil.rmtree(left)
            else:
                left.unlink()
        group = zarr.create_group(store=str(self.path), zarr_format=3)
        group.create_array(
            "0",
            shape=self.record.shape,
            chunks=self.chunks,
            dtype=self.dtype,
            compressors=GzipCodec(level=_COMPRESSION),
            dimension_names=list(self.record.axes),
        )
        group.update_attributes(self._attributes())
        # Written again by us, because zarr does not wait for the disk.
        for file in (self.path / "0" / "zarr.json", self.path / "zarr.json"):
            write_bytes(file, file.read_bytes())
        _list_labels(self.path.parent)

    def describe(self, kind: str | None, classes: tuple[StrokeClass, ...]) -> None:
        """Write anew what the labels hold, and what their values mean.

        Raises
        ------
        OSError
            If it cannot be written; what was there before is still there.
        """
        self.record = replace(self.record, kind=kind, classes=classes)
        file = self.path / "zarr.json"
        metadata = json.loads(file.read_text(encoding="utf-8"))
        write_text(file, json_text(metadata | {"attributes": self._attributes()}))

    def _attributes(self) -> dict[str, Any]:
        record = self.record
        axes = [axis_entry(name, unit) for name, unit in zip(record.axes, record.units, strict=True)]
        levels = [dataset_entry("0", record.voxel_size, record.translation)]
        classes = [(each.value, each.name, each.color) for each in record.classes]
        about = {"image-label": label_entry(classes)}
        return {
            "ome": image_attributes(record.image, axes, levels, **about),
            _OURS: {"format": _FORMAT, "strokes": asdict(record)},
        }

    def write_chunk(self, index: Shape, values: Array) -> None:
        """Replace one chunk; whatever happens, the former or the new one is there, and at the end on disk.

        Parameters
        ----------
        index : tuple of int
            Of the chunk.
        values : ndarray
            Its voxels, fewer than a whole chunk at the far end of the array.

        Raises
        ------
        OSError
            If it cannot be written.
        """
        padding = [(0, n - m) for n, m in zip(self.chunks, values.shape, strict=True)]
        whole = np.pad(values.astype(self.dtype), padding)
        write_bytes(self.chunk_path(index), gzip.compress(whole.tobytes(), _COMPRESSION, mtime=0))

    def chunk_path(self, index: Shape) -> Path:
        """Return the file of a chunk."""
        return self.path.joinpath("0", "c", *map(str, index))

    def written(self) -> Iterator[Shape]:
        """Return the indices of the chunks on disk."""
        folder = self.path / "0" / "c"
        for file in folder.glob("/".join("*" * len(self.chunks))):
            parts = file.relative_to(folder).parts
            if all(part.isdigit() for part in parts):
                yield tuple(map(int, parts))

    def saved_at(self) -> datetime | None:
        """Return when the last chunk was written; None if none was."""
        times = [self.chunk_path(index).stat().st_mtime for index in self.written()]
        return datetime.fromtimestamp(max(times)).astimezone() if times else None

    def read(self) -> SparseArray:
        """Read all chunks.

        Raises
        ------
        StoreError
            If one is broken.
        """
        shape = self.record.shape
        values = SparseArray(shape, self.chunks, self.dtype.newbyteorder("="))
        for index in self.written():
            box = chunk_box(index, self.chunks, shape)
            what = f"{self.chunk_path(index)} should hold painted voxels"
            with answering(StoreError, what, "Move it away to open the others."):
                array = zarr.open_array(str(self.path / "0"), mode="r")
                values[box.slices] = np.asarray(array[box.slices])
        return values


def _list_labels(folder: Path) -> None:
    """Name all label images in the group that holds them."""
    names = sorted(path.parent.name for path in folder.glob("*/zarr.json"))
    attributes = {"ome": labels_attributes(names)}
    text = json_text({"zarr_format": 3, "node_type": "group", "attributes": attributes})
    write_text(folder / "zarr.json", text)


def copy_strokes(files: StrokeFiles, project: Path) -> StrokeFiles:
    """Copy painted labels into another project, chunk by chunk, so that the former ones stay as they are.

    Raises
    ------
    OSError
        If they cannot be copied.
    """
    copied = StrokeFiles(claim_folder(project, FOLDER), files.record, files.dtype)
    copied.create()
    for index in files.written():
        write_bytes(copied.chunk_path(index), files.chunk_path(index).read_bytes())
    return copied


def find_strokes(fingerprint: str, project: Path) -> tuple[tuple[datetime, StrokeFiles], ...]:
    """Find the painted labels of an image in all projects of the user and in `project`, the latest first.

    Labels that cannot be read, or hold nothing, are left out.

    Returns
    -------
    tuple of (datetime, StrokeFiles)
        When each was painted on last, and its files.
    """
    folders = {project, *projects_folder().glob("*")}
    found = []
    for path in (path for folder in folders for path in (folder / FOLDER).glob("*/zarr.json")):
        try:
            files = StrokeFiles.open(path.parent)
            when = files.saved_at()
        except (StoreError, OSError):
            continue  # a damaged one does not hide the others
        if files.record.fingerprint == fingerprint and when is not None:
            found.append((when, files))
    return tuple(sorted(found, key=lambda each: each[0], reverse=True))
