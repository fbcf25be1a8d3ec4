"""OME-Zarr 0.6: levels in coordinate systems, of which the one that all levels lead to is the image's own."""

import copy
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import zarr

from napari_tileseg.errors import ImageError
from napari_tileseg.images import list_levels, open_image
from napari_tileseg.images.image import Image
from napari_tileseg.settings import ImageSettings
from napari_tileseg.tiling import Box

MOVIE = np.random.default_rng(0).integers(0, 4000, (2, 4, 8, 12), dtype=np.uint16)
UNITS = {"t": "second", "z": "micrometer", "y": "micrometer", "x": "micrometer"}
TYPES = {"t": "time", "c": "channel"}
VERSIONS = ["0.6", "0.6.dev2", "0.6.dev4", "0.6rc0", "0.6.1"]


def system(name: str, letters: str = "tzyx", **units: str) -> dict[str, Any]:
    axes = [
        {"name": letter, "type": TYPES.get(letter, "space")}
        | ({"unit": unit} if (unit := (UNITS | units).get(letter)) else {})
        for letter in letters
    ]
    return {"name": name, "axes": axes}


def step(kind: str, value: Any = None, **ends: Any) -> dict[str, Any]:
    return {"type": kind} | ({} if value is None else {kind: value}) | ends


def sequence(scale: list[float], translation: list[float], **ends: Any) -> dict[str, Any]:
    steps = [step("scale", scale), step("translation", translation)]
    return {"type": "sequence", "transformations": steps} | ends


def ends(path: str, target: str = "physical") -> dict[str, Any]:
    return {"input": {"path": path}, "output": {"name": target}}


def multiscale(**change: Any) -> dict[str, Any]:
    return {
        "name": "movie",
        "coordinateSystems": [system("physical")],
        "datasets": [
            {
                "path": "s0",
                "coordinateTransformations": [sequence([5, 2, 0.5, 0.5], [0, 1, 3, 4], **ends("s0"))],
            },
            {
                "path": "s1",
                "coordinateTransformations": [sequence([5, 2, 1, 1.0], [0, 1, 3.25, 4.25], **ends("s1"))],
            },
        ],
    } | change


def write(path: Path, multiscale: dict[str, Any], version: str = "0.6", data: np.ndarray = MOVIE) -> Path:
    ome = {"version": version, "multiscales": [multiscale]}
    group = zarr.create_group(path, attributes={"ome": ome})
    for number, dataset in enumerate(multiscale["datasets"]):
        group.create_array(dataset["path"], data=data[..., :: 2**number, :: 2**number])
    return path


def place(image: Image) -> tuple[Any, ...]:
    return image.axes, image.voxel_size, image.translation, image.units


AS_SAID = ("tzyx", (5, 2, 0.5, 0.5), (0, 1, 3, 4), tuple(UNITS.values()))


@pytest.mark.parametrize("version", VERSIONS)
def test_levels_are_placed_in_their_system(tmp_path: Path, version: str) -> None:
    path = write(tmp_path / "a.zarr", multiscale(), version)

    image = open_image(path)

    assert place(image) == AS_SAID
    np.testing.assert_array_equal(image.read(Box.of_shape(image.shape))[0], MOVIE)
    assert (image.name, image.notes) == ("movie", ())
    assert list_levels(path) == ((2, 4, 8, 12), (2, 4, 4, 6))
    coarse = open_image(path, ImageSettings(level=1))
    assert (coarse.voxel_size, coarse.translation) == ((5, 2, 1, 1), (0, 1, 3.25, 4.25))


@pytest.mark.parametrize("name", ["physical", "intrinsic", "", "\u00b5m"])
@pytest.mark.parametrize("order", [1, -1])
def test_system_of_the_levels_is_found_by_what_they_lead_to(tmp_path: Path, name: str, order: int) -> None:
    about = multiscale()
    if name == "":
        name = "0"
    for dataset in about["datasets"]:
        dataset["coordinateTransformations"][0]["output"] = {"name": name}
    other = system("stage", "tzyx", z="millimeter", y="millimeter", x="millimeter")
    about["coordinateSystems"] = [system(name), other, system("turned", "txyz")][::order]

    assert place(open_image(write(tmp_path / "a.zarr", about))) == AS_SAID


@pytest.mark.parametrize(
    ("level", "size", "start"),
    [
        (step("scale", [5, 2, 0.5, 0.25], **ends("s0")), (5, 2, 0.5, 0.25), (0, 0, 0, 0)),
        (step("scale", [1, 1, 1, 1], **ends("s0")), (1, 1, 1, 1), (0, 0, 0, 0)),
        (step("identity", **ends("s0")), (1, 1, 1, 1), (0, 0, 0, 0)),
        (step("scale", [5, 2, 1, 1], input="s0", output="physical"), (5, 2, 1, 1), (0, 0, 0, 0)),
        (step("scale", [5, 2, 1, 1]), (5, 2, 1, 1), (0, 0, 0, 0)),
        (
            {"type": "sequence", "transformations": [sequence([5, 2, 1, 1], [1, 2, 3, 4]), step("identity")]},
            (5, 2, 1, 1),
            (1, 2, 3, 4),
        ),
    ],
    ids=["scale", "integers", "identity", "names", "no ends", "nested"],
)
def test_kinds_of_placement(tmp_path: Path, level: dict[str, Any], size: Any, start: Any) -> None:
    about = multiscale(datasets=[{"path": "s0", "coordinateTransformations": [level]}])

    image = open_image(write(tmp_path / "a.zarr", about))

    assert place(image) == ("tzyx", size, start, tuple(UNITS.values()))
    assert image.notes == ()


@pytest.mark.parametrize(
    "other",
    [
        step("rotation", np.eye(4).tolist(), input={"name": "physical"}, output={"name": "stage"}),
        step("affine", np.eye(4, 5).tolist(), input={"name": "physical"}, output={"name": "stage"}),
        step("scale", [10, 10, 10, 10], input={"name": "physical"}, output={"name": "stage"}),
        step("translation", [10, 10, 10, 10], input={"name": "stage"}, output={"name": "physical"}),
        {
            "type": "displacements",
            "path": "field",
            "input": {"name": "physical"},
            "output": {"name": "stage"},
        },
        {"type": "byDimension", "transformations": []},
        {"type": "mapAxis", "mapAxis": [3, 2, 1, 0]},
        {},
    ],
    ids=lambda other: other.get("type", "nothing"),
)
def test_ways_to_other_systems_are_named_and_not_applied(tmp_path: Path, other: dict[str, Any]) -> None:
    about = multiscale(coordinateTransformations=[other, copy.deepcopy(other)])
    about["coordinateSystems"].append(system("stage"))

    image = open_image(write(tmp_path / "a.zarr", about))

    assert place(image) == AS_SAID
    assert len(image.notes) == 1
    assert other.get("type", "unknown") in image.notes[0]
    assert "not applied" in image.notes[0]


def test_of_two_ways_of_a_level_the_one_to_its_own_system_is_taken(tmp_path: Path) -> None:
    about = multiscale(coordinateSystems=[system("stage"), system("physical")])
    first = about["datasets"][0]["coordinateTransformations"]
    first.insert(0, step("scale", [7, 7, 7, 7], **ends("s0", "stage")))

    assert place(open_image(write(tmp_path / "a.zarr", about))) == AS_SAID


@pytest.mark.parametrize(
    "change",
    [
        lambda m: m.pop("coordinateSystems"),
        lambda m: m.update(coordinateSystems=[]),
        lambda m: m.update(coordinateSystems=[system("elsewhere")]),
        lambda m: m.update(coordinateSystems=5),
        lambda m: m["datasets"][1]["coordinateTransformations"][0].update(output={"name": "other"}),
        lambda m: m["datasets"][0].update(coordinateTransformations=[step("rotation", [[1]], **ends("s0"))]),
        lambda m: m["datasets"][0].update(coordinateTransformations=[step("scale", [1, 2], **ends("s0"))]),
    ],
)
def test_what_is_in_doubt_is_given_to_no_axis(tmp_path: Path, change: Any) -> None:
    about = multiscale()
    change(about)

    image = open_image(write(tmp_path / "a.zarr", about))

    assert image.voxel_size == (1,) * len(image.grid_axes)
    assert set(image.units) == {"pixel"}
    assert image.notes


@pytest.mark.parametrize("letters", ["tyx", "cyx", "tcyx", "tzyx"])
def test_axes_of_every_kind_are_those_of_the_system(tmp_path: Path, letters: str) -> None:
    about = {
        "coordinateSystems": [system("intrinsic", letters)],
        "datasets": [{"path": "scale0/img", "coordinateTransformations": [step("identity")]}],
    }
    path = write(tmp_path / "a.zarr", about, data=np.ones((2,) * len(letters), "u1"))
    assert open_image(path).axes == letters


def test_labels_are_read_as_images_are(tmp_path: Path) -> None:
    image = write(tmp_path / "a.zarr", multiscale())
    labels = write(image / "labels" / "nuclei", multiscale(name="/nuclei"), data=MOVIE.astype(np.uint32))
    assert place(open_image(labels)) == AS_SAID


@pytest.mark.parametrize("version", ["0.7", "0.10", "0.7.dev1", "1.0", "2.3rc1"])
def test_version_that_is_not_known_is_refused_by_name(tmp_path: Path, version: str) -> None:
    path = write(tmp_path / "a.zarr", multiscale(), version)
    for read in (open_image, list_levels):
        with pytest.raises(ImageError, match=rf"OME-Zarr {version}; .* reads OME-Zarr 0\.1 to 0\.6"):
            read(path)


def test_scene_lists_the_images_that_can_be_opened(tmp_path: Path) -> None:
    group = zarr.create_group(tmp_path / "a.zarr", attributes={"ome": {"version": "0.6", "scene": {}}})
    write(tmp_path / "a.zarr" / "left", multiscale())
    del group
    with pytest.raises(ImageError, match=r"Name one of: .*a\.zarr/left"):
        open_image(tmp_path / "a.zarr")
