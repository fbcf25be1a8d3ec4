"""Sources of every kind: threads, other processes, and memory."""

import multiprocessing
import pickle
import tracemalloc
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor, ThreadPoolExecutor
from pathlib import Path

import h5py
import imageio.v3 as iio
import numcodecs
import numpy as np
import pytest
import tifffile
import zarr

from napari_tileseg.errors import ImageError
from napari_tileseg.images import open_image, resampled
from napari_tileseg.images.image import Image
from napari_tileseg.settings import ImageSettings
from napari_tileseg.tiling import Box

VOLUME = np.random.default_rng(0).integers(0, 4000, (12, 40, 48), dtype=np.uint16)


def write_hdf5(path: Path, array: np.ndarray) -> str:
    with h5py.File(path, "w") as file:
        file.create_dataset("raw", data=array, chunks=(4, 16, 16), compression="gzip")
    return f"{path}:/raw"


def write_zarr(path: Path, array: np.ndarray) -> str:
    zarr.create_array(path, data=array, chunks=(4, 16, 16))
    return str(path)


def write_tiff(path: Path, array: np.ndarray) -> str:
    tifffile.imwrite(path, array, metadata={"axes": "ZYX"})
    return str(path)


def write_compressed_tiff(path: Path, array: np.ndarray) -> str:
    tifffile.imwrite(path, array, compression="zlib", metadata={"axes": "ZYX"})
    return str(path)


def write_numpy(path: Path, array: np.ndarray) -> str:
    with path.open("wb") as file:
        np.save(file, array)
    return str(path)


def write_archive(path: Path, array: np.ndarray) -> str:
    with path.open("wb") as file:
        np.savez(file, raw=array)
    return f"{path}:raw"


def write_slices(path: Path, array: np.ndarray) -> str:
    path.mkdir()
    for index, plane in enumerate(array):
        iio.imwrite(path / f"{index}.png", plane)
    return str(path)


Writer = Callable[[Path, np.ndarray], str]
LAZY: list[Writer] = [write_hdf5, write_zarr, write_tiff, write_compressed_tiff, write_numpy, write_slices]
every_kind = pytest.mark.parametrize("write", [*LAZY, write_archive])


def boxes() -> list[Box]:
    random = np.random.default_rng(1)
    ends = [np.sort(random.integers(0, n + 1, (40, 2)), axis=1) for n in VOLUME.shape]
    return [Box(tuple(e[i, 0] for e in ends), tuple(e[i, 1] for e in ends)) for i in range(40)]


def read(image: Image, box: Box) -> np.ndarray:
    return image.read(box)[0]


def test_pieces_in_which_voxels_are_stored_are_known(tmp_path: Path) -> None:
    chunks = {
        write.__name__: open_image(write(tmp_path / write.__name__, VOLUME), ImageSettings(axes="zyx")).chunk
        for write in LAZY
    }
    plane = (1, *VOLUME.shape[1:])
    assert chunks == {
        "write_hdf5": (4, 16, 16),
        "write_zarr": (4, 16, 16),
        "write_tiff": None,  # mapped into memory
        "write_compressed_tiff": plane,
        "write_numpy": None,
        "write_slices": plane,
    }


@every_kind
def test_threads_read_what_was_written(tmp_path: Path, write: Writer) -> None:
    image = open_image(write(tmp_path / "volume", VOLUME))
    filled = [box for box in boxes() if box.size]

    with ThreadPoolExecutor(4) as pool:
        for box, values in zip(filled, pool.map(lambda box: read(image, box), filled), strict=True):
            np.testing.assert_array_equal(values, VOLUME[box.slices])


@every_kind
def test_pickled_image_is_small_and_reads_the_same(tmp_path: Path, write: Writer) -> None:
    image = open_image(write(tmp_path / "volume", VOLUME))

    pickled = pickle.dumps(resampled(image, image.voxel_size, "nearest"))

    assert len(pickled) < 4000 < VOLUME.nbytes
    np.testing.assert_array_equal(pickle.loads(pickled).read(Box.of_shape(VOLUME.shape))[0], VOLUME)


@pytest.mark.parametrize("method", ["spawn", "forkserver"])
def test_other_processes_read_the_same(tmp_path: Path, method: str) -> None:
    box = Box((1, 2, 3), (9, 30, 40))
    images = [open_image(write(tmp_path / write.__name__, VOLUME)) for write in LAZY]
    with ProcessPoolExecutor(1, multiprocessing.get_context(method)) as pool:
        for values in pool.map(read, images, [box] * len(images)):
            np.testing.assert_array_equal(values, VOLUME[box.slices])


@pytest.mark.parametrize("write", [write_hdf5, write_compressed_tiff])
def test_a_forked_process_opens_the_file_for_itself(
    tmp_path: Path, write: Writer, monkeypatch: pytest.MonkeyPatch
) -> None:
    image = open_image(write(tmp_path / "volume", VOLUME))
    before = image.data._array

    monkeypatch.setattr("os.getpid", lambda: -1)

    np.testing.assert_array_equal(read(image, Box.of_shape(VOLUME.shape)), VOLUME)
    assert image.data._array is not before


def test_file_that_has_changed_is_noticed_when_it_is_opened_again(tmp_path: Path) -> None:
    pickled = pickle.dumps(open_image(write_numpy(tmp_path / "volume", VOLUME)))
    write_numpy(tmp_path / "volume", VOLUME[:5])

    with pytest.raises(ImageError, match=r"should still hold 12 x 40 x 48.*5 x 40 x 48"):
        pickle.loads(pickled)


@pytest.mark.parametrize("write", LAZY)
def test_reading_a_box_never_loads_the_whole(tmp_path: Path, write: Writer) -> None:
    volume = np.tile(VOLUME, (4, 4, 4))
    image = open_image(write(tmp_path / "volume", volume))

    tracemalloc.start()
    try:
        values = read(image, Box((8, 16, 16), (12, 32, 32)))
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()

    np.testing.assert_array_equal(values, volume[8:12, 16:32, 16:32])
    assert peak < volume.nbytes / 4


@pytest.mark.parametrize("write", [write_hdf5, write_compressed_tiff, write_zarr])
def test_damage_that_shows_only_when_it_is_read_is_an_error_of_the_image(
    tmp_path: Path, write: Writer
) -> None:
    image = open_image(write(tmp_path / "volume", VOLUME))
    damaged = tmp_path / "volume"
    for file in [damaged] if damaged.is_file() else [f for f in damaged.rglob("*") if f.suffix != ".json"]:
        if file.is_file():
            whole = file.read_bytes()
            file.write_bytes(whole[: len(whole) // 4] + bytes(len(whole) - len(whole) // 4))

    with pytest.raises(ImageError, match="volume"):
        image.read(Box.of_shape(image.shape))


@pytest.mark.parametrize("codec", ["Zlib", "GZip", "BZ2", "LZMA", "LZ4", "Zstd", "Blosc"])
@pytest.mark.parametrize("cut", [True, False])
def test_whatever_a_codec_says_of_damage_is_an_error_of_the_image(
    tmp_path: Path, codec: str, cut: bool
) -> None:
    compressor = getattr(numcodecs, codec)()
    path = tmp_path / "volume.zarr"
    zarr.create_array(path, data=VOLUME, chunks=(8, 16, 16), compressors=compressor, zarr_format=2)
    image = open_image(path)
    for file in path.rglob("*"):
        if file.is_file() and not file.name.startswith(".z"):
            whole = file.read_bytes()
            kept = whole[: len(whole) // 2]
            file.write_bytes(kept if cut else kept + bytes(len(whole) - len(kept)))

    with pytest.raises(ImageError, match=r"voxels in 0:.*volume\.zarr is still there"):
        image.read(Box.of_shape(image.shape))


def test_a_damaged_archive_is_an_error_of_the_image(tmp_path: Path) -> None:
    path = tmp_path / "volume.npz"
    np.savez_compressed(path, VOLUME)
    whole = path.read_bytes()
    path.write_bytes(whole[:200] + b"\xff" * 64 + whole[264:])

    with pytest.raises(ImageError, match=r"complete NumPy archive"):
        open_image(path)


def test_slice_that_was_cut_off_is_named(tmp_path: Path) -> None:
    image = open_image(write_slices(tmp_path / "volume", VOLUME))
    damaged = tmp_path / "volume" / "7.png"
    damaged.write_bytes(damaged.read_bytes()[:400])

    read(image, Box((0, 0, 0), (7, 40, 48)))
    with pytest.raises(ImageError, match=r"7\.png should be a complete PNG"):
        read(image, Box((6, 0, 0), (9, 40, 48)))
