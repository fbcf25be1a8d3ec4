"""Files of every format whose bytes are damaged: an image, or one error of ours, and never much work."""

import json
import shutil
import tracemalloc
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import h5py
import imageio.v3 as iio
import numpy as np
import pytest
import tifffile
import zarr

from napari_tileseg.errors import DeviceError, ImageError
from napari_tileseg.images import list_levels, open_image
from napari_tileseg.tiling import Box

VOLUME = np.random.default_rng(0).integers(0, 250, (4, 24, 20), dtype=np.uint16)
#: Of each format; the seed of each is its number.
MUTATIONS = 24


def npy(path: Path) -> None:
    with path.open("wb") as file:
        np.save(file, VOLUME)


def npz(path: Path) -> None:
    with path.open("wb") as file:
        np.savez(file, raw=VOLUME)


def deflated_npz(path: Path) -> None:
    with path.open("wb") as file:
        np.savez_compressed(file, raw=VOLUME)


def tiff(**options: Any) -> Callable[[Path], None]:
    return lambda path: tifffile.imwrite(path, VOLUME, photometric="minisblack", **options)


def pyramid(path: Path) -> None:
    with tifffile.TiffWriter(path, ome=True) as writer:
        writer.write(VOLUME, subifds=1, tile=(16, 16), compression="lzw", metadata={"axes": "ZYX"})
        writer.write(VOLUME[:, ::2, ::2], subfiletype=1, tile=(16, 16), compression="lzw")


def hdf5(path: Path) -> None:
    with h5py.File(path, "w") as file:
        file.create_dataset("raw", data=VOLUME, chunks=(2, 8, 8), compression="gzip")
        file["raw"].attrs["element_size_um"] = (1.0, 0.5, 0.5)


def plain_hdf5(path: Path) -> None:
    with h5py.File(path, "w") as file:
        file["raw"] = VOLUME


def picture(ending: str) -> Callable[[Path], None]:
    return lambda path: iio.imwrite(path, np.dstack([VOLUME[0]] * 3).astype(np.uint8), extension=ending)


FILES: dict[str, Callable[[Path], None]] = {
    "npy": npy,
    "npz": npz,
    "deflated npz": deflated_npz,
    "tiff": tiff(),
    "deflated tiff": tiff(compression="zlib", rowsperstrip=8),
    "ome tiff": tiff(ome=True, metadata={"axes": "ZYX", "PhysicalSizeX": 0.5}),
    "imagej tiff": tiff(imagej=True, metadata={"axes": "ZYX", "unit": "um", "spacing": 2.0}),
    "big tiff": tiff(bigtiff=True, tile=(16, 16), compression="zstd"),
    "pyramid": pyramid,
    "hdf5": hdf5,
    "plain hdf5": plain_hdf5,
    "png": picture(".png"),
    "jpg": picture(".jpg"),
    "bmp": picture(".bmp"),
}


def write_zarr(path: Path, version: int) -> None:
    axes = [{"name": a, "type": "space", "unit": "micrometer"} for a in "zyx"]
    steps = [{"type": "scale", "scale": [2, 0.5, 0.5]}]
    multiscale = {"axes": axes, "datasets": [{"path": "0", "coordinateTransformations": steps}]}
    about: dict[str, Any] = {"version": "0.4" if version == 2 else "0.5", "multiscales": [multiscale]}
    group = zarr.create_group(path, zarr_format=version, attributes=about if version == 2 else {"ome": about})
    group.create_array("0", data=VOLUME, chunks=(2, 8, 10))


def mutated(content: bytes, random: np.random.Generator) -> bytes:
    """Damage the beginning more than the rest: that is where files say what they are."""
    values, kind = bytearray(content), random.integers(5)
    reach = len(values) if random.integers(2) else min(len(values), 400)
    place = int(random.integers(reach))
    match kind:
        case 0:
            for _ in range(int(random.integers(1, 6))):
                values[int(random.integers(reach))] = int(random.integers(256))
        case 1:
            del values[place : place + int(random.integers(1, 40))]
        case 2:
            values[place:place] = random.bytes(int(random.integers(1, 40)))
        case 3:
            values[place : place + 8] = random.choice([b"\xff" * 8, bytes(8), b"\x7f" * 8])
        case _:
            del values[place:]
    return bytes(values)


def mutations(content: bytes, seed: int, count: int = MUTATIONS) -> Iterator[bytes]:
    random = np.random.default_rng(seed)
    return (mutated(content, random) for _ in range(count))


def use(path: Path) -> None:
    """Open an image and read its beginning; what is refused as an image is refused as one."""
    with suppress(ImageError, DeviceError):
        list_levels(path)
        image = open_image(path)
        image.read(Box((0,) * len(image.shape), tuple(min(n, 32) for n in image.shape)))


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("kind", FILES)
def test_damaged_file_is_an_image_or_an_error_of_one(tmp_path: Path, kind: str) -> None:
    path = tmp_path / "whole"
    FILES[kind](path)
    use(path)
    for number, content in enumerate(mutations(path.read_bytes(), sorted(FILES).index(kind))):
        damaged = tmp_path / f"{number}"
        damaged.write_bytes(content)
        use(damaged)


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("version", [2, 3])
def test_damaged_zarr_is_an_image_or_an_error_of_one(tmp_path: Path, version: int) -> None:
    write_zarr(tmp_path / "whole.zarr", version)
    files = sorted(f for f in (tmp_path / "whole.zarr").rglob("*") if f.is_file())
    for number, file in enumerate(files[:8]):
        for turn, content in enumerate(mutations(file.read_bytes(), number, 10)):
            copy = tmp_path / f"{number}-{turn}.zarr"
            shutil.copytree(tmp_path / "whole.zarr", copy)
            (copy / file.relative_to(tmp_path / "whole.zarr")).write_bytes(content)
            use(copy)
            use(copy / "0") if (copy / "0").exists() else None


ABSURD = [None, 5, "abc", [], {}, [1], -1, 10**30, True, "NaN", [[]], {"a": {"b": 1}}]


def places(node: Any, path: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    """Walk to every value of a JSON document."""
    if path:
        yield path
    for key, value in (
        node.items() if isinstance(node, dict) else enumerate(node) if isinstance(node, list) else ()
    ):
        yield from places(value, (*path, key))


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("version", [2, 3])
def test_valid_json_with_an_absurd_value_anywhere_is_an_image_or_an_error_of_one(
    tmp_path: Path, version: int
) -> None:
    store = tmp_path / "image.zarr"
    write_zarr(store, version)
    random = np.random.default_rng(version)
    for file in sorted(
        f for f in store.rglob("*") if f.name in {"zarr.json", ".zarray", ".zattrs", ".zgroup"}
    ):
        whole = file.read_text()
        for place in places(json.loads(whole)):
            document = json.loads(whole)
            inner = document
            for key in place[:-1]:
                inner = inner[key]
            inner[place[-1]] = ABSURD[int(random.integers(len(ABSURD)))]
            file.write_text(json.dumps(document))
            use(store)
        file.write_text(whole)


def lying_npy(path: Path) -> None:
    npy(path)
    content = path.read_bytes()
    path.write_bytes(content.replace(b"(4, 24, 20), }      ", b"(10000, 99999999), }"))


def lying_npz(path: Path) -> None:
    npz(path)
    content = path.read_bytes()
    path.write_bytes(content.replace(b"(4, 24, 20), }      ", b"(10000, 99999999), }"))


def with_tag(name: str, value: int, **options: Any) -> Callable[[Path], None]:
    def write(path: Path) -> None:
        tiff(**options)(path)
        with tifffile.TiffFile(path, mode="r+") as file:
            for page in file.pages:
                page.tags[name].overwrite(value, dtype="I")

    return write


def endless_tiff(path: Path) -> None:
    tiff(metadata=None)(path)
    with tifffile.TiffFile(path) as file:
        last, count = file.pages[-1].offset, len(file.pages[-1].tags)
    content = bytearray(path.read_bytes())
    content[last + 2 + 12 * count : last + 6 + 12 * count] = last.to_bytes(4, "little")
    path.write_bytes(content)


def large_png(path: Path) -> None:
    picture(".png")(path)
    content = bytearray(path.read_bytes())
    content[16:24] = (2**31 - 1).to_bytes(4, "big") * 2
    path.write_bytes(content)


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize(
    "write",
    [
        lying_npy,
        lying_npz,
        with_tag("ImageWidth", 2**31),
        with_tag("ImageWidth", 2**31, compression="zlib"),
        with_tag("ImageLength", 2**30, compression="zlib"),
        with_tag("ImageWidth", 2**28, compression="zstd", tile=(16, 16)),
        with_tag("TileWidth", 2**28, compression="lzw", tile=(16, 16)),
        endless_tiff,
        large_png,
    ],
    ids=["npy", "npz", "width", "deflated width", "length", "tiles", "tile", "endless", "png"],
)
def test_sizes_that_a_file_cannot_hold_take_no_memory(tmp_path: Path, write: Callable[[Path], None]) -> None:
    write(tmp_path / "image")
    tracemalloc.start()
    try:
        with pytest.raises(ImageError):
            open_image(tmp_path / "image").read(Box((0, 0), (8, 8)))
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert peak < 2**26
