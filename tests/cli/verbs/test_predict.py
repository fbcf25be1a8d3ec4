"""``tileseg predict``: the report, the store, and going on after a stop, on real processes."""

import signal
import time

import numpy as np
import ome_zarr_models.v05
import pytest
import tifffile
import zarr

from napari_tileseg.engine.regions.check.captured import Fault
from napari_tileseg.engine.regions.check.device_trial import Trial
from napari_tileseg.nets import Description, save_network
from napari_tileseg.nets.architectures.registry import build
from napari_tileseg.prediction import open_prediction

KEYS = {
    *("output", "shape", "core", "halo", "stride", "tiles", "tiles_computed", "seconds", "device", "dtype"),
    *("peak_memory_bytes", "input_normalization", "intensities", "statistics", "region"),
    *("axes", "classes", "cost", "engine", "exact", "network", "network_sha256", "notes", "warnings"),
    *("fallbacks", "on_image"),
}
#: 280 tiles of a few milliseconds each: time to stop in the middle.
MANY_TILES = ("--core", "4,4,4", "--device", "cpu")


@pytest.fixture
def job(small, tmp_path):
    return ("predict", small / "image.tif", small / "network.safetensors", "-o", tmp_path / "out.ome.zarr")


def files(folder):
    """Every file of a folder and its bytes."""
    return {p.relative_to(folder): p.read_bytes() for p in folder.rglob("*") if p.is_file()}


def wait_for_tiles(process, store, count):
    """Wait until the journal of a running prediction has `count` tiles."""
    journal = store / "tiles_done.txt"
    end = time.monotonic() + 60
    while not journal.exists() or len(journal.read_text().splitlines()) < count:
        assert process.poll() is None, process.stderr.read()
        assert time.monotonic() < end
        time.sleep(0.005)


def test_report_and_store_tell_the_same(tileseg, job, tmp_path):
    code, report = tileseg.json(*job, "--core", "8,16,16")
    assert code == 0
    assert report.keys() == KEYS
    told = {
        "output": str(tmp_path / "out.ome.zarr"),
        "shape": [20, 30, 26],
        "axes": "zyx",
        "classes": ["nucleus", "boundary"],
        "core": [8, 16, 16],
        "stride": [2, 2, 2],
        "tiles": 12,
        "tiles_computed": 12,
        "device": "cpu",
        "dtype": "float32",
        "exact": True,
        "network": "network",
    }
    assert {key: report[key] for key in told} == told
    assert 2**20 < report["peak_memory_bytes"] < 2**33
    assert report["seconds"] > 0
    store = open_prediction(report["output"])
    assert store.complete
    assert [list(sides) for sides in store.grid.halo] == report["halo"]
    assert list(store.normalization.offset) == report["input_normalization"]["offset"]


def test_a_plan_says_what_would_be_done_and_writes_nothing(tileseg, job, tmp_path):
    code, plan = tileseg.json(*job, "--core", "8,16,16", "--plan")
    assert code == 0
    assert list(tmp_path.iterdir()) == []
    _, report = tileseg.json(*job, "--core", "8,16,16")
    shared = plan.keys() & report.keys() - {"notes"}
    assert shared >= {"core", "halo", "tiles", "cost", "exact", "intensities", "region"}
    assert {key: plan[key] for key in shared} == {key: report[key] for key in shared}
    assert plan["passes"] is None
    assert "12 tiles with a core of 8 x 16 x 16" in tileseg(*job, "--core", "8,16,16", "--plan").stdout


def test_a_plan_says_passes_before_they_are_made(tileseg, small, tmp_path):
    module = build("unet", ndim=3, in_channels=1, out_channels=2, features=(2, 3), norm="instance")
    arguments = {"ndim": 3, "in_channels": 1, "out_channels": 2, "features": (2, 3), "norm": "instance"}
    network = save_network(
        module, tmp_path / "seamy.safetensors", Description(architecture="unet", arguments=arguments)
    )
    job = ("predict", small / "image.tif", network, "-o", tmp_path / "out.ome.zarr")
    code, plan = tileseg.json(*job, "--statistics", "whole", "--plan")
    assert (code, plan["statistics"], plan["passes"]["most"]) == (0, "whole", None)
    assert plan["passes"]["words"].startswith("Statistics and prediction: ")
    _, report = tileseg.json(*job, "--statistics", "whole")
    assert plan["passes"]["words"] in report["notes"]
    assert plan["region"] == report["region"]


def test_quantiles_are_those_of_the_whole_image(tileseg, job, small):
    _, report = tileseg.json(*job)
    low, high = np.percentile(tifffile.imread(small / "image.tif"), (1, 99.8))
    used = report["input_normalization"]
    assert used["kind"] == "quantiles"
    np.testing.assert_allclose((used["offset"][0], used["scale"][0]), (low, high - low), rtol=1e-12)


def test_tiles_do_not_show(tileseg, job, tmp_path):
    tiled, whole = tmp_path / "out.ome.zarr", tmp_path / "whole.ome.zarr"
    assert tileseg(*job, "--core", "4,8,10").exit_code == 0
    assert tileseg(*job[:-1], whole, "--core", "20,30,26").exit_code == 0
    assert len(open_prediction(whole).grid) == 1
    difference = zarr.open_array(tiled / "0")[:] - zarr.open_array(whole / "0")[:]
    assert np.abs(difference).max() < 1e-5


def test_a_person_reads_what_was_done_and_stderr_is_quiet(tileseg, job):
    result = tileseg(*job)
    assert result.exit_code == 0
    assert "nucleus, boundary of 20 x 30 x 26 voxels" in result.stdout
    assert "1 tiles, 1 of them computed now" in result.stdout
    assert result.stderr == ""


def test_what_makes_seams_is_warned_of(tileseg, job):
    result = tileseg(*job, "--core", "4,4,4", "--halo", "0,0,0")
    assert result.exit_code == 0
    assert result.stderr.startswith("Warning: ")
    assert "halo" in result.stderr


def test_it_tells_what_happened_and_not_what_was_planned(tileseg, job, monkeypatch):
    fault = Fault("it differs", "Tiles are computed whole: it differs.")
    monkeypatch.setattr(Trial, "program", lambda _: fault)
    code, report = tileseg.json(*job, "--core", "8,16,16")
    assert (code, report["engine"]) == (0, "plain")
    assert report["fallbacks"] == report["notes"] == [fault.note]
    assert report["cost"] > 2, "halos are computed as well"
    again = tileseg(*job, "--core", "8,16,16")
    assert fault.note in again.stdout, "the store still says so"


def test_numbers_that_are_not_used_are_noted(tileseg, job):
    _, report = tileseg.json(*job, "--quantiles", "5,95")
    assert report["input_normalization"]["percentiles"] == [1.0, 99.8]
    assert report["notes"] == [
        "quantiles is not used: it needs normalize to be quantiles or tile, and that is network."
    ]


def test_the_same_call_again_computes_nothing_and_another_one_is_refused(tileseg, job, tmp_path):
    assert tileseg(*job).exit_code == 0
    before = files(tmp_path)
    code, report = tileseg.json(*job)
    assert (code, report["tiles_computed"]) == (0, 0)
    code, report = tileseg.json(*job, "--padding", "edge")
    assert code == 5
    assert "padding was reflect and now is edge" in report["error"]
    assert files(tmp_path) == before


def test_killed_in_the_middle_it_goes_on_to_the_same_bytes(tileseg, job, tmp_path):
    out = tmp_path / "out.ome.zarr"
    process = tileseg.process(*job, *MANY_TILES)
    wait_for_tiles(process, out, 20)
    process.send_signal(signal.SIGKILL)
    process.communicate()
    assert process.returncode == -signal.SIGKILL
    done = len(open_prediction(out).done())
    assert 20 <= done < 280
    code, report = tileseg.json(*job, *MANY_TILES)
    assert (code, report["tiles"], report["tiles_computed"]) == (0, 280, 280 - done)
    undisturbed = tmp_path / "undisturbed.ome.zarr"
    assert tileseg(*job[:-1], undisturbed, *MANY_TILES).exit_code == 0
    assert files(out) == files(undisturbed)


@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_asked_to_stop_it_ends_after_the_tile_and_says_how_to_go_on(tileseg, job, tmp_path, number, code):
    out = tmp_path / "out.ome.zarr"
    process = tileseg.process(*job, *MANY_TILES)
    wait_for_tiles(process, out, 5)
    process.send_signal(number)
    stdout, stderr = process.communicate(timeout=30)
    assert (process.returncode, stdout) == (code, "")
    done = len(open_prediction(out).done())
    assert f"Stopped after {done} of 280 tiles" in stderr
    assert "Run the same command again" in stderr
    assert "Traceback" not in stderr
    assert tileseg.json(*job, *MANY_TILES)[1]["tiles_computed"] == 280 - done


def test_store_is_valid_ome_zarr(tileseg, job, tmp_path):
    assert tileseg(*job, "--voxel-size", "2,0.5,0.5").exit_code == 0
    image = ome_zarr_models.v05.Image.from_zarr(zarr.open_group(tmp_path / "out.ome.zarr", mode="r"))
    (multiscale,) = image.attributes.ome.multiscales
    assert [axis.name for axis in multiscale.axes] == ["c", "z", "y", "x"]
    assert multiscale.datasets[0].coordinateTransformations[0].scale == [1.0, 2.0, 0.5, 0.5]


def test_a_resampled_result_is_written_on_the_voxels_of_its_image(tileseg, job, tmp_path):
    on_image = tmp_path / "on_image.ome.zarr"
    finer = ("--voxel-size", "2,0.5,0.5", "--resample", "--device", "cpu", "--on-image", on_image)
    code, report = tileseg.json(*job, *finer)
    assert (code, report["on_image"]) == (0, str(on_image))
    group = zarr.open_group(on_image, mode="r")
    assert report["shape"] == [20, 15, 13]
    assert group["0"].shape == (2, 20, 30, 26)
    assert np.isfinite(group["0"][:]).all()
    assert ome_zarr_models.v05.Image.from_zarr(group)
    # The same command again finds both.
    code, again = tileseg.json(*job, *finer)
    assert (code, again["tiles_computed"]) == (0, 0)


def test_what_cannot_be_brought_onto_the_image_is_refused_first(tileseg, job, tmp_path):
    assert "add --resample" in tileseg(*job, "--on-image", tmp_path / "on.ome.zarr").stderr
    (tmp_path / "full.ome.zarr").mkdir()
    (tmp_path / "full.ome.zarr" / "a").touch()
    both = ("--resample", "--voxel-size", "2,0.5,0.5")
    assert "something else already" in tileseg(*job, *both, "--on-image", tmp_path / "full.ome.zarr").stderr
    assert "a file of its own" in tileseg(*job, *both, "--on-image", tmp_path / "out.ome.zarr").stderr
    assert not (tmp_path / "out.ome.zarr").exists()
