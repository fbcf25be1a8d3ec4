"""An output is a path of this machine, called like what is written there; else it is refused at once."""

import json
import os
import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner

from napari_tileseg._outputs import NETWORK, PREDICTION, REPORT, RUN, SAMPLE, check_output, check_room
from napari_tileseg._words import bytes_words
from napari_tileseg.cli import main
from napari_tileseg.errors import SettingsError, StoreError
from napari_tileseg.images.image import Image
from napari_tileseg.nets import Description, save_network
from napari_tileseg.prediction import predict_to_store
from napari_tileseg.session.project.network_files import copied
from napari_tileseg.session.project.project import copy_store
from napari_tileseg.settings import PredictSettings
from napari_tileseg.workflows.recipe_file import read_recipe

NOTHING = ("absent.tif", "absent.safetensors")
ADDRESSES = (
    "s3://bucket/x.ome.zarr",
    "gs://bucket/x",
    "az://container/x",
    "http://host/x.zarr",
    "https://host/x.zarr",
    "file:///tmp/x.ome.zarr",
    "memory://x",
    "ftp://host/x",
    "zip::s3://bucket/x.zip",
    "S3://BUCKET/x",
)
#: Verb, its arguments with OUT for the output; what comes before it does not exist.
OUTPUTS = {
    "predict": ("predict", *NOTHING, "-o", "OUT"),
    "finetune": ("finetune", "absent.tif", "absent_labels.tif", "absent.safetensors", "-o", "OUT"),
    "run": ("finetune", "absent.tif", "l.tif", "absent.safetensors", "-o", "n.safetensors", "--run", "OUT"),
    "convert": ("convert", "absent.safetensors", "--calibrate", "absent.tif", "-o", "OUT"),
    "diagnose": ("diagnose", *NOTHING, "-o", "OUT"),
    "heatmap": ("diagnose", *NOTHING, "--heatmap", "OUT"),
    "sweep": ("sweep", *NOTHING, "-o", "OUT"),
    "receptive-field": ("receptive-field", *NOTHING, "-o", "OUT"),
    "sample": ("sample", "OUT", "--shape", "8,16,16"),
    "demo": ("demo", "--headless", "--out", "OUT"),
}
ZARR = (
    ".tif",
    ".TIFF",
    ".h5",
    ".npy",
    ".png",
    ".zip",
    ".ozx",
    ".ome.tif",
    ".n5",
    ".safetensors",
    ".zarr.zip",
)
FOLDER = (".html", ".json", ".zip", ".zarr", ".pdf", ".PNG")
#: Endings that the outputs of a verb may not have.
ENDINGS = {
    "predict": ZARR,
    "heatmap": ZARR,
    "sample": (".h5", ".npy", ".png", ".zip", ".ozx", ".jpg", ".csv", ".nd2"),
    "finetune": (".pt", ".pth", ".zip", ".onnx", ".ckpt", "", ".ome.zarr", ".pt2"),
    "convert": (".pt", ".pth", ".zip", ".onnx", "", ".ome.zarr"),
    "diagnose": FOLDER,
    "sweep": FOLDER,
    "receptive-field": FOLDER,
    "run": (".pt", ".zip", ".safetensors"),
    "demo": (".png", ".zip"),
}


@pytest.fixture(autouse=True)
def empty(tmp_path, monkeypatch):
    """An empty folder, which stays so."""
    monkeypatch.chdir(tmp_path)
    yield
    assert [path for path in tmp_path.rglob("*") if path.name != "recipe.yaml"] == []


def refused(verb, out):
    result = CliRunner().invoke(main, [out if part == "OUT" else part for part in OUTPUTS[verb]] + ["--json"])
    if verb == "demo":  # It has no --json.
        result = CliRunner().invoke(main, [out if part == "OUT" else part for part in OUTPUTS[verb]])
        return result.exit_code, result.stderr
    assert isinstance(result.exception, SystemExit), result.exception
    return result.exit_code, json.loads(result.stdout)["error"]


@pytest.mark.parametrize("verb", OUTPUTS)
@pytest.mark.parametrize("address", ADDRESSES)
def test_an_address_is_refused_before_any_work(verb, address):
    code, message = refused(verb, address)
    assert code == 5
    assert f"got the address {address}" in message
    assert "a path on this machine" in message


@pytest.mark.parametrize(("verb", "ending"), [(verb, end) for verb in ENDINGS for end in ENDINGS[verb]])
def test_an_ending_of_another_format_is_refused_with_the_right_one(verb, ending):
    code, message = refused(verb, f"result{ending}")
    assert code == 5
    right = {"predict": ".ome.zarr", "heatmap": ".ome.zarr", "sample": ".ome.zarr"}
    right |= {"finetune": ".safetensors", "convert": ".safetensors"}
    assert f"'result{ending}'" in message
    assert f"'result{right.get(verb, '')}'" in message


@pytest.mark.parametrize(
    "name", ["out", "cells_0.5", "a.zarr", "a.ome.zarr", "A.ZARR", "2026.11.29", "..", "x/y"]
)
def test_names_of_predictions_that_will_do(name):
    check_output(name, PREDICTION)


@pytest.mark.parametrize(
    ("kind", "name"),
    [(REPORT, "j.doe"), (REPORT, "report"), (RUN, "a.run"), (SAMPLE, "a.TIF"), (NETWORK, "a.b.safetensors")],
)
def test_names_of_others_that_will_do(kind, name):
    check_output(Path(name), kind)


@pytest.mark.skipif(os.name == "nt", reason="a colon is no part of a name there")
@pytest.mark.parametrize("name", ["a:b", "16:30/out", "C:/out", "x: y/out"])
def test_a_colon_alone_is_no_address(name):
    check_output(name, PREDICTION)


def test_python_refuses_the_same(networks):
    image = Image(np.zeros((8, 8), "u1"), "yx")
    for out in ("s3://bucket/x", "x.tif"):
        with pytest.raises(StoreError):
            next(predict_to_store(image, networks["batch"], None, out))
        with pytest.raises(StoreError):
            list(copy_store(Path("absent"), Path(out)))
    for out in ("gs://bucket/x.safetensors", "x.pt"):
        with pytest.raises(StoreError):
            save_network(networks["batch"].module, out, Description(architecture="unet"))
        with pytest.raises(StoreError):
            list(copied(Path("absent"), Path(out)))


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("output", "s3://bucket/n.safetensors"),
        ("output", "n.pth"),
        ("folder", "gs://b/run"),
        ("folder", "r.zip"),
    ],
)
def test_a_recipe_refuses_the_same(tmp_path, key, value):
    given = {"output": "n.safetensors", key: value}
    lines = [f"{name}: {each}" for name, each in given.items()]
    lines += ["classes: [a]", "labels_kind: classes", "architecture: {ndim: 2}"]
    (tmp_path / "recipe.yaml").write_text("\n".join([*lines, "pairs: [{image: a.tif, labels: b.tif}]"]))
    with pytest.raises(SettingsError, match=f"{key} will not do"):
        read_recipe(tmp_path / "recipe.yaml")


@pytest.mark.parametrize(
    ("count", "words"), [(12, "12 B"), (2048, "2.05 KB"), (7e6, "7 MB"), (3.21e11, "321 GB")]
)
def test_room_is_told_in_units_that_fit(tmp_path, monkeypatch, count, words):
    usage = shutil.disk_usage(tmp_path)
    monkeypatch.setattr(shutil, "disk_usage", lambda _: usage._replace(free=count - 1))
    with pytest.raises(StoreError, match=f"needs up to {words} at"):
        check_room(tmp_path / "a" / "b", int(count), "The result", "or not")
    monkeypatch.setattr(shutil, "disk_usage", lambda _: usage._replace(free=count))
    check_room(tmp_path / "a" / "b", int(count), "The result", "or not")


def test_no_unit_is_written_a_thousand_times():
    for power in range(3, 19):
        for count in (10**power - 1, 10**power, 999_499 * 10**power // 10**6):
            number, unit = bytes_words(count).split()
            assert 0 < float(number) < 1000, (count, number, unit)
            assert float(number) >= 1
            assert "e" not in number


@pytest.mark.parametrize("how", ["resampled", "plain"])
def test_room_is_looked_at_before_any_voxel_is_measured(tmp_path, monkeypatch, networks, how):
    class Counted:
        shape, dtype = (64, 64), np.dtype("u1")
        read = 0

        def __getitem__(self, key):
            values = np.zeros(self.shape, self.dtype)[key]
            self.read += values.size
            return values

    usage = shutil.disk_usage(tmp_path)
    monkeypatch.setattr(shutil, "disk_usage", lambda _: usage._replace(free=1000))
    source = Counted()
    image = Image(source, "yx", voxel_size=(1000.0, 1000.0), units=("micrometer",) * 2)
    network = networks["batch"]
    if how == "resampled":
        network = replace(network, spec=replace(network.spec, voxel_size=(1.0, 1.0)))
    settings = PredictSettings(resample=how == "resampled", core=(64, 64), device="cpu")
    words = "check the voxel sizes" if how == "resampled" else "or predict a box"
    with pytest.raises(StoreError, match=words):
        list(predict_to_store(image, network, settings, "out.ome.zarr"))
    fingerprinted = 34 * 16 * 16
    assert source.read <= fingerprinted
