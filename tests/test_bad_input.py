"""Bad input through the shell: an exit code, words that help, nothing written, nothing lost."""

import builtins
import errno
import hashlib
import io
import json
import os
import pickle
import resource
import shutil
from pathlib import Path

import numpy as np
import pytest
import tifffile
import torch
from click.testing import CliRunner

from napari_tileseg.cli import main
from napari_tileseg.nets import Description, save_network
from napari_tileseg.nets.architectures.registry import build

ARGUMENTS = {"ndim": 3, "in_channels": 1, "out_channels": 2, "features": [4, 8], "norm": "batch"}
ARCHITECTURE = json.dumps({"architecture": "unet", "arguments": ARGUMENTS})
AS_UNET = ("--architecture", ARCHITECTURE)
SHAPE = (12, 20, 16)


class RunsCode:
    """Unpickles by touching a file."""

    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return Path.touch, (self.path,)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """Good and bad images and networks, by name."""
    place = tmp_path_factory.mktemp("input")
    _write_images(place)
    _write_networks(place)
    return place


def _write_images(place):
    voxels = np.random.default_rng(0).integers(0, 1000, SHAPE).astype(np.uint16)
    arrays = {
        "good": voxels,
        "two_channels": np.stack([voxels, voxels]),
        "flat": voxels[0],
        "constant": np.full_like(voxels, 7),
        "empty": voxels[:0],
        "complex": voxels.astype(complex),
        "object": voxels.astype(object),
        "big_endian": voxels.astype(">u2"),
        "bool": voxels > 500,
        "nan": voxels.astype(np.float32),
    }
    arrays["nan"][3, 4, 5:7] = np.nan, np.inf
    for name, array in arrays.items():
        np.save(place / f"{name}.npy", array)
    tifffile.imwrite(place / "cut.tif", voxels)
    whole = (place / "cut.tif").read_bytes()
    (place / "cut.tif").write_bytes(whole[: len(whole) // 2])
    (place / "note.txt").write_text("no image")


def _write_networks(place):
    torch.manual_seed(0)
    network = build("unet", **ARGUMENTS)
    save_network(network, place / "good.safetensors", Description(architecture="unet", arguments=ARGUMENTS))
    whole = (place / "good.safetensors").read_bytes()
    (place / "cut.safetensors").write_bytes(whole[: len(whole) // 2])
    (place / "unknown.bin").write_bytes(b"something else" * 99)
    state = network.state_dict()
    weights = [name for name in state if name.endswith("weight")]
    torch.save(state, place / "state.pt")
    torch.save({k: v for k, v in state.items() if k not in weights[:2]}, place / "missing.pt")
    torch.save({**state, weights[0]: torch.zeros(3, 3)}, place / "shapes.pt")
    torch.save({"epoch": 3}, place / "not_state.pt")
    torch.save(RunsCode(place / "code_has_run"), place / "code.pt")
    (place / "code.pkl").write_bytes(pickle.dumps(RunsCode(place / "code_has_run")))
    convolution = torch.nn.Conv3d(1, 2, 3, padding=1).eval()
    with torch.no_grad():
        traced = torch.jit.trace(convolution, torch.zeros(1, 1, 8, 8, 8))
    traced.save(str(place / "script.pt"))


#: name: (image, network, flags, exit code, words that the message must hold)
CASES = {
    "channels": ("two_channels.npy", "good", ("--axes", "czyx"), 3, ("1 channel", "2", "--channel")),
    "dimensions": ("flat.npy", "good", (), 4, ("zyx", "yx", "2D network")),
    "no image": ("absent.tif", "good", (), 3, ("absent.tif", "no such file")),
    "unknown image": ("note.txt", "good", (), 3, ("note.txt", "OME-Zarr", "TIFF", "HDF5")),
    "cut image": ("cut.tif", "good", (), 3, ("cut.tif", "cut off", "again")),
    "nan": ("nan.npy", "good", (), 3, ("2", "NaN or infinite", "3,4,5", "nonfinite")),
    "empty": ("empty.npy", "good", (), 3, ("one voxel", "empty", "0 x 20 x 16")),
    "constant": ("constant.npy", "good", (), 3, ("contrast", "7 everywhere", "range")),
    "complex": ("complex.npy", "good", (), 3, ("real numbers", "complex128", "magnitude")),
    "object": ("object.npy", "good", (), 3, ("numbers", "object")),
    "no network": ("good.npy", "absent.pt", (), 4, ("absent.pt", "no such file")),
    "no sample": ("good.npy", "sample:absent", (), 4, ("'absent'", "there are")),
    "unknown network": ("good.npy", "unknown.bin", (), 4, ("unknown.bin", ".safetensors", "TorchScript")),
    "cut network": ("good.npy", "cut.safetensors", (), 4, ("complete", "again")),
    "not a state dict": (
        "good.npy",
        "not_state.pt",
        AS_UNET,
        4,
        ("tensors", "'epoch' (int)", "state_dict()"),
    ),
    "code": ("good.npy", "code.pt", AS_UNET, 4, ("code.pt", "state_dict()")),
    "plain pickle": ("good.npy", "code.pkl", AS_UNET, 4, ("code.pkl", "state_dict()")),
    "untrusted": ("good.npy", "script.pt", (), 4, ("TorchScript", "runs the code", "--trust-sha256")),
    "no architecture": ("good.npy", "state.pt", (), 4, ("which network", "state.json", "architecture")),
    "missing weights": ("good.npy", "missing.pt", AS_UNET, 4, ("2 weights", "missing", ".weight")),
    "shapes": ("good.npy", "shapes.pt", AS_UNET, 4, ("1 weights of another shape", "3 x 3")),
    "core off the stride": ("good.npy", "good", ("--core", "3,4,4"), 2, ("multiple", "3,4,4", "2 or 4")),
    "core of two": ("good.npy", "good", ("--core", "4,4"), 2, ("z, y, x", "got 4,4")),
    "halo of two": ("good.npy", "good", ("--halo", "4,4"), 2, ("z, y, x", "got 4:4,4:4")),
    "negative halo": ("good.npy", "good", ("--halo", "-4,4,4"), 2, ("halo", "0 or more")),
    "box outside": ("good.npy", "good", ("--box", "0:99,0:4,0:4"), 2, ("12 x 20 x 16", "0:99")),
    "level": ("good.npy", "good", ("--level", "3"), 3, ("levels 0", "got level 3")),
    "channel": ("good.npy", "good", ("--channel", "3"), 3, ("channels 0 to 0", "3")),
    "axes": ("good.npy", "good", ("--axes", "zy"), 2, ("t, c, z, y, x", "'zy'")),
    "device": ("good.npy", "good", ("--device", "toaster"), 6, ("cpu", "'toaster'")),
    "no range": ("good.npy", "good", ("--normalize", "range"), 2, ("range",)),
}


def run(folder, image, network, flags, out):
    """Exit code, message and whether stdout was a single object that holds it."""
    network = network if ":" in network else str(folder / network)
    network += "" if Path(network).suffix or ":" in network else ".safetensors"
    args = ["predict", str(folder / image), network, "-o", str(out), *flags, "--json"]
    result = CliRunner().invoke(main, args)
    assert result.exception is None or isinstance(result.exception, SystemExit), result.exception
    return result.exit_code, json.loads(result.stdout)


def contents(folder):
    """Every file below a folder, and what is in it."""
    return {path: path.is_file() and path.read_bytes() for path in folder.rglob("*")}


@pytest.mark.parametrize(("image", "network", "flags", "code", "words"), CASES.values(), ids=CASES)
def test_the_message_says_what_was_expected_and_nothing_is_written(
    folder, tmp_path, image, network, flags, code, words
):
    before = contents(folder)
    ended, answer = run(folder, image, network, flags, tmp_path / "out.ome.zarr")
    assert (ended, list(answer)) == (code, ["error"]), answer
    message = answer["error"]
    assert [word for word in words if word not in message] == [], message
    assert message.endswith((".", "}", ".pt"))
    assert "weights_only" not in message, "advice of torch to run the code in a file"
    assert not list(tmp_path.iterdir())
    assert contents(folder) == before, "no input is changed, and no code of an input has run"


@pytest.mark.parametrize("name", ["big_endian", "bool"])
def test_every_kind_of_number_just_works(folder, tmp_path, name):
    code, report = run(folder, f"{name}.npy", "good", (), tmp_path / "out.ome.zarr")
    assert (code, report["tiles_computed"]) == (0, 1)


def test_nan_may_be_taken_as_zero(folder, tmp_path):
    code, _ = run(folder, "nan.npy", "good", ("--nonfinite", "zero"), tmp_path / "out.ome.zarr")
    assert code == 0


def test_a_trusted_torchscript_file_runs(folder, tmp_path, monkeypatch):
    # Trust is remembered, and other tests open the same file without.
    monkeypatch.setenv("TILESEG_HOME", str(tmp_path / "home"))
    trusted = hashlib.sha256((folder / "script.pt").read_bytes()).hexdigest()
    flags = ("--trust-sha256", trusted)
    code, report = run(folder, "good.npy", "script.pt", flags, tmp_path / "out.ome.zarr")
    assert code == 0
    assert report["network_sha256"] == trusted
    code, _ = run(folder, "good.npy", "script.pt", ("--trust-sha256", "0" * 64), tmp_path / "other.zarr")
    assert code == 4


@pytest.mark.parametrize("kind", ["file", "folder", "image", "another prediction"])
def test_what_is_at_the_output_already_stays(folder, tmp_path, kind):
    out = tmp_path / "out.ome.zarr"
    if kind == "file":
        out.write_text("mine")
    elif kind == "folder":
        out.mkdir()
        (out / "mine.txt").write_text("mine")
    elif kind == "image":
        CliRunner().invoke(main, ["sample", str(out), "--shape", "8,32,32"])
    else:
        assert run(folder, "good.npy", "good", ("--dtype", "float64"), out)[0] == 0
    before = contents(tmp_path)
    assert before
    code, answer = run(folder, "good.npy", "good", (), out)
    assert code == 5
    assert "out.ome.zarr" in answer["error"]
    assert "hoose another location" in answer["error"]
    assert contents(tmp_path) == before


def test_too_little_space_is_said_before_anything_is_written(folder, tmp_path, monkeypatch):
    monkeypatch.setattr(shutil, "disk_usage", lambda _: shutil._ntuple_diskusage(2**30, 2**30 - 99, 99))
    code, answer = run(folder, "good.npy", "good", (), tmp_path / "new" / "out.ome.zarr")
    assert code == 5
    assert "free" in answer["error"]
    assert not list(tmp_path.iterdir())


def test_a_disk_that_fills_up_keeps_what_is_done(folder, tmp_path):
    # A limit on the size of files fails in write() as a full disk does, once the chunks outgrow it.
    out = tmp_path / "out.ome.zarr"
    flags = ("--core", "12,20,16")
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (8192, limits[1]))
    try:
        code, answer = run(folder, "good.npy", "good", flags, out)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    assert code == 5
    assert "full" in answer["error"]
    assert "same command again" in answer["error"]
    code, report = run(folder, "good.npy", "good", flags, out)
    assert (code, report["tiles_computed"]) == (0, 1)


@pytest.mark.skipif(os.name == "nt", reason="Windows has no such folder permissions")
def test_a_place_that_cannot_be_written_is_said(folder, tmp_path):
    (tmp_path / "file").write_text("mine")
    code, answer = run(folder, "good.npy", "good", (), tmp_path / "file" / "out.ome.zarr")
    assert code == 5
    assert "Choose another location" in answer["error"]


def lock(monkeypatch, locked, calls):
    """Let the operating system refuse all below a place, as it does who may not go there, root included."""

    def refusing(call):
        def guarded(place, *args, **kwargs):
            named = isinstance(place, (str, os.PathLike))
            if named and Path(place).absolute().is_relative_to(locked):
                raise PermissionError(errno.EACCES, os.strerror(errno.EACCES), str(place))
            return call(place, *args, **kwargs)

        return guarded

    for module, name in calls:
        monkeypatch.setattr(module, name, refusing(getattr(module, name)))


#: A file that may be seen and not be read; a folder that may not even be looked into.
READING = ((io, "open"), (builtins, "open"), (os, "open"), (os, "listdir"), (os, "mkdir"))
LOOKING = (*READING, (os, "stat"), (os, "scandir"))


#: Found out at once, and with what kind of place.
PLACES = [
    (("predict", "LOCKED/good.npy", "good.safetensors", "-o", "out.ome.zarr"), 3),
    (("predict", "good.npy", "LOCKED/good.safetensors", "-o", "out.ome.zarr"), 4),
    (("predict", "good.npy", "good.safetensors", "-o", "LOCKED/out.ome.zarr"), 5),
    (("predict", "good.npy", "good.safetensors", "-o", "LOCKED/begun.ome.zarr"), 5),
    (("inspect", "LOCKED/good.safetensors"), 4),
    (("train", "LOCKED/recipe.yaml"), 2),
    (("finetune", "good.npy", "LOCKED/good.npy", "good.safetensors", "-o", "new.safetensors"), 3),
    (("sample", "LOCKED/sample.tif", "--shape", "8,9,9"), 5),
]
#: Written at the end: beforehand only a place that may not be looked into is found out.
OUTPUTS = [
    (("finetune", "good.npy", "good.npy", "good.safetensors", "-o", "LOCKED/new.safetensors"), 5),
    (("diagnose", "good.npy", "good.safetensors", "-o", "LOCKED/report"), 5),
    (("diagnose", "good.npy", "good.safetensors", "--heatmap", "LOCKED/heatmap.zarr"), 5),
]


@pytest.mark.parametrize(
    ("args", "code", "calls"),
    [(*each, READING) for each in PLACES] + [(*each, LOOKING) for each in PLACES + OUTPUTS],
)
def test_a_place_that_is_not_open_to_us_is_said(folder, tmp_path, monkeypatch, args, code, calls):
    for name in ("good.npy", "good.safetensors"):
        for place in (tmp_path, tmp_path / "LOCKED"):
            place.mkdir(exist_ok=True)
            shutil.copy(folder / name, place)
    (tmp_path / "LOCKED" / "recipe.yaml").write_text("output: a.safetensors")
    (tmp_path / "LOCKED" / "begun.ome.zarr").mkdir()
    (tmp_path / "LOCKED" / "begun.ome.zarr" / "zarr.json").write_text("{}")
    monkeypatch.chdir(tmp_path)
    before = contents(tmp_path)
    with monkeypatch.context() as patch:
        lock(patch, tmp_path / "LOCKED", calls)
        result = CliRunner().invoke(main, [*args, "--json"])
    assert isinstance(result.exception, SystemExit), result.exception
    assert result.exit_code == code, result.output
    (message,) = json.loads(result.stdout).values()
    assert "Permission denied" in message
    assert "LOCKED" in message
    assert contents(tmp_path) == before


def test_levels_that_are_listed_and_missing_are_passed_over(data_dir, tmp_path):
    """The real image lists a level that is not there: the others work, and one too many is refused."""
    (image,) = (data_dir / "cardiomyocyte_omezarr_2d").glob("*.zarr")
    args = ("--channel", "0", "--level")
    network = "sample:cells_2d_batch_renorm"
    code, answer = run(Path("/"), image, network, (*args, "3"), tmp_path / "out.ome.zarr")
    assert code == 3
    assert "levels 0 (3 x 1 x 1080 x 1280)" in answer["error"]
    assert "got level 3" in answer["error"]
    assert not list(tmp_path.iterdir())
    code, report = run(Path("/"), image, network, (*args, "2"), tmp_path / "out.ome.zarr")
    assert (code, report["shape"]) == (0, [1, 270, 320])
