"""Each axis has a unit of its own, in every format, and sizes are kept only where they can be compared."""

import json
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest
import tifffile
import zarr

from napari_tileseg.images import open_image
from napari_tileseg.images.image import Image
from napari_tileseg.images.units import MICROMETERS, SECONDS, unit_of, voxel_size_in_micrometers

VOLUME = np.random.default_rng(0).integers(0, 4000, (3, 12, 16), dtype=np.uint16)
#: What the schema of OME-XML lists, with micrometers (for lengths) or seconds in each.
OME_LENGTHS = {
    "Ym": 1e30, "Zm": 1e27, "Em": 1e24, "Pm": 1e21, "Tm": 1e18, "Gm": 1e15, "Mm": 1e12, "km": 1e9, "hm": 1e8,
    "dam": 1e7, "m": 1e6, "dm": 1e5, "cm": 1e4, "mm": 1e3, "\u00b5m": 1.0, "nm": 1e-3, "pm": 1e-6, "fm": 1e-9,
    "am": 1e-12, "zm": 1e-15, "ym": 1e-18, "\u00c5": 1e-4, "thou": 25.4, "li": 25400 / 12, "in": 25400.0,
    "ft": 304800.0, "yd": 914400.0, "mi": 1609344e3, "ua": 149597870700e6, "ly": 9.4607304725808e21,
    "pc": 3.0856775814913673e22, "pt": 25400 / 72,
}  # fmt: skip
OME_TIMES = {
    "Ys": 1e24, "ks": 1e3, "hs": 100.0, "das": 10.0, "s": 1.0, "ds": 0.1, "cs": 0.01, "ms": 1e-3,
    "\u00b5s": 1e-6, "ns": 1e-9, "ps": 1e-12, "as": 1e-18, "min": 60.0, "h": 3600.0, "d": 86400.0,
}  # fmt: skip
ZARR_LENGTHS = (
    "angstrom attometer centimeter decimeter exameter femtometer foot gigameter hectometer inch "
    "kilometer megameter meter micrometer mile millimeter nanometer parsec petameter picometer "
    "terameter yard yoctometer yottameter zeptometer zettameter "
)
ZARR_TIMES = (
    "attosecond centisecond day decisecond exasecond femtosecond gigasecond hectosecond hour "
    "kilosecond megasecond microsecond millisecond minute nanosecond petasecond picosecond second "
    "terasecond yoctosecond yottasecond zeptosecond zettasecond "
)


@pytest.mark.parametrize(("symbol", "micrometers"), OME_LENGTHS.items())
def test_every_length_of_ome_xml_is_known(symbol: str, micrometers: float) -> None:
    name, times = unit_of(symbol)
    assert times * MICROMETERS[name] == pytest.approx(micrometers, rel=1e-12)


@pytest.mark.parametrize(("symbol", "seconds"), OME_TIMES.items())
def test_every_time_of_ome_xml_is_known(symbol: str, seconds: float) -> None:
    name, times = unit_of(symbol)
    assert times * SECONDS[name] == pytest.approx(seconds, rel=1e-12)


def test_every_unit_of_omezarr_keeps_its_name() -> None:
    for name in (*ZARR_LENGTHS.split(), *ZARR_TIMES.split()):
        assert unit_of(name) == (name, 1.0)
    assert set(ZARR_LENGTHS.split()) == set(MICROMETERS)
    assert set(ZARR_TIMES.split()) == set(SECONDS)


@pytest.mark.parametrize("spelling", ["\u03bcm", "microns", "Micrometre", "\\u00B5m", "UM", " um "])
def test_other_spellings_of_the_micrometer(spelling: str) -> None:
    assert unit_of(spelling) == ("micrometer", 1.0)


def imagej(path: Path, axes: str = "ZYX", **about: Any) -> Image:
    resolution = about.pop("resolution", (10, 10))
    tifffile.imwrite(path, VOLUME, imagej=True, resolution=resolution, metadata={"axes": axes, **about})
    return open_image(path)


def ome(path: Path, **about: Any) -> Image:
    tifffile.imwrite(path, VOLUME, ome=True, metadata={"axes": "ZYX", **about})
    return open_image(path)


def omezarr(path: Path, units: list[Any], scale: list[Any], names: str = "zyx") -> Image:
    axes = [
        {"name": n, "type": "space"} | ({"unit": u} if u else {}) for n, u in zip(names, units, strict=True)
    ]
    datasets = [{"path": "0", "coordinateTransformations": [{"type": "scale", "scale": scale}]}]
    attributes = {"ome": {"version": "0.5", "multiscales": [{"axes": axes, "datasets": datasets}]}}
    zarr.create_group(path, attributes=attributes).create_array("0", data=VOLUME)
    return open_image(path)


def ilastik(path: Path, resolutions: list[Any], units: object = None) -> Image:
    tags = [{"key": k, "resolution": r} for k, r in zip("zyx", resolutions, strict=True)]
    with h5py.File(path, "w") as file:
        file["exported_data"] = VOLUME
        file["exported_data"].attrs["axistags"] = json.dumps({"axes": tags})
        if units is not None:
            file["exported_data"].attrs["axis_units"] = json.dumps(units)
    return open_image(path)


def test_each_axis_of_imagej_has_its_unit(tmp_path: Path) -> None:
    image = imagej(tmp_path / "a.tif", unit="micron", zunit="nm", spacing=300.0)
    assert voxel_size_in_micrometers(image) == pytest.approx((0.3, 0.1, 0.1))
    assert image.units == ("nanometer", "micrometer", "micrometer")

    image = imagej(tmp_path / "b.tif", unit="nm", yunit="mm", zunit="micron", spacing=2.0)
    assert voxel_size_in_micrometers(image) == pytest.approx((2.0, 100.0, 1e-4))


def test_each_axis_of_ome_xml_has_its_unit(tmp_path: Path) -> None:
    image = ome(
        tmp_path / "a.tif",
        PhysicalSizeZ=1e-5,
        PhysicalSizeZUnit="dm",
        PhysicalSizeY=299,
        PhysicalSizeYUnit="nm",
        PhysicalSizeX=0.299,
    )
    assert voxel_size_in_micrometers(image) == pytest.approx((1.0, 0.299, 0.299))
    assert image.notes == ()


def test_each_axis_of_omezarr_has_its_unit(tmp_path: Path) -> None:
    image = omezarr(tmp_path / "a.zarr", ["mile", "hectometer", "parsec"], [1, 2, 3])
    assert image.units == ("mile", "hectometer", "parsec")
    assert voxel_size_in_micrometers(image) == pytest.approx((1609344000, 2e8, 3 * 3.0856775814913673e22))


def test_each_axis_of_ilastik_has_its_unit(tmp_path: Path) -> None:
    image = ilastik(tmp_path / "a.h5", [2, 0.5, 250], {"z": "um", "y": "\u00b5m", "x": "nm"})
    assert voxel_size_in_micrometers(image) == pytest.approx((2.0, 0.5, 0.25))


def test_resolution_0_of_ilastik_is_unknown(tmp_path: Path) -> None:
    image = ilastik(tmp_path / "a.h5", [0, 0.0, 0])
    assert (image.voxel_size, image.notes) == ((1.0,) * 3, ())
    image = ilastik(tmp_path / "b.h5", [2, 0.5, 0.5])
    assert (image.voxel_size, image.units) == ((2.0, 0.5, 0.5), ("pixel",) * 3)


@pytest.mark.parametrize(
    "make",
    [
        lambda p: imagej(p, unit="micron", zunit="furlong", spacing=3.0),
        lambda p: imagej(p, unit="furlong", spacing=3.0),
        lambda p: ome(p, PhysicalSizeZ=2, PhysicalSizeZUnit="furlong", PhysicalSizeY=0.5, PhysicalSizeX=0.5),
        lambda p: ome(p, PhysicalSizeZ=2, PhysicalSizeZUnit="s", PhysicalSizeY=0.5, PhysicalSizeX=0.5),
        lambda p: omezarr(p, ["furlong", "micrometer", "micrometer"], [2, 0.5, 0.5]),
        lambda p: omezarr(p, ["second", "micrometer", "micrometer"], [2, 0.5, 0.5]),
        lambda p: omezarr(p, [7, "micrometer", "micrometer"], [2, 0.5, 0.5]),
        lambda p: omezarr(p, [None, "micrometer", "micrometer"], [2, 0.5, 0.5]),
        lambda p: ilastik(p, [2, 0.5, 0.5], {"z": "cubit", "y": "um", "x": "um"}),
        lambda p: ilastik(p, [2, 0.5, 0.5], {"y": "um", "x": "um"}),
    ],
)
def test_sizes_that_cannot_be_compared_are_not_taken(tmp_path: Path, make: Any) -> None:
    image = make(tmp_path / "image")
    assert (image.voxel_size, image.units) == ((1.0,) * 3, ("pixel",) * 3)
    assert any("no known unit" in note or "without" in note for note in image.notes)


def test_axis_of_which_nothing_is_said_does_not_cost_the_others_theirs(tmp_path: Path) -> None:
    image = ome(tmp_path / "image.tif", PhysicalSizeY=0.5, PhysicalSizeX=0.5)
    assert (image.voxel_size, image.units) == ((1.0, 0.5, 0.5), ("pixel", "micrometer", "micrometer"))
    assert image.notes == ("The file does not state how large voxels are along z.",)


def test_inches_count_unless_they_are_those_of_a_screen(tmp_path: Path) -> None:
    fine = imagej(tmp_path / "fine.tif", unit="inch", spacing=1e-4, resolution=(50800, 50800))
    assert voxel_size_in_micrometers(fine) == pytest.approx((2.54, 0.5, 0.5))

    screen = imagej(tmp_path / "screen.tif", unit="inch", resolution=(72, 72))
    assert screen.voxel_size == (1.0,) * 3
    assert any("72 pixels an inch" in note for note in screen.notes)
