"""``tileseg sample`` writes what every reader understands, and overwrites nothing."""

import numpy as np
import ome_zarr_models.v05
import pytest
import tifffile
import zarr

from napari_tileseg.samples import cells_image, nuclei_volume

SMALL = ("--shape", "8,40,48", "--seed", "3")


def test_ome_zarr_holds_image_and_labels(tileseg, tmp_path):
    out = tmp_path / "new" / "sample.ome.zarr"
    code, report = tileseg.json("sample", out, *SMALL)
    expected = nuclei_volume((8, 40, 48), seed=3)
    assert code == 0
    assert report == {
        "output": str(out),
        "labels": str(out / "labels" / "nuclei"),
        "strokes": None,
        "shape": [8, 40, 48],
        "voxel_size": [1.75, 0.8, 0.8],
        "objects": int(expected.labels.max()),
        "kind": "nuclei",
        "seed": 3,
    }
    image = ome_zarr_models.v05.Image.from_zarr(zarr.open_group(out, mode="r"))
    assert [axis.unit for axis in image.attributes.ome.multiscales[0].axes] == ["micrometer"] * 3
    labels = ome_zarr_models.v05.ImageLabel.from_zarr(zarr.open_group(report["labels"], mode="r"))
    assert labels.attributes.ome.image_label.source.image == "../../"
    np.testing.assert_array_equal(zarr.open_array(out / "0")[:], expected.image)
    np.testing.assert_array_equal(zarr.open_array(out / "labels/nuclei/0")[:], expected.labels)


def test_tiff_holds_the_same_and_its_labels_lie_beside_it(tileseg, tmp_path):
    code, report = tileseg.json("sample", tmp_path / "cells.tif", "--kind", "cells", "--shape", "64,50")
    assert code == 0
    expected = cells_image((64, 50))
    np.testing.assert_array_equal(tifffile.imread(tmp_path / "cells.tif"), expected.image)
    np.testing.assert_array_equal(tifffile.imread(tmp_path / "cells_labels.tif"), expected.labels)
    assert report["labels"] == str(tmp_path / "cells_labels.tif")


@pytest.mark.parametrize("name", ["sample.ome.zarr", "sample.tif"])
def test_what_it_writes_opens_in_its_place(tileseg, tmp_path, name):
    from napari_tileseg.images import open_image

    assert tileseg("sample", tmp_path / name, *SMALL).exit_code == 0
    image = open_image(tmp_path / name)
    assert (image.axes, image.shape) == ("zyx", (8, 40, 48))
    assert image.voxel_size == pytest.approx((1.75, 0.8, 0.8))
    assert image.units == ("micrometer",) * 3


@pytest.mark.parametrize("name", ["folder", "file.zarr", "file.tif", "file_labels.tif"])
def test_what_is_there_already_is_left_alone(tileseg, tmp_path, name):
    there = tmp_path / name
    if name == "folder":
        there.mkdir()
        there = there / "mine.txt"
    there.write_text("mine")
    out = tmp_path / name.replace("_labels", "")
    code, report = tileseg.json("sample", out, *SMALL)
    assert code == 5
    assert "Choose a path that is new" in report["error"]
    assert there.read_text() == "mine"
    assert sorted(tmp_path.rglob("*")) == sorted({there, tmp_path / name})


def test_an_empty_folder_is_filled(tileseg, tmp_path):
    (tmp_path / "out").mkdir()
    assert tileseg("sample", tmp_path / "out", *SMALL).exit_code == 0
    assert (tmp_path / "out" / "zarr.json").is_file()


def test_a_wrong_number_of_axes_is_refused_before_anything_is_written(tileseg, tmp_path):
    result = tileseg("sample", tmp_path / "out", "--shape", "8,8")
    assert result.exit_code == 2
    assert "3 positive lengths" in result.stderr
    assert not list(tmp_path.iterdir())
