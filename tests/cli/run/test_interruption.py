"""Ctrl-C on real processes that are stuck: the first is answered, the second ends them at once."""

import json
import os
import signal
import subprocess
import sys
import threading
from contextlib import contextmanager

import pytest

from napari_tileseg.prediction import open_prediction

#: Seconds after which a process that does not end is killed, and the test has failed.
PATIENCE = 120
#: The third tile is never there.
STUCK_IN_A_TILE = """
import sys, threading
from napari_tileseg.cli import main
from napari_tileseg.prediction.tile_work import TileWork
compute, done = TileWork._compute, []
def stuck(self, *given):
    if len(done) == 2:
        print("stuck", file=sys.stderr, flush=True)
        threading.Event().wait()
    done.append(1)
    return compute(self, *given)
TileWork._compute = stuck
main(sys.argv[1:])
"""
#: No step is ever there.
STUCK_IN_A_STEP = """
import sys, threading
from napari_tileseg.cli import main
from napari_tileseg.cli.run.progress_bar import ProgressBar
def stuck(self):
    print("stuck", file=sys.stderr, flush=True)
    threading.Event().wait()
ProgressBar.__enter__ = stuck
main(sys.argv[1:])
"""
RECIPE = """
output: {out}
classes: [one]
labels_kind: classes
architecture: {{name: unet, ndim: 3}}
pairs: [{{image: a.tif, labels: b.tif}}]
"""


@contextmanager
def started(code, *args):
    """A process that has got stuck; it is gone afterwards."""
    command = [sys.executable, "-c", code, *map(str, args)]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    # What is never answered fails, and does not wait for ever.
    watchdog = threading.Timer(PATIENCE, process.kill)
    watchdog.start()
    try:
        for line in process.stderr:
            if line == "stuck\n":
                break
        yield process
    finally:
        watchdog.cancel()
        watchdog.join()
        process.kill()
        process.communicate()


def stop_twice(process):
    """Its answer to the first signal, and its exit code and all that it writes after the second one."""
    process.send_signal(signal.SIGINT)
    first = process.stderr.readline()
    assert process.poll() is None
    process.send_signal(signal.SIGINT)
    stdout, stderr = process.communicate()
    return first, process.returncode, stdout, stderr


@pytest.mark.parametrize("as_json", [False, True])
def test_a_second_ctrl_c_waits_for_no_tile_and_loses_none(tileseg, small, tmp_path, as_json):
    out = tmp_path / "out.ome.zarr"
    core = ("--core", "4,4,4", "--device", "cpu")
    job = ("predict", small / "image.tif", small / "network.safetensors", "-o", out, *core)
    with started(STUCK_IN_A_TILE, *job, *(["--json"] if as_json else [])) as process:
        first, code, stdout, stderr = stop_twice(process)
    assert first == "Stopping: the tile at hand is finished first. Ctrl-C again stops at once.\n"
    assert code == 130
    words = "Stopped at once. The tiles on the disk are kept: run the same command again to compute the rest."
    if as_json:
        assert (json.loads(stdout), stderr) == ({"error": words}, "")
    else:
        assert (stdout, stderr) == ("", f"Error: {words}\n")
    done = len(open_prediction(out).done())
    code, report = tileseg.json(*job)
    assert (code, report["tiles_computed"]) == (0, report["tiles"] - done)


@pytest.mark.parametrize(
    ("verb", "words"),
    [("diagnose", "start it again"), ("finetune", "--resume"), ("train", "--resume"), ("convert", "again")],
)
def test_every_verb_has_its_words(small, tmp_path, verb, words):
    image, network, out = small / "image.tif", small / "network.safetensors", tmp_path / "new.safetensors"
    (tmp_path / "recipe.yaml").write_text(RECIPE.format(out=out))
    args = {
        "diagnose": (image, network),
        "finetune": (image, image, network, "-o", out),
        "train": (tmp_path / "recipe.yaml",),
        "convert": (network, "--calibrate", image, "-o", out),
    }
    with started(STUCK_IN_A_STEP, verb, *args[verb]) as process:
        first, code, stdout, stderr = stop_twice(process)
    assert (code, stdout) == (130, "")
    assert first == "Stopping: the step at hand is finished first. Ctrl-C again stops at once.\n"
    assert stderr.startswith("Error: Stopped at once. ")
    assert words in stderr


#: A module that takes its time to be imported, and swallows whatever is raised meanwhile.
SLOW = """
import sys, threading
print("stuck", file=sys.stderr, flush=True)
try:
    threading.Event().wait(60)
except BaseException:
    pass
"""


@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
@pytest.mark.parametrize("as_json", [False, True])
@pytest.mark.parametrize(
    ("module", "args"),
    [
        ("click", ("networks",)),
        ("numpy", ("sample", "a.tif")),
        ("torch", ("inspect", "a.safetensors")),
        ("torch", ("predict", "a.tif", "a.safetensors", "-o", "out.zarr")),
        ("tifffile", ("sample", "a.tif", "--shape", "8,8,8")),
        ("yaml", ("train", "recipe.yaml")),
    ],
)
def test_a_signal_before_work_is_never_lost(tmp_path, number, code, as_json, module, args):
    (tmp_path / f"{module}.py").write_text(SLOW)
    places = [str(tmp_path), *filter(None, [os.environ.get("PYTHONPATH")])]
    process = subprocess.Popen(
        [sys.executable, "-m", "napari_tileseg.cli", *args, *(["--json"] if as_json else [])],
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": os.pathsep.join(places)},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    with process:
        for line in process.stderr:
            if line == "stuck\n":
                break
        process.send_signal(number)
        stdout, stderr = process.communicate(timeout=PATIENCE)
    assert process.returncode == code, stderr
    words = "Stopped at once. Run the same command again."
    assert (stdout, stderr) == (
        (json.dumps({"error": words}) + "\n", "") if as_json else ("", f"Error: {words}\n")
    )
