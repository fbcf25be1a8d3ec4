"""Predicting with less memory than it takes: it shrinks, or ends in one sentence, and goes on with more."""

import json
import subprocess
import sys

import numpy as np
import pytest
import tifffile

from napari_tileseg.cli.run import memory
from napari_tileseg.cli.run.memory import PeakMemory
from napari_tileseg.cli.run.room import is_short_of_memory
from napari_tileseg.engine.regions.program.program import Program
from napari_tileseg.prediction import open_prediction

resource = pytest.importorskip("resource")
pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="other systems do not hold to RLIMIT_AS")

LOADED = "import napari_tileseg.cli.run.prediction, napari_tileseg.engine.region_engine"
#: The command, which may take so many MiB beside what it takes once all is loaded.
LIMITED = f"""
import resource, sys
from pathlib import Path
sys.argv[0] = "tileseg"
from napari_tileseg.cli import main
{LOADED}
taken = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
limit = taken + int(sys.argv.pop(1)) * 2**20
resource.setrlimit(resource.RLIMIT_AS, (limit, limit))
main()
"""
#: Of each feature map all is held at once: some 200 MB.
CORE = "--core", "64,160,160"


@pytest.fixture(scope="module")
def large(tmp_path_factory):
    folder = tmp_path_factory.mktemp("large")
    values = np.random.default_rng(0).integers(0, 1000, (64, 160, 160)).astype(np.uint16)
    tifffile.imwrite(folder / "image.tif", values)
    return folder / "image.tif"


def job(small, image, out):
    return ("predict", image, small / "network.safetensors", "-o", out, "--device", "cpu", *CORE)


@pytest.fixture(scope="module")
def whole(tileseg, small, large, tmp_path_factory):
    out = tmp_path_factory.mktemp("whole") / "out.ome.zarr"
    code, report = tileseg.json(*job(small, large, out))
    assert (code, report["fallbacks"]) == (0, [])
    return open_prediction(out).levels[0][()]


def limited(megabytes, *args):
    command = [sys.executable, "-c", LIMITED, str(megabytes), *map(str, args)]
    return subprocess.run(command, capture_output=True, text=True, check=False)


@pytest.mark.parametrize("megabytes", [60, 290])
def test_it_shrinks_or_says_so_and_goes_on(tileseg, small, large, whole, tmp_path, megabytes):
    out = tmp_path / "out.ome.zarr"
    done = limited(megabytes, *job(small, large, out), "--json")
    assert done.returncode in {0, 6}, done.stderr
    said = json.loads(done.stdout)
    if done.returncode:
        assert set(said) == {"error"}
        assert "memory" in said["error"]
        # Where torch leaves less of the limit, a core as large as this one is warned of beforehand.
        assert all(line.startswith("Warning: A core of") for line in done.stderr.splitlines())
    else:
        assert any("ran out" in each for each in said["fallbacks"])
    code, report = tileseg.json(*job(small, large, out))
    assert (code, report["tiles_computed"]) == (0, 1 if done.returncode else 0)
    np.testing.assert_allclose(open_prediction(out).levels[0][()], whole, atol=1e-6)


@pytest.mark.parametrize("loaded", ["", LOADED])
def test_nothing_is_begun_where_there_is_no_room(tmp_path, loaded):
    """Loading PyTorch with too little may kill the process; so may computing, or it may never end."""
    code = LIMITED.replace(LOADED, loaded)
    job = ["predict", tmp_path / "a.tif", tmp_path / "b.safetensors", "-o", tmp_path / "out.ome.zarr"]
    command = [sys.executable, "-c", code, "200" if loaded else "500", *map(str, job)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout) == (6, "")
    what = "Computing" if loaded else "Loading PyTorch and computing"
    assert done.stderr.startswith(f"Error: {what} takes ")
    assert done.stderr.count("\n") == 1


def test_what_loading_takes_is_known_before():
    code = f"""
import psutil
from napari_tileseg.cli.run.room import room_to_load
import napari_tileseg.cli
taken = psutil.Process().memory_info().vms
{LOADED}
print(psutil.Process().memory_info().vms - taken, room_to_load())
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    grown, said = map(int, done.stdout.split())
    assert grown < said < 1.3 * grown


@pytest.mark.parametrize(("megabytes", "threads"), [(700, 1), (4000, 2)])
def test_one_thread_computes_where_another_might_not_start(megabytes, threads):
    """A thread of OpenMP that cannot be started ends the process without a word."""
    code = LIMITED.replace("main()", "import torch; check_room(); print(torch.get_num_threads())").replace(
        "from napari_tileseg.cli import main",
        "from napari_tileseg.cli.run.room import check_room; import torch; torch.set_num_threads(2)",
    )
    command = [sys.executable, "-c", code, str(megabytes)]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    assert int(done.stdout) == threads


def test_the_peak_is_told_although_nothing_is_left_to_look_with(monkeypatch):
    with PeakMemory() as peak:
        known = peak.bytes
        monkeypatch.setattr(memory, "anonymous_bytes", lambda: bytearray(2**62))
    assert peak.bytes is not None
    assert peak.bytes >= known


def test_whatever_fails_when_nothing_is_left_fails_for_that():
    odd = SystemError("error return without exception set")
    assert is_short_of_memory(odd, left=2**20)
    assert not is_short_of_memory(odd, left=2**30)
    assert not is_short_of_memory(odd)


@pytest.mark.parametrize("words", ["", "could not create a primitive", "std::bad_alloc"])
def test_what_is_done_before_memory_runs_out_is_kept(tileseg, small, tmp_path, monkeypatch, words):
    job = ("predict", small / "image.tif", small / "network.safetensors", "--device", "cpu")
    job = (*job, "--core", "8,8,8", "-o")
    out, other = tmp_path / "out.ome.zarr", tmp_path / "other.ome.zarr"
    journal = out / "tiles_done.txt"

    def limited(run):
        def attempt(self, *given):
            if journal.exists() and len(journal.read_text().splitlines()) >= 3:
                raise RuntimeError(words) if words else MemoryError
            return run(self, *given)

        return attempt

    with monkeypatch.context() as patch:
        patch.setattr(Program, "run_one", limited(Program.run_one))
        patch.setattr(Program, "run", limited(Program.run))
        result = tileseg(*job, out)
    assert result.exit_code == 6
    assert result.stderr.splitlines()[-1].startswith("Error: cpu has too little memory for network on ")
    assert "Traceback" not in result.stderr
    done = len(open_prediction(out).done())
    assert done > 0
    code, report = tileseg.json(*job, out)
    assert (code, report["tiles_computed"]) == (0, report["tiles"] - done)
    assert tileseg(*job, other).exit_code == 0
    first, second = (open_prediction(path).levels[0][()] for path in (out, other))
    np.testing.assert_allclose(first, second, atol=1e-6)
