"""A part is never taken for the whole: what belongs together is joined, or what is missing is named."""

from pathlib import Path

import imageio.v3 as iio
import numpy as np
import PIL.Image
import pytest
import tifffile
import zarr

from napari_tileseg.errors import ImageError
from napari_tileseg.images import open_image
from napari_tileseg.images.image import Image
from napari_tileseg.settings import ImageSettings
from napari_tileseg.tiling import Box

VOLUME = np.random.default_rng(0).integers(0, 4000, (5, 12, 16), dtype=np.uint16)


def whole(image: Image) -> np.ndarray:
    return image.read(Box.of_shape(image.shape))[0]


def joint_xml(names: list[str], planes: int = 1) -> str:
    """Give OME-XML of a stack whose planes lie in these files, so many in each."""
    data = "".join(
        f'<TiffData FirstZ="{z}" IFD="0" PlaneCount="{planes}">'
        f'<UUID FileName="{name}">urn:uuid:{z:08d}</UUID></TiffData>'
        for z, name in enumerate(names)
    )
    return (
        '<?xml version="1.0" encoding="UTF-8"?>'
        '<OME xmlns="http://www.openmicroscopy.org/Schemas/OME/2016-06" UUID="urn:uuid:99999999">'
        '<Image ID="Image:0"><Pixels ID="Pixels:0" DimensionOrder="XYZCT" Type="uint16" SizeX="16" '
        f'SizeY="12" SizeZ="{planes * len(names)}" SizeC="1" SizeT="1" '
        'PhysicalSizeX="0.5" PhysicalSizeY="0.5" PhysicalSizeZ="2">'
        f'<Channel ID="Channel:0:0" Name="DNA"/>{data}</Pixels></Image></OME>'
    )


def write_parts(folder: Path, companion: str | None, metadata_file: str = "all.companion.ome") -> list[Path]:
    """Write five files of one plane that point to a sixth for their metadata."""
    paths = [folder / f"plane{z}.ome.tif" for z in range(5)]
    for z, path in enumerate(paths):
        xml = (
            '<?xml version="1.0"?><OME xmlns="http://www.openmicroscopy.org/Schemas/OME/2016-06">'
            f'<BinaryOnly MetadataFile="{metadata_file}" UUID="urn:uuid:{z:08d}"/></OME>'
        )
        tifffile.imwrite(
            path, VOLUME[z], metadata=None, description=xml, compression="zlib" if z % 2 else None
        )
    if companion is not None:
        (folder / metadata_file).write_text(companion, encoding="utf-8")
    return paths


@pytest.mark.parametrize("opened", [0, 3])
def test_planes_are_joined_as_the_companion_beside_them_says(tmp_path: Path, opened: int) -> None:
    paths = write_parts(tmp_path, joint_xml([f"plane{z}.ome.tif" for z in range(5)]))

    image = open_image(paths[opened])

    assert (image.axes, image.voxel_size, image.units) == ("zyx", (2.0, 0.5, 0.5), ("micrometer",) * 3)
    np.testing.assert_array_equal(whole(image), VOLUME)
    assert image.notes == ()


def test_planes_are_joined_as_the_first_of_them_says(tmp_path: Path) -> None:
    names = [f"plane{z}.ome.tif" for z in range(5)]
    paths = write_parts(tmp_path, None, metadata_file=names[0])
    tifffile.imwrite(paths[0], VOLUME[0], metadata=None, description=joint_xml(names))

    for path in (paths[0], paths[4]):
        np.testing.assert_array_equal(whole(open_image(path)), VOLUME)


def test_part_without_its_companion_is_called_a_part(tmp_path: Path) -> None:
    paths = write_parts(tmp_path, None)

    image = open_image(paths[2])

    assert (image.axes, image.shape) == ("yx", (12, 16))
    np.testing.assert_array_equal(whole(image), VOLUME[2])
    assert any("part of an image" in note and "all.companion.ome" in note for note in image.notes)


@pytest.mark.parametrize("lost", [[3], [1, 4]])
def test_lost_planes_are_counted_and_named(tmp_path: Path, lost: list[int]) -> None:
    paths = write_parts(tmp_path, joint_xml([f"plane{z}.ome.tif" for z in range(5)]))
    for z in lost:
        paths[z].unlink()

    image = open_image(paths[2])

    assert image.shape == VOLUME.shape
    np.testing.assert_array_equal(whole(image)[2], VOLUME[2])
    note = next(note for note in image.notes if "incomplete" in note)
    assert f"{len(lost)} of its 5 planes" in note
    assert f"plane{lost[0]}.ome.tif" in note


def test_ome_xml_of_more_planes_than_there_are_is_called_incomplete(tmp_path: Path) -> None:
    path = tmp_path / "image.ome.tif"
    tifffile.imwrite(path, VOLUME, ome=True, metadata={"axes": "ZYX"})
    text = tifffile.tiffcomment(path).replace('SizeZ="5"', 'SizeZ="7"')
    tifffile.tiffcomment(path, text.encode())

    image = open_image(path)

    assert image.shape == (7, 12, 16)
    assert any("2 of its 7 planes are missing" in note for note in image.notes)


def test_file_that_was_renamed_is_whole_still(tmp_path: Path) -> None:
    about = joint_xml(["old.tif"], planes=5).encode()
    tifffile.imwrite(tmp_path / "new.tif", VOLUME, photometric="minisblack", metadata=None, description=about)

    image = open_image(tmp_path / "new.tif")

    np.testing.assert_array_equal(whole(image), VOLUME)
    assert (image.voxel_size, image.notes) == ((2.0, 0.5, 0.5), ())


def test_part_that_is_no_regular_file_is_refused(tmp_path: Path) -> None:
    others = [f"plane{z}.ome.tif" for z in (2, 3, 4)]
    paths = write_parts(tmp_path, joint_xml(["plane0.ome.tif", "a folder", *others]))
    (tmp_path / "a folder").mkdir()

    with pytest.raises(ImageError, match=r"a folder as a part.*regular file"):
        open_image(paths[0])


def test_imagej_stack_of_one_page_is_opened_whole(tmp_path: Path) -> None:
    path = tmp_path / "stack.tif"
    tifffile.imwrite(path, VOLUME, imagej=True, metadata={"axes": "ZYX"})
    with tifffile.TiffFile(path) as file:
        first, form = file.pages[0].offset, file.tiff
        file.filehandle.seek(first)
        count = int.from_bytes(file.filehandle.read(2), "little" if form.byteorder == "<" else "big")
    content = bytearray(path.read_bytes())
    end = first + 2 + count * 12
    content[end : end + 4] = bytes(4)  # as in files of more than 4 GB, where only the first page is listed
    path.write_bytes(bytes(content))
    with tifffile.TiffFile(path) as file:
        assert len(file.pages) == 1

    np.testing.assert_array_equal(whole(open_image(path)), VOLUME)


def test_other_images_in_a_file_are_named(tmp_path: Path) -> None:
    with tifffile.TiffWriter(tmp_path / "two.ome.tif", ome=True) as writer:
        writer.write(VOLUME, metadata={"axes": "ZYX"})
        writer.write(VOLUME[0, :6], metadata={"axes": "YX"})

    image = open_image(tmp_path / "two.ome.tif")

    np.testing.assert_array_equal(whole(image), VOLUME)
    assert any("holds 2 images" in note and "6 x 16" in note for note in image.notes)


def test_other_images_of_an_omezarr_group_are_named(tmp_path: Path) -> None:
    one = {"axes": [{"name": a, "type": "space"} for a in "zyx"], "datasets": [{"path": "0"}]}
    attributes = {"ome": {"version": "0.5", "multiscales": [one, one]}}
    zarr.create_group(tmp_path / "a.zarr", attributes=attributes).create_array("0", data=VOLUME)

    assert any("holds 2 images" in note for note in open_image(tmp_path / "a.zarr").notes)


def test_further_frames_of_a_picture_are_named(tmp_path: Path) -> None:
    frames = [PIL.Image.fromarray(np.full((6, 8), value, np.uint8)) for value in (1, 2, 3)]
    frames[0].save(tmp_path / "moving.png", save_all=True, append_images=frames[1:])
    frames[0].save(tmp_path / "still.png")

    assert open_image(tmp_path / "moving.png").notes == ("The picture holds 3 frames; the first is opened.",)
    assert open_image(tmp_path / "still.png").notes == ()


def write_slices(folder: Path, names: list[str]) -> list[str]:
    """Write slices whose voxels are all the number of the name in the list."""
    for number, name in enumerate(names):
        iio.imwrite(folder / name, np.full((6, 8), number + 1, np.uint8))
    return names


@pytest.mark.parametrize(
    "names",
    [
        ["z1.png", "z2.png", "z10.png", "z11.png"],
        ["Z9.png", "z10.png", "Z11.png"],
        ["a-1_s01.png", "a-1_s02.png", "a-1_s10.png"],
        ["1.tif", "2.tif", "3.tif", "20.tif"],
        ["x5y.png", "x6y.png", "x100y.png"],
        ["t2_z1.png", "t2_z2.png", "t10_z1.png", "t10_z2.png"],
    ],
)
def test_slices_are_in_the_order_in_which_a_person_reads_them(tmp_path: Path, names: list[str]) -> None:
    write_slices(tmp_path, names)
    assert whole(open_image(tmp_path))[:, 0, 0].tolist() == list(range(1, len(names) + 1))


@pytest.mark.parametrize(
    ("names", "said"),
    [
        (["z001.png", "z002.png", "z004.png", "z005.png"], "1 to 5; 3 is missing"),
        (["s0.tif", "s5.tif", "s10.tif", "s20.tif"], "0 to 20; 15 is missing"),
        (["a1_7.png", "a1_9.png", "a1_10.png", "a1_13.png"], "8, 11, 12 are missing"),
        ([f"{n}.png" for n in (1, 2, 3, 30)], "4, 5, 6 and 23 more are missing"),
        (["dna_1.png", "dna_2.png", "wall_1.png", "wall_2.png"], "names of 2 kinds"),
        (["t1_z1.png", "t1_z2.png", "t2_z1.png", "t2_z2.png"], "hold 2 numbers that change"),
    ],
)
def test_gap_or_a_second_count_among_slices_is_named(tmp_path: Path, names: list[str], said: str) -> None:
    write_slices(tmp_path, names)
    image = open_image(tmp_path)
    assert image.shape[0] == len(names)
    assert any(said in note for note in image.notes)


@pytest.mark.parametrize(
    "names", [["z1.png", "z2.png", "z3.png"], ["s10.tif", "s12.tif", "s14.tif"], ["one.png"]]
)
def test_slices_without_a_gap_cause_no_note(tmp_path: Path, names: list[str]) -> None:
    write_slices(tmp_path, names)
    assert open_image(tmp_path).notes == ()


@pytest.mark.parametrize(("shape", "taken"), [((2, 3, 4, 5), "czyx"), ((1, 2, 3, 4, 5), "tczyx")])
def test_axes_that_nothing_names_are_said_as_they_were_taken(
    tmp_path: Path, shape: tuple[int, ...], taken: str
) -> None:
    np.save(tmp_path / "a.npy", np.zeros(shape))
    zarr.create_array(tmp_path / "a.zarr", data=np.zeros(shape))

    for name in ("a.npy", "a.zarr"):
        assert any(f"taken as {taken}" in note for note in open_image(tmp_path / name).notes)
        assert open_image(tmp_path / name, ImageSettings(axes=taken)).notes == ()
