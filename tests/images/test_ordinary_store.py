"""Of a zarr folder that somebody else wrote, ordinary files alone are read; nothing is waited for."""

import asyncio
import os
import subprocess
import sys

import numpy as np
import pytest
import zarr
from zarr.abc.store import OffsetByteRequest, RangeByteRequest, SuffixByteRequest
from zarr.core.buffer import default_buffer_prototype
from zarr.storage import LocalStore

from napari_tileseg.images import open_image
from napari_tileseg.images.ordinary_store import OrdinaryStore
from napari_tileseg.tiling import Box

#: Opens each image that is named, all its levels and label images, and reads it; says how that ended.
OPEN = """
import sys
from pathlib import Path
from napari_tileseg.errors import ImageError
from napari_tileseg.images import list_levels, open_image
from napari_tileseg.images.formats.omezarr import label_images
from napari_tileseg.tiling import Box
for path in sys.argv[1:]:
    try:
        list_levels(path)
        label_images(Path(path))
        image = open_image(path)
        image.read(Box.of_shape(image.shape))
        print("read", flush=True)
    except ImageError as error:
        print(error, flush=True)
"""
METADATA = {2: (".zarray", ".zattrs", "0.0"), 3: ("zarr.json", "c/0/0")}


def _image(path, version):
    """An image of two levels with a label image of one, without a pipe."""
    for place, levels in ((path, ("0", "1")), (path / "labels" / "cells", ("0",))):
        datasets = [
            {"path": level, "coordinateTransformations": [{"type": "scale", "scale": [1, 1]}]}
            for level in levels
        ]
        axes = [{"name": name, "type": "space"} for name in "yx"]
        about = {"multiscales": [{"axes": axes, "datasets": datasets}]}
        attributes = about if version == 2 else {"ome": about | {"version": "0.5"}}
        group = zarr.create_group(place, zarr_format=version, attributes=attributes)
        for level in levels:
            array = group.create_array(level, data=np.ones((4, 4), "u1"), chunks=(4, 4))
            array.attrs["made"] = "by hand"
    labels = {"labels": ["cells"]}
    zarr.create_group(
        path / "labels", zarr_format=version, attributes=labels if version == 2 else {"ome": labels}
    )
    return path


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="this system has no named pipes")
@pytest.mark.parametrize("version", [2, 3])
def test_a_pipe_in_place_of_a_file_is_named_at_once(tmp_path, version):
    parts = [f"{level}/{name}" for level in "01" for name in METADATA[version]]
    # The pixels of the other level are not read.
    parts.remove(f"1/{METADATA[version][-1]}")
    parts.append("labels/cells/.zattrs" if version == 2 else "labels/zarr.json")
    images = [_image(tmp_path / f"{number}.zarr", version) for number in range(len(parts) + 1)]
    for image, part in zip(images, parts, strict=False):
        (image / part).unlink()
        os.mkfifo(image / part)
    if version == 3:
        # Where no metadata are a file, there is no group.
        parts[-1] = ""
    ended = subprocess.run(
        [sys.executable, "-c", OPEN, *map(str, images)],
        capture_output=True,
        text=True,
        check=True,
        timeout=120,
    )
    for said, part in zip(ended.stdout.splitlines(), [*parts, ""], strict=True):
        assert ("a pipe, not an ordinary file" in said) if part else said == "read", (said, part)


@pytest.mark.parametrize(
    "part",
    [None, RangeByteRequest(2, 5), RangeByteRequest(4, 99), OffsetByteRequest(3), SuffixByteRequest(4)],
)
def test_parts_of_files_are_those_that_zarr_reads(tmp_path, part):
    (tmp_path / "folder").mkdir()
    (tmp_path / "file").write_bytes(b"0123456789")
    prototype = default_buffer_prototype()

    def read(store):
        alone = [asyncio.run(store.get(key, prototype, part)) for key in ("file", "folder", "none")]
        return [each and each.to_bytes() for each in (*alone, *together(store))]

    def together(store):
        return asyncio.run(store.get_partial_values(prototype, [("file", part), ("file", part)]))

    assert read(OrdinaryStore(tmp_path, read_only=True)) == read(LocalStore(tmp_path, read_only=True))


def test_shards_are_read(tmp_path):
    voxels = np.arange(64, dtype="u2").reshape(8, 8)
    zarr.create_array(tmp_path / "a.zarr", data=voxels, chunks=(2, 2), shards=(4, 4))
    assert (open_image(tmp_path / "a.zarr").read(Box((1, 2), (5, 7)))[0] == voxels[1:5, 2:7]).all()


@pytest.mark.skipif(os.name != "posix", reason="this system opens no folders")
def test_a_folder_in_place_of_a_file_is_closed_again(tmp_path):
    store = OrdinaryStore(tmp_path.parent, read_only=True)
    before = os.open(tmp_path.parent, os.O_RDONLY)
    os.close(before)
    assert store.get_sync(tmp_path.name) is None
    after = os.open(tmp_path.parent, os.O_RDONLY)
    os.close(after)
    assert after == before
