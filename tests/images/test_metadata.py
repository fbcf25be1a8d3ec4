"""Whatever is said about the voxels, the voxels are read; what makes no sense is unknown, and named."""

import json
import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest
import tifffile
import zarr

from napari_tileseg.images import open_image
from napari_tileseg.images.formats.ome_xml import parse_ome, sizes
from napari_tileseg.images.image import Image
from napari_tileseg.tiling import Box

VOLUME = np.random.default_rng(0).integers(0, 4000, (3, 12, 16), dtype=np.uint16)
OME = (
    '<?xml version="1.0" encoding="UTF-8"?>'
    '<OME xmlns="http://www.openmicroscopy.org/Schemas/OME/2016-06"><Image ID="Image:0" Name="{name}">'
    '<Pixels ID="Pixels:0" DimensionOrder="XYZCT" Type="uint16" SizeX="16" SizeY="12" SizeZ="3" SizeC="1" '
    'SizeT="1" {sizes}><Channel ID="Channel:0:0" Name="{channel}"/><TiffData/></Pixels></Image></OME>'
)
SIZES = 'PhysicalSizeX="0.5" PhysicalSizeY="0.5" PhysicalSizeZ="2"'


def write_description(path: Path, description: str) -> Path:
    """Write a stack of pages with a description of any bytes."""
    tifffile.imwrite(
        path, VOLUME, photometric="minisblack", metadata=None, description=description.encode("utf-8")
    )
    return path


def write_ome(path: Path, **parts: str) -> Path:
    return write_description(path, OME.format(**{"name": "a", "channel": "b", "sizes": SIZES} | parts))


def write_omezarr(path: Path, change: Callable[[dict[str, Any]], None]) -> Path:
    axes = [{"name": a, "type": "space", "unit": "micrometer"} for a in "zyx"]
    steps = [{"type": "scale", "scale": [2, 0.5, 0.5]}, {"type": "translation", "translation": [1, 2, 3]}]
    multiscale = {"axes": axes, "datasets": [{"path": "0", "coordinateTransformations": steps}]}
    ome: dict[str, Any] = {"version": "0.5", "multiscales": [multiscale], "omero": {"channels": []}}
    change(ome)
    group = zarr.create_group(path, attributes={"ome": ome})
    group.create_array("0", data=VOLUME)
    return path


def check_voxels(image: Image) -> None:
    """Compare the voxels with those that were written, and see that the place makes sense."""
    assert (image.axes, image.shape) == ("zyx", VOLUME.shape)
    np.testing.assert_array_equal(image.read(Box.of_shape(image.shape))[0], VOLUME)
    assert all(0 < size < math.inf for size in image.voxel_size)
    assert all(map(math.isfinite, image.translation))


@pytest.mark.parametrize("channel", ["a & b", "a &micro; b", "R&D;", "tab \x0b in", "&#xZZ;"])
def test_ome_xml_with_a_mistake_is_read_with_it_mended(tmp_path: Path, channel: str) -> None:
    image = open_image(write_ome(tmp_path / "image.tif", channel=channel))

    check_voxels(image)
    assert image.voxel_size == (2.0, 0.5, 0.5)
    assert any("not valid XML" in note for note in image.notes)


def test_ome_xml_with_two_declarations_is_read(tmp_path: Path) -> None:
    text = OME.format(name="a", channel="b", sizes=SIZES)
    image = open_image(write_description(tmp_path / "image.tif", text[: text.index("?>") + 2] + "\n" + text))

    check_voxels(image)
    assert image.voxel_size == (2.0, 0.5, 0.5)


@pytest.mark.parametrize(
    "xml",
    [
        OME.format(name="a", channel="b", sizes=SIZES).replace("<TiffData/>", "<TiffData></Pixels>"),
        OME.format(name="a", channel='<"', sizes=SIZES),
        OME.format(name="a", channel="b", sizes=SIZES).replace('SizeZ="3"', 'SizeZ="three"'),
        OME.format(name="a", channel="b", sizes=SIZES).replace('DimensionOrder="XYZCT"', ""),
        OME.format(name="a", channel="b", sizes=SIZES).replace("<TiffData/>", '<TiffData IFD="x"/>'),
        "<OME></OME>",
        "<OME><Image/></OME>",
    ],
    ids=["tags", "attribute", "number of planes", "no order", "page", "empty", "no pixels"],
)
def test_ome_xml_that_cannot_be_followed_is_named(tmp_path: Path, xml: str) -> None:
    image = open_image(write_description(tmp_path / "image.tif", xml))

    check_voxels(image)
    assert any("OME-XML" in note for note in image.notes)


@pytest.mark.parametrize("value", ["NaN", "INF", "-INF", "0", "-3", "wide", "", "1e999", "0x10", "9" * 500])
@pytest.mark.parametrize("axis", "XZ")
def test_size_in_ome_xml_that_is_none_is_unknown(tmp_path: Path, value: str, axis: str) -> None:
    sizes = SIZES.replace(
        f'PhysicalSize{axis}="{2 if axis == "Z" else 0.5}"', f'PhysicalSize{axis}="{value}"'
    )

    image = open_image(write_ome(tmp_path / "image.tif", sizes=sizes))

    check_voxels(image)
    place = "zyx".index(axis.lower())
    assert (image.voxel_size[place], image.units[place]) == (1.0, "pixel")
    assert image.units.count("micrometer") == 2
    assert [note for note in image.notes if f"along {axis.lower()} as" in note]


@pytest.mark.parametrize(
    ("line", "place"),
    [
        ("spacing=Infinity", 0),
        ("spacing=NaN", 0),
        ("spacing=-1", 0),
        ("spacing=0", 0),
        ("spacing=wide", 0),
        ("spacing=1e-320", 0),
        ("finterval=Infinity", None),
        ("unit=\x01", None),
        ("min=[]", None),
        ("=", None),
    ],
)
def test_odd_values_of_imagej_are_unknown(tmp_path: Path, line: str, place: int | None) -> None:
    text = "ImageJ=1.53t\nimages=3\nslices=3\nunit=micron\nspacing=2.0\nloop=false\n"
    text = text.replace("spacing=2.0", line) if "spacing" in line else text + line + "\n"
    tifffile.imwrite(
        tmp_path / "image.tif",
        VOLUME,
        photometric="minisblack",
        metadata=None,
        description=text.encode(),
        resolution=(2.0, 2.0),
    )

    image = open_image(tmp_path / "image.tif")

    check_voxels(image)
    if place is not None:
        assert (image.voxel_size, image.translation) == ((1.0, 0.5, 0.5), (0.0, 0.0, 0.0))
        assert any("along z" in note for note in image.notes)


@pytest.mark.parametrize("line", ["frames=abc", "slices=-3", "channels=0", "images=7\nslices=7", "order=1"])
def test_imagej_s_description_that_does_not_fit_is_left_out(tmp_path: Path, line: str) -> None:
    write_description(tmp_path / "image.tif", f"ImageJ=1.53t\nimages=3\nslices=3\n{line}\n")

    check_voxels(open_image(tmp_path / "image.tif"))


@pytest.mark.parametrize("tag", [(0, 1), (1, 0), (2**32 - 1, 1), (0, 0)])
def test_resolution_tags_that_say_nothing_are_left_out(tmp_path: Path, tag: tuple[int, int]) -> None:
    path = tmp_path / "image.tif"
    tifffile.imwrite(
        path, VOLUME, photometric="minisblack", resolution=(2.0, 2.0), resolutionunit="CENTIMETER"
    )
    with tifffile.TiffFile(path, mode="r+") as file:
        for page in file.pages:
            page.tags["XResolution"].overwrite(tag)

    check_voxels(open_image(path))


ODD = [None, "wide", True, {}, [], [1], "NaN", math.inf, -1, 0, 10**400, 5, ["x"], {"a": 1}]


@pytest.mark.parametrize("value", ODD, ids=repr)
@pytest.mark.parametrize("where", ["scale", "translation", "unit", "axis", "name", "omero", "version"])
def test_odd_values_of_omezarr_are_unknown(tmp_path: Path, where: str, value: Any) -> None:
    def change(ome: dict[str, Any]) -> None:
        multiscale = ome["multiscales"][0]
        steps = multiscale["datasets"][0]["coordinateTransformations"]
        match where:
            case "scale":
                steps[0]["scale"][0] = value
            case "translation":
                steps[1]["translation"][0] = value
            case "unit":
                multiscale["axes"][0]["unit"] = value
            case "axis":
                multiscale["axes"][0] = value
            case "omero":
                ome["omero"] = {"channels": [value]}
            case "version":
                ome["version"] = value
            case _:
                multiscale["name"] = value

    image = open_image(write_omezarr(tmp_path / "image.zarr", change))

    check_voxels(image)
    if where == "scale" and value != 5:
        assert (image.voxel_size, image.translation) == ((1.0, 0.5, 0.5), (0.0, 2.0, 3.0))
        assert any("along z" in note for note in image.notes)
    if where == "unit" and value is not None and value not in ([], {}):
        assert image.units == ("pixel",) * 3
        assert any("along z in" in note for note in image.notes)


@pytest.mark.parametrize(
    "value", [*ODD[:8], [{"type": "scale"}], [{"type": []}], [{"type": "scale", "scale": [1]}]]
)
@pytest.mark.parametrize("where", ["coordinateTransformations", "axes", "level"])
def test_wrong_containers_of_omezarr_are_left_out(tmp_path: Path, where: str, value: Any) -> None:
    def change(ome: dict[str, Any]) -> None:
        multiscale = ome["multiscales"][0]
        if where == "level":
            multiscale["datasets"][0]["coordinateTransformations"] = value
        else:
            multiscale[where] = value

    check_voxels(open_image(write_omezarr(tmp_path / "image.zarr", change)))


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("element_size_um", "wide"),
        ("element_size_um", np.array([[0.5, 0.5], [1, 1]])),
        ("element_size_um", np.array([b"x", b"y", b"z"])),
        ("element_size_um", np.array([math.nan, 0.5, 0.5])),
        ("element_size_um", h5py.Empty("f8")),
        ("element_size_um", True),
        ("axistags", "{"),
        ("axistags", 5),
        ("axistags", "[" * 50_000),
        ("axistags", json.dumps({"axes": [{"key": 5}, {"key": None}, "x"]})),
        ("axistags", json.dumps({"axes": {"z": 1}})),
        ("axistags", np.array([1.0, 2.0])),
        ("axis_units", "[]"),
    ],
    ids=lambda value: str(value)[:30],
)
def test_odd_attributes_of_hdf5_are_unknown(tmp_path: Path, name: str, value: Any) -> None:
    with h5py.File(tmp_path / "image.h5", "w") as file:
        file["raw"] = VOLUME
        file["raw"].attrs[name] = value

    check_voxels(open_image(tmp_path / "image.h5"))


def test_size_of_one_element_holds_for_all_axes_of_hdf5(tmp_path: Path) -> None:
    with h5py.File(tmp_path / "image.h5", "w") as file:
        file["raw"] = VOLUME
        file["raw"].attrs["element_size_um"] = 0.25

    assert open_image(tmp_path / "image.h5").voxel_size == (0.25,) * 3


def test_the_pixels_that_are_stored_are_told_apart_by_their_elements():
    """An element without children is false to Python; that it is there is what counts."""
    images = "".join(
        f'<Image><Pixels PhysicalSizeX="{size}" PhysicalSizeXUnit="nm">{data}</Pixels></Image>'
        for size, data in ((5, ""), (7, '<TiffData IFD="0"/>'))
    )
    ome = parse_ome(f"<OME>{images}</OME>")
    assert ome is not None
    assert "7" in str(sizes(ome))
