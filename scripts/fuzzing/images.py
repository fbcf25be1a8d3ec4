"""Images of every format, read as the program reads them."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from fuzzing.kinds import Kind
from napari_tileseg.errors import DeviceError, ImageError, SettingsError, TilesegError
from napari_tileseg.images import open_image
from napari_tileseg.images.identity import fingerprint
from napari_tileseg.images.opening import list_levels
from napari_tileseg.tiling import Box
from napari_tileseg.workflows.label_file import read_labels

#: Voxels along an axis that are read at both ends.
_READ = 24
_SHAPE = (4, 40, 36)
_PICTURE = (40, 36, 3)


def voxels(*shape: int, dtype: str = "u2") -> npt.NDArray[Any]:
    """Make intensities with a contrast."""
    values: npt.NDArray[Any] = np.random.default_rng(0).integers(0, 250, shape).astype(dtype)
    return values


def _read(name: str, folder: Path) -> None:
    image = open_image(folder / name)
    list_levels(folder / name)
    image.read(Box((0,) * len(image.shape), tuple(min(n, _READ) for n in image.shape)))
    image.read(Box(tuple(max(0, n - _READ) for n in image.shape), image.shape))
    fingerprint(image)


def _read_labels(name: str, folder: Path) -> None:
    labels = read_labels(str(folder / name), _SHAPE)
    labels[tuple(slice(0, n) for n in _SHAPE)]


def _npy(folder: Path) -> None:
    np.save(folder / "a.npy", voxels(*_SHAPE))


def _npz(folder: Path) -> None:
    np.savez_compressed(folder / "a.npz", raw=voxels(*_SHAPE))


def _tiff(folder: Path, shape: tuple[int, ...] = _SHAPE, **how: Any) -> None:
    import tifffile

    tifffile.imwrite(folder / "a.tif", voxels(*shape), photometric="minisblack", **how)


def _pyramid(folder: Path) -> None:
    import tifffile

    finest = voxels(96, 80)
    with tifffile.TiffWriter(folder / "a.tif") as writer:
        writer.write(finest, subifds=1, tile=(32, 32), compression="zlib")
        writer.write(finest[::2, ::2], subfiletype=1, tile=(32, 32), compression="zlib")


def _hdf5(folder: Path) -> None:
    import h5py

    with h5py.File(folder / "a.h5", "w") as file:
        data = file.create_dataset("raw", data=voxels(*_SHAPE), chunks=(1, 20, 20), compression="gzip")
        data.attrs["element_size_um"] = (2.0, 0.5, 0.5)


def _picture(ending: str, folder: Path) -> None:
    from PIL import Image

    Image.fromarray(voxels(*_PICTURE, dtype="u1")).save(folder / f"a.{ending}")


def _zarr(version: int, folder: Path) -> None:
    import zarr

    axes = [{"name": name, "type": "space", "unit": "micrometer"} for name in "zyx"]
    scale = [{"type": "scale", "scale": [2.0, 0.5, 0.5]}]
    datasets = [{"path": str(level), "coordinateTransformations": scale} for level in range(2)]
    said: dict[str, Any] = {"name": "a", "axes": axes, "datasets": datasets}
    said = {"multiscales": [said | ({"version": "0.4"} if version == 2 else {})]}
    about = said if version == 2 else {"ome": {"version": "0.5", **said}}
    group = zarr.create_group(folder / "a.zarr", zarr_format=version, attributes=about)  # type: ignore[arg-type]
    finest = voxels(*_SHAPE)
    for level, values in enumerate((finest, finest[:, ::2, ::2])):
        named: Any = {"dimension_names": list("zyx")} if version == 3 else {}
        group.create_array(str(level), data=values, chunks=(2, 20, 20), **named)


_Make = Callable[[Path], None]
_TIFFS: dict[str, _Make] = {
    "tiff": _tiff,
    "tiff, zlib": partial(_tiff, compression="zlib", tile=(16, 16)),
    "tiff, lzw": partial(_tiff, compression="lzw"),
    "tiff, ome": partial(
        _tiff, ome=True, metadata={"axes": "ZYX", "PhysicalSizeZ": 2.0, "PhysicalSizeZUnit": "um"}
    ),
    "tiff, imagej": partial(
        _tiff, imagej=True, resolution=(10, 10), metadata={"axes": "ZYX", "unit": "um", "spacing": 2.0}
    ),
    "tiff, pyramid": _pyramid,
}


def _image(name: str, make: _Make, file: str, *damaged: str, share: int = 2) -> Kind:
    return Kind(
        name=name,
        make=make,
        damaged=damaged or (file,),
        read=partial(_read, file),
        answers=(ImageError, SettingsError, DeviceError),
        share=share,
    )


IMAGES = (
    _image("npy", _npy, "a.npy"),
    _image("npz", _npz, "a.npz:raw", "a.npz"),
    *(_image(name, make, "a.tif") for name, make in _TIFFS.items()),
    _image("hdf5", _hdf5, "a.h5:/raw", "a.h5", share=4),
    _image("png", partial(_picture, "png"), "a.png"),
    _image("jpeg", partial(_picture, "jpg"), "a.jpg"),
    _image("ome-zarr 0.4", partial(_zarr, 2), "a.zarr", "a.zarr/.z*", "a.zarr/0/.z*", share=4),
    _image("ome-zarr 0.5", partial(_zarr, 3), "a.zarr", "a.zarr/zarr.json", "a.zarr/*/zarr.json", share=4),
    _image("chunks of zarr", partial(_zarr, 3), "a.zarr", "a.zarr/0/c/**/[0-9]"),
)
_LABELS: tuple[type[TilesegError], ...] = (ImageError, SettingsError, DeviceError)
LABELS = (
    Kind(
        name="labels, npy",
        make=_npy,
        damaged=("a.npy",),
        read=partial(_read_labels, "a.npy"),
        answers=_LABELS,
        share=1,
    ),
    Kind(
        name="labels, tiff",
        make=_tiff,
        damaged=("a.tif",),
        read=partial(_read_labels, "a.tif"),
        answers=_LABELS,
        share=1,
    ),
)
