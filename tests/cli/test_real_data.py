"""A real embryo, a shipped network, a real process; what it writes opens everywhere in its place."""

import json

import numpy as np
import ome_zarr_models.v05
import pytest
import tifffile
import zarr

VOXEL_SIZE = (1.75, 0.8, 0.8)
NETWORK = "sample:nuclei_3d_batch_renorm"


@pytest.fixture(scope="module")
def embryo(data_dir):
    return data_dir / "bbbc050_mouse_embryo_3d" / "images" / "train_Emb01_t401.tif"


@pytest.fixture(scope="module")
def predicted(tileseg, embryo, tmp_path_factory):
    """Report of a prediction in tiles, of a part that does not start at the origin."""
    out = tmp_path_factory.mktemp("embryo") / "out.ome.zarr"
    args = (embryo, NETWORK, "-o", out, "--core", "32,64,64", "--box", "4:51,8:124,0:127")
    process = tileseg.process("predict", *args, "--voxel-size", "1.75,0.8,0.8", "--json")
    stdout, stderr = process.communicate(timeout=120)
    assert (process.returncode, stderr) == (0, ""), stderr
    return json.loads(stdout)


def test_a_real_embryo(tileseg, predicted, embryo, tmp_path):
    assert predicted["shape"] == [47, 116, 127]
    assert predicted["exact"] is True
    assert predicted["tiles_computed"] == predicted["tiles"] == 8
    low, high = np.percentile(tifffile.imread(embryo), (1, 99.8))
    used = predicted["input_normalization"]
    assert (used["offset"][0], used["scale"][0]) == pytest.approx((low, high - low))
    group = zarr.open_group(predicted["output"], mode="r")
    ome_zarr_models.v05.Image.from_zarr(group)
    whole = tmp_path / "whole.ome.zarr"
    assert tileseg("predict", embryo, NETWORK, "-o", whole, "--core", "52,128,128").exit_code == 0
    expected = zarr.open_array(whole / "0")[:, 4:51, 8:124, 0:127]
    np.testing.assert_allclose(group["0"][:], expected, atol=1e-5)
    assert 0.01 < (expected[0] > 0.5).mean() < 0.5, "some of the embryo is nuclei, and not all"


def test_it_lies_in_its_place_in_napari(predicted, napari_ome_zarr):
    from napari.layers import Layer

    from napari_tileseg._napari.files.reader import get_reader

    path = predicted["output"]
    theirs = napari_ome_zarr(path)
    assert [each["name"] for each in theirs] == [
        "train_Emb01_t401: foreground",
        "train_Emb01_t401: boundary",
    ]
    assert all(each["scale"] == pytest.approx(VOXEL_SIZE) for each in theirs)
    ours = [Layer.create(*layer) for layer in get_reader(path)(path)]
    assert len(ours) == 2
    for number, layer in enumerate(ours):
        np.testing.assert_allclose(layer.scale, VOXEL_SIZE)
        np.testing.assert_allclose(layer.translate, np.multiply((4, 8, 0), VOXEL_SIZE))
        assert [str(unit) for unit in layer.units] == ["micrometer"] * 3
        np.testing.assert_array_equal(layer.data[20], zarr.open_array(f"{path}/0")[number, 20])


def test_their_labels_lie_on_their_image(tileseg, tmp_path, napari_ome_zarr):
    path = str(tmp_path / "sample.ome.zarr")
    assert tileseg("sample", path, "--shape", "8,40,48").exit_code == 0
    image, labels = napari_ome_zarr(path)
    assert (image["kind"], labels["kind"]) == ("image", "labels")
    assert image["scale"] == labels["scale"] == pytest.approx(VOXEL_SIZE)
    np.testing.assert_array_equal(labels["voxels"], zarr.open_array(f"{path}/labels/nuclei/0")[:])
