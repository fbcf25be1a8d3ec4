"""``tileseg finetune``, ``train`` and ``convert`` as a user calls them."""

import json
import shutil
import signal
import sys
import time
from pathlib import Path

import numpy as np
import pytest
import tifffile
import torch
import zarr
from safetensors.torch import load_file

from napari_tileseg.labels import read_targets
from napari_tileseg.nets import Description, open_network, save_network
from napari_tileseg.nets.architectures.registry import build
from napari_tileseg.samples import cells_image
from napari_tileseg.settings import LabelSettings

EXAMPLE = Path(__file__).resolve().parents[3] / "docs" / "examples" / "nuclei.yaml"
KEYS = {
    *("output", "kept", "steps", "seconds", "reason", "phase", "before", "after", "normalization", "run"),
    *("network_sha256", "parent_sha256", "notes", "converted"),
}
NUMBERS = {"loss", "dice", "tile_mismatch", "train_eval_disparity"}
QUICK = ("--steps", "3", "--patch", "16,16", "--device", "cpu", "--labels-kind", "strokes")


@pytest.fixture(scope="module")
def painted(tmp_path_factory):
    """Folder with a flat image of bright discs, strokes, and networks with and without seams."""
    folder = tmp_path_factory.mktemp("painted")
    rng = np.random.default_rng(0)
    rows, columns = np.mgrid[:72, :120]
    inside = ((rows % 24 - 12) ** 2 + (columns % 24 - 12) ** 2) < 49
    tifffile.imwrite(folder / "image.tif", (rng.normal(100, 10, (72, 120)) + 80 * inside).astype(np.uint16))
    strokes = np.zeros((72, 120), np.uint8)
    for row, column in ((12, 8), (12, 56), (36, 80), (60, 32)):
        strokes[row, column : column + 8] = 1
    for row, column in ((0, 4), (24, 40), (48, 90), (71, 10)):
        strokes[row, column : column + 12] = 2
    tifffile.imwrite(folder / "strokes.tif", strokes)
    for norm in ("batch_renorm", "instance"):
        torch.manual_seed(0)
        arguments = {"ndim": 2, "in_channels": 1, "out_channels": 1, "features": (3, 4), "norm": norm}
        arguments["blocks"] = 1
        save_network(
            build("unet", **arguments),
            folder / f"{norm}.safetensors",
            Description(architecture="unet", arguments=arguments, classes=("disc",)),
        )
    return folder


@pytest.fixture
def finetune(tileseg, painted, tmp_path):
    """Run the verb on the painted image; give its exit code and its answer."""

    def run(*more, labels="strokes.tif", network="instance", quick=QUICK):
        where = (painted / "image.tif", painted / labels, painted / f"{network}.safetensors")
        return tileseg.json("finetune", *where, "-o", tmp_path / "new.safetensors", *quick, *more)

    return run


def test_a_network_with_seams_becomes_one_without(finetune, painted):
    code, report = finetune()
    assert code == 0, report
    assert report.keys() >= KEYS
    assert (report["steps"], report["reason"]) == (3, "done")
    for when in ("before", "after"):
        assert report[when].keys() >= NUMBERS
        assert [each["name"] for each in report[when]["classes"]] == ["disc"]
    assert (report["before"]["seam_free"], report["after"]["seam_free"]) == (False, True)
    assert (report["normalization_before"], report["normalization"]) == ({"instance": 3}, {"batch_renorm": 3})
    assert len(report["converted"]["layers"]) == 3
    written = open_network(report["output"])
    assert (written.sha256, written.spec.seam_free) == (report["network_sha256"], True)
    assert report["parent_sha256"] == open_network(painted / "instance.safetensors").sha256


def test_learning_helps_on_strokes_that_were_held_out(finetune):
    code, report = finetune("--steps", "60", "--learning-rate", "0.01", network="batch_renorm")
    assert code == 0, report
    assert report["converted"] is None
    assert report["after"]["loss"] < report["before"]["loss"]


def test_a_person_reads_both_columns(tileseg, painted, tmp_path):
    where = (painted / "image.tif", painted / "strokes.tif", painted / "instance.safetensors")
    result = tileseg("finetune", *where, "-o", tmp_path / "new.safetensors", *QUICK)
    assert result.exit_code == 0
    for words in ("before", "after", "Dice on held-out strokes", "tile mismatch", "3 batch_renorm"):
        assert words in result.stdout


@pytest.mark.parametrize(
    ("more", "kept"),
    [(("--held-out", "0"), "last"), (("--keep", "last"), "last"), ((), "best")],
)
def test_text_and_json_say_once_what_was_kept(tileseg, finetune, painted, tmp_path, more, kept):
    code, report = finetune(*more)
    assert (code, report["kept"]) == (0, kept), report
    assert (report["better"] is None) == (more[:1] == ("--held-out",))
    where = (painted / "image.tif", painted / "strokes.tif", painted / "instance.safetensors")
    result = tileseg("finetune", *where, "-o", tmp_path / "other.safetensors", *QUICK, *more)
    said = result.stdout.split("; ")[1].splitlines()[0]
    if report["kept_step"] == 0:
        assert said == "the weights before the first step are kept"
    else:
        assert said == f"the {kept} weights are kept, those after step {report['kept_step']}"
    assert result.stdout.count(" kept") == 1
    assert report["verdict"] in result.stdout
    assert ("Dice on labels it learned from" in result.stdout) == (report["better"] is None)


def test_a_training_that_made_it_worse_says_so(tileseg, tmp_path):
    cells = cells_image((96, 96), seed=2)
    instances = LabelSettings(labels_kind="instances")
    right = read_targets(cells.labels, ("foreground", "boundary"), instances, (96, 96))
    strokes = np.zeros((96, 96), np.uint8)
    strokes[8::20] = right.index[8::20] + 1
    tifffile.imwrite(tmp_path / "image.tif", cells.image)
    tifffile.imwrite(tmp_path / "strokes.tif", strokes)
    where = (tmp_path / "image.tif", tmp_path / "strokes.tif", "sample:cells_2d_batch_renorm")
    harm = ("--steps", "3", "--learning-rate", "1", "--keep", "last", "--remember", "0")
    code, report = tileseg.json("finetune", *where, "-o", tmp_path / "bad.safetensors", *QUICK, *harm)
    assert (code, report["better"]) == (0, False), report
    assert report["verdict"].startswith("Worse on what was held out: Dice 0.")
    assert ("little to compare by" in report["verdict"]) == (report["after"]["held_out_strokes"] < 10)


def test_curves_are_drawn_for_tensorboard_where_that_is_asked_for(finetune, tmp_path):
    assert finetune("--curves", "tensorboard")[0] == 0
    assert list((tmp_path / "new.run" / "tensorboard").glob("events.*"))
    assert (tmp_path / "new.run" / "curve.csv").stat().st_size > 0


def paint(folder, name, values):
    labels = np.zeros((72, 120), np.uint8)
    for number, value in enumerate(values):
        labels[10 * number + 5, 5:15] = value
    tifffile.imwrite(folder / name, labels)


@pytest.mark.parametrize(
    ("values", "more", "code", "said"),
    [
        ((), (), 3, "no stroke"),
        ((1, 1), (), 3, "Paint strokes of another class"),
        ((1, 2, 7), (), 3, "7"),
        ((1, 2), ("--map", "1=disk,2=background"), 2, "disc, background; got disk"),
        ((1, 2), ("--labels-kind", "objects"), 2, "labels_kind is one of strokes, classes, instances"),
        ((1, 2), ("--minutes", "1"), 2, "minutes"),
        ((1, 2), ("--patch", "4,4,4"), 2, "patch"),
        ((1, 2), ("--patch", "3,3"), 2, "patch"),
        ((1, 2), ("--device", "cuda:77"), 6, "cuda"),
    ],
)
def test_labels_and_settings_that_will_not_do_are_refused(finetune, painted, values, more, code, said):
    paint(painted, "other.tif", values)
    found, report = finetune(*more, labels="other.tif")
    assert (found, said in report["error"]) == (code, True), report


@pytest.mark.parametrize(
    ("kind", "fill", "network"),
    [
        ("instances", 0, "sample:cells_2d_batch_renorm"),
        ("instances", 3, "sample:cells_2d_batch_renorm"),
        ("classes", 0, "batch_renorm.safetensors"),
        ("classes", 1, "batch_renorm.safetensors"),
    ],
)
def test_labels_without_an_object_are_refused_before_the_work(
    tileseg, painted, tmp_path, kind, fill, network
):
    tifffile.imwrite(tmp_path / "labels.tif", np.full((72, 120), fill, np.uint8))
    opened = network if network.startswith("sample:") else painted / network
    where = (painted / "image.tif", tmp_path / "labels.tif", opened)
    out = tmp_path / "new.safetensors"
    code, report = tileseg.json("finetune", *where, "-o", out, *QUICK[:-1], kind)
    assert (code, "right labels?" in report["error"]) == (3, True), report
    assert not out.exists()
    assert not (tmp_path / "new.run" / "last.pt").exists()


def test_a_recipe_of_images_without_any_object_is_refused(tileseg, tmp_path):
    for name in ("one", "two"):
        assert tileseg("sample", tmp_path / f"{name}.ome.zarr", "--shape", "12,32,32").exit_code == 0
        np.save(tmp_path / f"{name}.npy", np.zeros((12, 32, 32), np.uint8))
    pairs = "".join(f"\n  - {{image: {n}.ome.zarr, labels: {n}.npy}}" for n in ("one", "two"))
    (tmp_path / "empty.yaml").write_text(
        f"output: new.safetensors\npairs:{pairs}\nclasses: [foreground, boundary]\n"
        "labels_kind: instances\narchitecture: {name: unet, ndim: 3, features: [2, 3]}\n"
    )
    code, report = tileseg.json("train", tmp_path / "empty.yaml")
    assert (code, "hold no object" in report["error"]) == (3, True), report


def test_labels_on_another_grid_are_refused(finetune, painted):
    tifffile.imwrite(painted / "short.tif", np.ones((71, 120), np.uint8))
    code, report = finetune(labels="short.tif")
    assert (code, "72 x 120" in report["error"], "71 x 120" in report["error"]) == (3, True, True)


def test_what_labels_hold_has_to_be_said(finetune):
    code, report = finetune(quick=QUICK[:-2])
    assert (code, "--labels-kind" in report["error"]) == (2, True)


#: A folder that is there, and nobody can write to, not even an administrator.
needs_proc = pytest.mark.skipif(sys.platform != "linux", reason="/proc is Linux's")


def test_a_torchscript_network_is_told_what_is_needed_instead(tileseg, painted, tmp_path):
    module = open_network(painted / "batch_renorm.safetensors").module
    traced = torch.jit.trace(module, torch.zeros(1, 1, 16, 16))
    torch.jit.save(torch.jit.freeze(traced), tmp_path / "frozen.pt")
    (tmp_path / "frozen.json").write_text(
        json.dumps({"axes": "yx", "in_channels": 1, "classes": ["disc"], "activation": "sigmoid"})
    )
    where = (painted / "image.tif", painted / "strokes.tif", tmp_path / "frozen.pt")
    _, report = tileseg.json("inspect", tmp_path / "frozen.pt")
    trust = ("--trust-sha256", report["error"].split("SHA-256, which is ")[1].split()[0])
    code, report = tileseg.json("finetune", *where, "-o", tmp_path / "new.safetensors", *QUICK, *trust)
    assert (code, "torchscript file" in report["error"]) == (4, True), report


@pytest.mark.parametrize(
    ("out", "said"),
    [
        ("new.pt", ".safetensors"),
        ("none/new.safetensors", "is not a folder"),
        pytest.param("/proc/new.safetensors", "/proc cannot be written to", marks=needs_proc),
    ],
)
def test_a_place_that_will_not_do_is_refused_before_the_work(tileseg, painted, tmp_path, out, said):
    where = (painted / "image.tif", painted / "strokes.tif", painted / "instance.safetensors")
    code, report = tileseg.json("finetune", *where, "-o", tmp_path / out, *QUICK)
    assert (code, said in report["error"]) == (5, True)
    assert list(tmp_path.iterdir()) == []


def test_a_loss_that_becomes_nan_ends_with_good_weights_and_advice(tileseg, painted, tmp_path):
    # Float16 holds no such intensities: the first convolution gives infinity.
    bright = tifffile.imread(painted / "image.tif").astype(np.float32) * 1e4
    tifffile.imwrite(tmp_path / "bright.tif", bright)
    where = (tmp_path / "bright.tif", painted / "strokes.tif", painted / "batch_renorm.safetensors")
    out = ("-o", tmp_path / "new.safetensors", "--normalize", "none", "--dtype", "float16")
    code, report = tileseg.json("finetune", *where, *out, *QUICK)
    assert code == 4, report
    assert "new.safetensors" in report["error"]
    assert "learning rate" in report["error"]
    open_network(tmp_path / "new.safetensors")


def until_steps(folder, steps, process):
    """Wait until a run has taken some steps."""
    curve = folder / "curve.csv"
    while process.poll() is None and not (curve.exists() and curve.read_text().count("\n") > steps):
        time.sleep(0.02)
    assert process.poll() is None, process.communicate()


def test_stopped_by_ctrl_c_it_goes_on_to_the_same_result(tileseg, painted, tmp_path):
    where = (painted / "image.tif", painted / "strokes.tif", painted / "instance.safetensors")
    steps = (*QUICK, "--steps", "120", "--json")
    whole, parts = tmp_path / "whole.safetensors", tmp_path / "parts.safetensors"
    # The curve is written with each checkpoint.
    process = tileseg.process("finetune", *where, "-o", parts, *steps, "--checkpoint-every", "0")
    until_steps(tmp_path / "parts.run", 10, process)
    process.send_signal(signal.SIGINT)
    stdout, stderr = process.communicate(timeout=60)
    assert (process.returncode, "--resume" in json.loads(stdout)["error"]) == (130, True), stderr
    assert not parts.exists()
    code, report = tileseg.json("finetune", *where, "-o", parts, *steps[:-1])
    assert (code, "--restart" in report["error"]) == (5, True)
    code, report = tileseg.json("finetune", *where, "-o", parts, *steps[:-1], "--resume", "--seed", "5")
    assert (code, "begun with seed 0" in report["error"]) == (2, True)
    other = (*where[:2], painted / "batch_renorm.safetensors")
    code, report = tileseg.json("finetune", *other, "-o", parts, *steps[:-1], "--resume")
    assert (code, "begun from another network" in report["error"]) == (2, True)
    code, resumed = tileseg.json("finetune", *where, "-o", parts, *steps[:-1], "--resume")
    assert (code, resumed.get("steps")) == (0, 120), resumed
    code, undisturbed = tileseg.json("finetune", *where, "-o", whole, *steps[:-1])
    assert code == 0
    assert {k: resumed[k] for k in ("before", "after")} == {k: undisturbed[k] for k in ("before", "after")}
    for name, value in load_file(whole).items():
        torch.testing.assert_close(load_file(parts)[name], value, rtol=0, atol=0)


def test_the_recipe_of_the_documentation_runs(tileseg, tmp_path):
    recipe = EXAMPLE.read_text()
    for number, name in enumerate(("one", "two", "three")):
        made = tileseg("sample", tmp_path / f"{name}.ome.zarr", "--shape", "12,32,32", "--seed", number)
        assert made.exit_code == 0
    for usual, quick in (("steps: 300", "steps: 2"), ("[16, 48, 48]", "[8, 16, 16]")):
        assert usual in recipe
        recipe = recipe.replace(usual, quick)
    (tmp_path / "nuclei.yaml").write_text(recipe)
    code, report = tileseg.json("train", tmp_path / "nuclei.yaml")
    assert code == 0, report
    assert (report["steps"], report["normalization"]) == (2, {"batch_renorm": 10})
    assert [each["name"] for each in report["classes"]] == ["foreground", "boundary"]
    assert 0 <= report["dice"] <= 1
    network = open_network(tmp_path / "nuclei.safetensors")
    assert network.spec.voxel_size == (1.75, 0.8, 0.8)


def test_a_recipe_that_is_wrong_names_the_key(tileseg, tmp_path):
    shutil.copy(EXAMPLE, tmp_path / "nuclei.yaml")
    with (tmp_path / "nuclei.yaml").open("a") as file:
        file.write("trainin: {steps: 2}\n")
    code, report = tileseg.json("train", tmp_path / "nuclei.yaml")
    assert (code, "Did you mean training?" in report["error"]) == (2, True)


def test_conversion_alone_makes_a_network_without_seams_and_says_what_it_changed(tileseg, painted, tmp_path):
    where = ("--calibrate", painted / "image.tif", "-o", tmp_path / "new.safetensors")
    code, report = tileseg.json("convert", painted / "instance.safetensors", *where, "--device", "cpu")
    assert code == 0, report
    assert (report["seam_free"], report["normalization"]) == (True, {"batch_renorm": 3})
    assert 0 < report["classes"][0]["dice"] <= 1
    assert 0 < report["max_abs_difference"] < 1
    assert open_network(tmp_path / "new.safetensors").sha256 == report["network_sha256"]
    code, report = tileseg.json("convert", tmp_path / "new.safetensors", *where)
    assert (code, "no layer to convert" in report["error"]) == (4, True)


def test_a_frozen_network_predicts_what_fixed_statistics_do(tileseg, painted, tmp_path):
    image, network, new = (
        painted / "image.tif",
        painted / "instance.safetensors",
        tmp_path / "new.safetensors",
    )
    box = ("--region", "8:72,12:90")
    where = ("--norm", "frozen", "--calibrate", image, "-o", new, "--device", "cpu")
    code, report = tileseg.json("convert", network, *where, *box)
    assert code == 0, report
    assert (report["seam_free"], report["normalization"], len(report["layers"])) == (True, {"batch": 3}, 3)
    assert report["statistics_of"][0]["image"] == str(image)
    assert report["statistics_of"][0]["region"] == [[8, 72], [12, 90]]
    assert open_network(new).sha256 == report["network_sha256"]
    for each, how in ((network, ("--statistics", "region")), (new, ("--intensities", "region"))):
        out = tmp_path / f"{each.stem}.ome.zarr"
        assert tileseg.json("predict", image, each, *how, *box, "--device", "cpu", "-o", out)[0] == 0
    one, other = (
        zarr.open_group(tmp_path / f"{name}.ome.zarr", mode="r")["0"][...] for name in ("instance", "new")
    )
    np.testing.assert_allclose(one, other, rtol=0, atol=1e-5)
    code, report = tileseg.json("convert", new, *where[:-2])
    assert (code, "no layer to freeze" in report["error"]) == (4, True)


def test_several_images_can_be_calibrated_on_and_regions_are_for_frozen_networks(tileseg, painted, tmp_path):
    image, network = painted / "image.tif", painted / "instance.safetensors"
    where = ("--calibrate", image, "--calibrate", image, "-o", tmp_path / "a.safetensors", "--device", "cpu")
    code, report = tileseg.json("convert", network, "--norm", "frozen", *where)
    assert (code, len(report["statistics_of"])) == (0, 2)
    code, report = tileseg.json("convert", network, *where)
    assert (code, report["normalization"]) == (0, {"batch_renorm": 3})
    code, report = tileseg.json("convert", network, *where, "--statistics", "whole")
    assert (code, "is for --norm frozen" in report["error"]) == (2, True)
