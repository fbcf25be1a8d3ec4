"""``tileseg diagnose``, ``sweep`` and ``receptive-field``: keys, labels, reports, and bad input."""

import json
import re
import shlex
import signal
import sys

import numpy as np
import pytest
import tifffile
import torch
import zarr

from napari_tileseg._progress import Progress
from napari_tileseg.cli.run.diagnosis import Bench
from napari_tileseg.cli.run.interruption import StoppedError, StopSignal
from napari_tileseg.cli.run.progress_bar import ProgressBar
from napari_tileseg.diagnosis import mismatch_heatmap
from napari_tileseg.images import open_image
from napari_tileseg.nets import Description, open_network, save_network
from napari_tileseg.nets.architectures.registry import build
from napari_tileseg.settings import ImageSettings, NetworkSettings, PredictSettings

KEYS = {
    *("classes", "max_dice_mismatch", "max_abs_difference", "seam_free", "pairs", "tile", "halo", "stride"),
    *("causes", "cause", "cure", "commands"),
}
CLASS_KEYS = {
    *("name", "tile_mismatch", "tile_mismatch_thresholded"),
    *("train_eval_disparity", "train_eval_disparity_thresholded"),
}
LABEL_KEYS = {"dice_eval", "dice_train"}
QUICK = ("--shift", "8", "--sample", "2", "--device", "cpu", "--statistics", "tile")


@pytest.fixture(scope="module")
def flat(tmp_path_factory):
    """Folder with a flat image, labels, and a network that is seam-free and one that is not."""
    folder = tmp_path_factory.mktemp("flat")
    rng = np.random.default_rng(0)
    brighter = np.linspace(0, 900, 120)[None, :]
    tifffile.imwrite(folder / "image.tif", (rng.integers(0, 300, (72, 120)) + brighter).astype(np.uint16))
    classes = np.zeros((72, 120), np.uint8)
    classes[10:30, 20:50], classes[40:60, 70:110] = 1, 2
    tifffile.imwrite(folder / "classes.tif", classes)
    tifffile.imwrite(folder / "short.tif", classes[:-1])
    for norm in ("batch", "instance"):
        torch.manual_seed(0)
        arguments = {"ndim": 2, "in_channels": 1, "out_channels": 2, "features": (3, 4), "norm": norm}
        arguments["blocks"] = 1
        save_network(
            build("unet", **arguments),
            folder / f"{norm}.safetensors",
            Description(architecture="unet", arguments=arguments, classes=("soma", "axon")),
        )
    return folder


def diagnose(tileseg, flat, norm, *more):
    return tileseg.json("diagnose", flat / "image.tif", flat / f"{norm}.safetensors", *QUICK, *more)


def test_a_network_without_seams_is_found_so(tileseg, flat):
    code, report = diagnose(tileseg, flat, "batch")
    assert code == 0
    assert report.keys() >= KEYS
    assert report["seam_free"] is True
    assert report["max_abs_difference"] <= report["tolerance"]
    assert (report["causes"], report["pairs"]) == ([], 2)
    assert [each["name"] for each in report["classes"]] == ["soma", "axon"]
    for each in report["classes"]:
        assert each.keys() >= CLASS_KEYS
        assert not each.keys() & LABEL_KEYS


def test_a_network_with_seams_is_found_so_with_its_cause(tileseg, flat):
    code, report = diagnose(tileseg, flat, "instance")
    assert code == 0
    assert report["seam_free"] is False
    first = report["causes"][0]
    assert first.keys() >= {"name", "share", "layers"}
    assert (first["name"], first["share"] >= 0.8) == ("feature normalization", True)
    assert report["cause"] == first["sentence"]
    assert report["cure"].startswith(first["cure"])


def test_labels_add_dice_whatever_they_number(tileseg, flat, tmp_path):
    kind = ("--labels-kind", "classes")
    code, report = diagnose(tileseg, flat, "batch", "--labels", flat / "classes.tif", *kind)
    assert code == 0
    found = [(each["dice_eval"], each["dice_train"]) for each in report["classes"]]
    assert all(0 <= dice <= 1 for pair in found for dice in pair)
    tifffile.imwrite(tmp_path / "other.tif", tifffile.imread(flat / "classes.tif") * 7)
    labels = ("--labels", tmp_path / "other.tif", *kind, "--map", "7=soma,14=axon")
    _, report = diagnose(tileseg, flat, "batch", *labels)
    assert [(each["dice_eval"], each["dice_train"]) for each in report["classes"]] == found


@pytest.mark.parametrize(
    ("labels", "flags", "code", "said"),
    [
        ("short.tif", ("--labels-kind", "classes"), 3, ("72 x 120", "71 x 120")),
        ("classes.tif", (), 2, ("strokes", "classes", "instances")),
        ("classes.tif", ("--labels-kind", "classes", "--map", "1=soma,3=axon"), 3, ("also hold 2.",)),
        ("classes.tif", ("--labels-kind", "instances"), 2, ("soma",)),
        ("classes.tif", ("--labels-kind", "strokes"), 2, ("every voxel",)),
        ("classes.tif", ("--labels-kind", "classes", "--map", "1=soma,1=axon"), 2, ("1 has more",)),
        (None, ("--labels-kind", "classes"), 2, ("give labels",)),
    ],
)
def test_labels_that_do_not_fit_are_refused_with_what_is_wrong(tileseg, flat, labels, flags, code, said):
    given = () if labels is None else ("--labels", flat / labels)
    found, report = diagnose(tileseg, flat, "batch", *given, *flags)
    assert found == code
    assert all(words in report["error"] for words in said)


@pytest.mark.parametrize("norm", ["batch", "instance"])
@pytest.mark.parametrize("how", [(), ("--shift", "64"), ("--everything",)])
def test_an_image_of_one_tile_is_told_to_have_no_seam(tileseg, flat, tmp_path, norm, how):
    tifffile.imwrite(tmp_path / "small.tif", np.zeros((9, 12), np.uint8) + np.arange(12, dtype=np.uint8))
    how = (*how, "--statistics", "tile")
    code, report = tileseg.json("diagnose", tmp_path / "small.tif", flat / f"{norm}.safetensors", *how)
    assert code == 0
    assert (report["seam_free"], report["pairs"], report["max_abs_difference"]) == (True, 0, 0)
    assert report["cause"].startswith("One tile holds the whole image (9 x 12 voxels)")
    assert ("InstanceNorm" in report["cure"]) == (norm == "instance")


def test_the_report_holds_its_pictures_and_the_same_numbers(tileseg, flat, tmp_path):
    folder = tmp_path / "report"
    _, report = diagnose(
        tileseg, flat, "instance", "--labels", flat / "classes.tif", "--labels-kind", "classes", "-o", folder
    )
    assert report["report"] == str(folder / "report.html")
    assert json.loads((folder / "report.json").read_text()) == report
    page = (folder / "report.html").read_text()
    assert page.count('src="data:image/png;base64,') == len(list(folder.glob("*.png"))) >= 4
    assert all(re.findall(r'<img alt="([^"]*)"', page))
    # It is read offline: nothing is fetched.
    assert "http" not in page.replace("data:image", "")
    assert report["cause"] in page
    assert "Not seam-free" in page


def test_a_report_where_a_file_is_is_refused_before_the_work(tileseg, flat):
    code, report = diagnose(tileseg, flat, "batch", "-o", flat / "image.tif")
    assert code == 5
    assert "folder" in report["error"]


@pytest.mark.skipif(sys.platform != "linux", reason="/proc is Linux's")
@pytest.mark.parametrize(("option", "place"), [("-o", "/proc/report"), ("--heatmap", "/proc/new/heat.zarr")])
def test_a_place_that_cannot_be_written_to_is_refused_before_the_work(tileseg, flat, option, place):
    code, report = diagnose(tileseg, flat, "batch", option, place)
    assert (code, report["error"].endswith("Choose another folder.")) == (5, True), report


def test_the_heatmap_of_the_whole_image_is_an_image_in_its_place(tileseg, flat, tmp_path):
    out = tmp_path / "map.ome.zarr"
    size = ("--core", "16,16", "--voxel-size", "0.5,0.25")
    code, report = diagnose(tileseg, flat, "instance", *size, "--heatmap", out)
    assert (code, report["heatmap"]) == (0, str(out))
    written = open_image(out)
    assert (written.shape, written.voxel_size) == ((72, 120), (0.5, 0.25))
    settings = PredictSettings(device="cpu", core=(16, 16), statistics="tile")
    network = open_network(flat / "instance.safetensors")
    expected = mismatch_heatmap(open_image(flat / "image.tif"), network, settings).compute()
    np.testing.assert_array_equal(zarr.open_array(out / "0")[:], expected)
    assert diagnose(tileseg, flat, "instance", *size, "--heatmap", out)[0] == 5


def test_a_person_reads_verdict_table_cause_and_cure(tileseg, flat):
    result = tileseg("diagnose", flat / "image.tif", flat / "instance.safetensors", *QUICK)
    assert result.exit_code == 0
    for words in ("Not seam-free", "soma", "axon", "Cause: ", "Cure: ", "InstanceNorm"):
        assert words in result.stdout
    assert result.stderr == ""


def test_the_cure_comes_with_commands_that_work(tileseg, flat, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    code, report = diagnose(tileseg, flat, "instance", "--core", "16,16", "--normalize", "zero_mean")
    assert code == 0
    predicting, freezing = (shlex.split(each)[1:] for each in report["commands"])
    assert tileseg.json(*predicting)[0] == 0
    assert tileseg.json(*freezing)[0] == 0
    frozen = (
        "frozen.safetensors",
        "-o",
        "other.ome.zarr",
        "--normalize",
        "zero_mean",
        "--device",
        "cpu",
        "--intensities",
        "region",
    )
    assert tileseg.json("predict", flat / "image.tif", *frozen)[0] == 0
    one, other = (
        zarr.open_group(path, mode="r")["0"][...] for path in ("prediction.ome.zarr", "other.ome.zarr")
    )
    np.testing.assert_allclose(one, other, rtol=0, atol=1e-5)
    assert diagnose(tileseg, flat, "batch")[1]["commands"] == []
    said = tileseg("diagnose", flat / "image.tif", flat / "instance.safetensors", *QUICK).stdout
    assert "tileseg predict" in said
    assert "--norm frozen --calibrate" in said


def test_asked_to_stop_it_ends_after_the_step(flat):
    stop = StopSignal("the step at hand", "Start it again.")
    inputs = (str(flat / "image.tif"), str(flat / "batch.safetensors"))
    settings = {"image_settings": ImageSettings(), "network_settings": NetworkSettings()}
    bench = Bench(ProgressBar(quiet=True), stop, *inputs, **settings, settings=PredictSettings())
    taken = []

    def work():
        for number in range(1, 4):
            taken.append(number)
            yield Progress("Trying", number, 3)

    stop.number = signal.SIGTERM
    with pytest.raises(StoppedError, match="start it again") as stopped:
        bench.drive(work())
    assert stopped.value.exit_code == 143
    assert taken == [1]


def test_a_sweep_tells_each_size(tileseg, flat, tmp_path):
    labels = ("--labels", flat / "classes.tif", "--labels-kind", "classes")
    sizes = ("--sizes", "48,64", "--pairs", "1", "--device", "cpu", *labels)
    where = (flat / "image.tif", flat / "instance.safetensors")
    code, report = tileseg.json("sweep", *where, *sizes, "-o", tmp_path / "sweep")
    assert code == 0
    assert [point["size"] for point in report["points"]] == [48, 64]
    assert all(len(point["dice"]) == 2 for point in report["points"])
    assert json.loads((tmp_path / "sweep" / "report.json").read_text()) == report
    code, report = tileseg.json("sweep", *where, "--sizes", "8")
    assert (code, "longer" in report["error"]) == (2, True)


def test_the_receptive_field_is_told_as_numbers_and_as_an_image(tileseg, flat, tmp_path):
    where = (flat / "image.tif", flat / "batch.safetensors", "--tiles", "2", "--device", "cpu")
    code, report = tileseg.json("receptive-field", *where, "-o", tmp_path / "field")
    assert code == 0
    could, does = report["theoretical"], report["effective"]
    assert all(a <= b for a, b in zip(does["extent"], could["extent"], strict=True))
    gradient = tifffile.imread(tmp_path / "field" / "gradient.tif")
    assert gradient.ndim == 2
    assert np.unravel_index(gradient.argmax(), gradient.shape) is not None
    assert "unbounded" not in tileseg("receptive-field", *where).stdout
    unbounded = tileseg("receptive-field", where[0], flat / "instance.safetensors", *where[2:])
    assert "unbounded" in unbounded.stdout
