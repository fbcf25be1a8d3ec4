"""What a former version wrote is opened, and what it left unfinished is gone on with.

`scripts/make_older_files.py` made the files, run with that version.
"""

import hashlib
import json
import shutil
from collections.abc import Callable
from functools import partial
from pathlib import Path
from queue import SimpleQueue
from typing import Any

import numpy as np
import pytest
import torch
from click.testing import CliRunner

from napari_tileseg.cli import main
from napari_tileseg.errors import UntrustedNetworkError
from napari_tileseg.images import open_image
from napari_tileseg.nets import open_network
from napari_tileseg.prediction import open_prediction
from napari_tileseg.prediction.events import Started
from napari_tileseg.session import Session, recent_networks
from napari_tileseg.session.diagnosis.diagnoser import Diagnoser
from napari_tileseg.session.painting.strokes import Strokes
from napari_tileseg.settings import PredictSettings

OLDER = Path(__file__).parent / "older"
#: Stands in the files for the folder that they were made in.
MARK = "@FOLDER@"
#: As in `tests/test_exactness.py`: on another processor sums of float32 are taken in another order.
TOLERANCE = 1e-5
#: After a training: a share of what three steps less make of a difference, and what that is at least.
TRAINED, UNTRAINED = 0.05, 1e-2
#: Tiles that were done when a prediction ended too early, and in all; steps of a training likewise.
TILES, ALL_TILES = 4, 9
STEPS, ALL_STEPS = 3, 6
#: Stores, the network of each, and how they were made.
STORES = {
    "complete": ("tuned", ["--core", "32,32"]),
    "resampled": ("tuned", ["--core", "32,32", "--resample"]),
    "box": ("instance", ["--core", "16,16", "--box", "8:56,16:64", "--normalize", "zero_mean"]),
}
TRAINING = "--steps 6 --patch 32,32 --learning-rate 0.01 --accumulate 1 --validate-every 3 --device cpu"


@pytest.fixture(params=sorted(path.name for path in OLDER.iterdir()))
def older(request, tmp_path, monkeypatch):
    """Copy of a version's files, with its user's folder as the present user's."""
    folder = tmp_path / "older"
    shutil.copytree(OLDER / request.param, folder)
    for path in (each for each in folder.rglob("*") if each.suffix in {".json", ".csv", ".txt"}):
        text = path.read_text(encoding="utf-8")
        path.write_text(text.replace(MARK, folder.as_posix()), encoding="utf-8")
    monkeypatch.setenv("TILESEG_HOME", str(folder / "home"))
    return folder


@pytest.fixture
def expected(older) -> dict[str, Any]:
    return json.loads((older / "expected.json").read_text())


def tileseg(*args: object) -> dict[str, Any]:
    """Run a verb in this process; give what it answers."""
    result = CliRunner().invoke(main, [*map(str, args), "--quiet", "--json"])
    assert result.exit_code == 0, result.output
    return json.loads(result.stdout)


def predicted(older: Path, name: str, to: str, *more: str) -> dict[str, Any]:
    network, how = STORES[name]
    files = (older / "cells.ome.zarr", older / f"{network}.safetensors")
    return tileseg("predict", *files, "-o", older / f"{to}.ome.zarr", *how, "--device", "cpu", *more)


def voxels(store: Path) -> np.ndarray:
    values = np.asarray(open_prediction(store).view()[...])
    assert np.isfinite(values).all()
    return values


def hashes(folder: Path) -> dict[Path, str]:
    files = (path for path in folder.rglob("*") if path.is_file())
    return {path: hashlib.sha256(path.read_bytes()).hexdigest() for path in files}


@pytest.mark.parametrize("name", STORES)
def test_a_network_predicts_what_it_did(older, name):
    # Nothing else was known when they were made.
    assert predicted(older, name, "anew", "--statistics", "tile")["tiles_computed"] > 0
    was, now = voxels(older / f"{name}.ome.zarr"), voxels(older / "anew.ome.zarr")
    assert np.ptp(was) > 100 * TOLERANCE
    np.testing.assert_allclose(now, was, rtol=0, atol=TOLERANCE)


@pytest.mark.parametrize("name", STORES)
def test_a_complete_prediction_is_known_as_the_same_and_left_as_it_is(older, name):
    before = hashes(older / f"{name}.ome.zarr")
    assert open_prediction(older / f"{name}.ome.zarr").complete
    assert predicted(older, name, name)["tiles_computed"] == 0
    assert hashes(older / f"{name}.ome.zarr") == before


def test_of_a_prediction_that_was_killed_only_the_rest_is_computed(older):
    half = older / "half.ome.zarr"
    before = hashes(half / "0" / "c")
    opened, done = open_prediction(half), open_prediction(half).done()
    assert (opened.complete, len(done)) == (False, TILES)
    answer = predicted(older, "complete", "half")
    assert (answer["tiles"], answer["tiles_computed"]) == (ALL_TILES, ALL_TILES - TILES)
    assert open_prediction(half).complete
    np.testing.assert_allclose(voxels(half), voxels(older / "complete.ome.zarr"), rtol=0, atol=TOLERANCE)
    kept = {half / "0" / "c" / str(c) / str(y) / str(x) for y, x in done for c in range(2)}
    after = hashes(half / "0" / "c")
    assert {path: after[path] for path in kept} == {path: before[path] for path in kept}


def test_a_network_tells_how_it_was_trained(older):
    tuned, instance = (open_network(older / f"{name}.safetensors") for name in ("tuned", "instance"))
    told = tuned.description.provenance
    assert told["parent"]["sha256"] == instance.sha256
    assert told["step"] == ALL_STEPS
    assert told["settings"]["learning_rate"] == 0.01
    assert (instance.spec.norm_counts, tuned.spec.norm_counts) == (
        {"instance": 3},
        {"batch_renorm": 3},
    )
    assert tuned.spec.classes == ("foreground", "boundary")


def output(network: Path) -> torch.Tensor:
    """What a network says of the same random voxels."""
    opened = open_network(network)
    shape = (1, 1, *(16,) * opened.spec.ndim)
    with torch.no_grad():
        return opened.module(torch.rand(shape, generator=torch.Generator().manual_seed(0)))


def assert_trained_to_the_end(now: Path, whole: Path, stopped: Path) -> None:
    """Compare what was gone on with to what the former version came to without a stop."""
    end = output(whole)
    rest = float((output(stopped) - end).abs().max())
    assert rest > UNTRAINED
    # Processors round differently, and each step makes more of it: a share of what the rest of steps changes.
    torch.testing.assert_close(output(now), end, rtol=0, atol=TRAINED * rest)


def test_a_fine_tuning_that_was_stopped_goes_on_to_the_same_end(older):
    files = (older / "cells.ome.zarr", older / "strokes.tif", older / "instance.safetensors")
    before = json.loads((older / "stopped.run" / "numbers.json").read_text())["before"]
    how = ("--run", older / "stopped.run", "--keep", "last", "--labels-kind", "strokes", "--resume")
    out = older / "now.safetensors"
    answer = tileseg("finetune", *files, "-o", out, *how, *TRAINING.split())
    assert (answer["steps"], answer["kept_step"]) == (ALL_STEPS, ALL_STEPS)
    assert answer["before"]["loss"] == before["loss"]
    steps = (older / "stopped.run" / "curve.csv").read_text().splitlines()[1:]
    assert [int(row.split(",")[0]) for row in steps] == sorted([0, *range(1, ALL_STEPS + 1)])
    assert_trained_to_the_end(out, older / "tuned.safetensors", older / "stopped.safetensors")


def test_a_training_from_scratch_that_was_stopped_goes_on_to_the_same_end(older):
    answer = tileseg("train", older / "scratch.yaml", "--keep", "last", "--resume")
    assert (answer["steps"], answer["kept_step"]) == (ALL_STEPS, ALL_STEPS)
    whole, stopped = (older / f"scratch-{name}.safetensors" for name in ("whole", "stopped"))
    assert_trained_to_the_end(older / "scratch.safetensors", whole, stopped)


class Owner:
    """The thread that owns a session: what others tell is run in it while it waits."""

    def __init__(self) -> None:
        self.calls: SimpleQueue[Callable[[], None]] = SimpleQueue()

    def wait(self, over: Callable[[], bool]) -> None:
        while not over():
            self.calls.get(timeout=60)()

    def settle(self, session: Session) -> None:
        kinds = ("network", "route", "reopen", "image", "measure", "predict")
        self.wait(lambda: not any(map(session.jobs.running, kinds)))


@pytest.fixture
def owner():
    return Owner()


@pytest.fixture
def reopened(older, owner):
    """Session of the former version's project, with its image chosen."""
    session = Session(older / "other", owner.calls.put)
    problems, images = [], []
    session.failed.connect(lambda kind, error: problems.append((kind, error)))
    session.image_choice.reopened.connect(images.append)
    session.reopen(older / "project")
    owner.settle(session)
    session.set_image(images[0])
    owner.settle(session)
    yield session
    session.close()
    assert problems == []


def test_a_project_is_opened_with_all_that_it_refers_to(older, reopened):
    np.testing.assert_array_equal(
        np.asarray(reopened.image.data[...]), np.asarray(open_image(older / "cells.ome.zarr").data[...])
    )
    assert reopened.image.voxel_size == (0.65, 0.65)
    assert reopened.network.sha256 == open_network(older / "tuned.safetensors").sha256
    # Nothing else was known then, and its results are those of tiles.
    assert reopened.settings == PredictSettings(core=(32, 32), device="cpu", statistics="tile")
    assert reopened.readiness.ready
    results = [(each.name, each.complete, each.saved, each.network) for each in reopened.results.all]
    assert results == [("cells instance", True, False, "instance"), ("cells tuned", False, False, "tuned")]
    assert all(each.is_of(reopened.image_choice.reference) for each in reopened.results.all)
    assert [open_prediction(each.path).complete for each in reopened.results.all] == [True, False]


def test_a_result_of_a_project_that_was_not_finished_is_gone_on_with(older, reopened, owner):
    told = []
    reopened.prediction.reported.connect(told.append)
    reopened.start()
    owner.settle(reopened)
    (started,) = (event for event in told if isinstance(event, Started))
    assert (started.done, started.total) == (TILES, ALL_TILES)
    assert [each.complete for each in reopened.results.all] == [True, True]
    np.testing.assert_allclose(
        voxels(reopened.results.all[1].path), voxels(older / "complete.ome.zarr"), rtol=0, atol=TOLERANCE
    )


def test_painted_labels_are_offered_and_counted_as_they_were(reopened, owner, expected):
    strokes = Strokes(reopened, owner.calls.put)
    offers, opened, problems = [], [], []
    strokes.offered.connect(offers.append)
    strokes.opened.connect(opened.append)
    strokes.failed.connect(problems.append)
    owner.wait(partial(bool, offers))
    ((_, files),) = offers[-1]
    strokes.open(files)
    owner.wait(lambda: bool(opened or problems))
    (painting,) = opened
    assert {str(v): [p.voxels, p.strokes] for v, p in painting.painted.items()} == expected["painted"]
    assert [(each.value, each.name, each.color) for each in painting.classes] == [
        (1, "foreground", (255, 0, 255)),
        (2, "boundary", (0, 200, 0)),
    ]
    array = np.asarray(painting.array)
    assert (array[11, 29], array[41, 50], array[60, 20], array[61, 20]) == (1, 1, 2, 0)
    assert strokes.close()


def test_what_a_diagnosis_found_is_shown_as_it_was(reopened, owner, expected):
    diagnoser = Diagnoser(reopened, owner.calls.put)
    (finding,) = diagnoser.findings
    was = expected["finding"]
    diagnosis, places = finding.diagnosis, finding.diagnosis.mismatch.worst
    shown = {
        "seam_free": diagnosis.seam_free,
        "largest": diagnosis.max_abs_difference,
        "pairs": diagnosis.mismatch.pairs,
        "cause": diagnosis.audit.cause,
        "when": finding.when,
        "network": diagnosis.network,
        "core": list(diagnosis.core),
        "places": len(places),
        "worst": [places[0].class_name, *places[0].point],
    }
    assert shown == was
    assert places[0].difference == diagnosis.max_abs_difference
    assert all(profile is not None for profile in finding.profiles)
    heatmap = open_image(str(finding.heatmap)).data
    assert np.nanmax(np.asarray(heatmap[...])) == pytest.approx(diagnosis.max_abs_difference, abs=TOLERANCE)
    # It is of another network and another core than what is chosen now.
    assert diagnoser.changes(finding) == ("network", "core")
    diagnoser.close()


def test_a_file_that_was_trusted_is_trusted(older, expected, tmp_path, monkeypatch):
    assert open_network(older / "script.pt").sha256 == expected["script_sha256"]
    monkeypatch.setenv("TILESEG_HOME", str(tmp_path / "empty"))
    with pytest.raises(UntrustedNetworkError):
        open_network(older / "script.pt")


def test_networks_opened_before_are_offered_again(older):
    assert recent_networks() == tuple(
        (older / f"{name}.safetensors").as_posix() for name in ("tuned", "instance")
    )


@pytest.mark.parametrize("name", ["instance", "tuned"])
def test_what_a_cache_says_of_a_network_is_what_is_measured(older, name, tmp_path, monkeypatch):
    cached = open_network(older / f"{name}.safetensors")
    monkeypatch.setenv("TILESEG_HOME", str(tmp_path / "empty"))
    assert open_network(older / f"{name}.safetensors").spec == cached.spec
