"""A project folder that somebody else made: it runs nothing, and nothing outside it is removed or written."""

import json
import os
from pathlib import Path

import numpy as np
import pytest

from napari_tileseg.errors import NetworkError, StoreError, UntrustedNetworkError
from napari_tileseg.images.image import Image
from napari_tileseg.nets import NetworkReference, trust
from napari_tileseg.session import Session
from napari_tileseg.session.painting.files import FOLDER, StrokeFiles
from napari_tileseg.session.painting.reading import read_strokes
from napari_tileseg.session.painting.record import StrokeClass, StrokeRecord
from napari_tileseg.session.project.folders import claim_folder
from napari_tileseg.session.project.project import Project, Result, write_project
from napari_tileseg.settings import PredictSettings


@pytest.fixture(autouse=True)
def _own_home(tmp_path, monkeypatch):
    """Give each test its own list of trusted files."""
    monkeypatch.setenv("TILESEG_HOME", str(tmp_path / "home"))


@pytest.fixture
def session(tmp_path):
    session = Session(tmp_path / "mine")
    session.problems = []
    session.failed.connect(lambda kind, error: session.problems.append((kind, error)))
    yield session
    session.close()


KINDS = ("network", "route", "image", "reopen", "measure", "predict", "save", "size")


def settle(session):
    """Wait for everything that is under way: what one job has found may begin the next."""
    quiet = 0
    while quiet < 3:
        for kind in KINDS:
            assert session.jobs.wait(kind, 60)
        quiet = 0 if any(map(session.jobs.running, KINDS)) else quiet + 1


def removed(session, path):
    assert session.jobs.wait(f"remove {path}", 60)


def project_with(folder: Path, **entries) -> Path:
    """Write a project, and then what its author changed in it."""
    write_project(folder, Project())
    values = json.loads((folder / "project.json").read_text())
    (folder / "project.json").write_text(json.dumps({**values, **entries}))
    return folder


#: What a project may say of the network it names; SHA stands for the file's hash, FILE for its path.
CLAIMS = {
    "trusted hash": {"trust_sha256": "SHA"},
    "trusted hash with blanks": {"trust_sha256": " SHA\n"},
    "a word": {"trust": True, "trusted": True, "trust_sha256": True},
    "settings inside": {"settings": {"trust_sha256": "SHA"}},
    "a description that trusts": {"architecture": '{"trust_sha256": "SHA"}'},
    "a description in a file": {"architecture": "FILE.json"},
    "a list of trusted hashes beside": {"trust_file": "trusted_networks.txt"},
    "nothing": {},
}


@pytest.mark.parametrize("claim", CLAIMS.values(), ids=CLAIMS.keys())
def test_a_project_does_not_make_the_network_it_names_trusted(session, tmp_path, marking_script, claim):
    folder, mark = tmp_path / "theirs", tmp_path / "mark"
    folder.mkdir()
    script = folder / "script.pt"
    sha256 = marking_script(script, mark)
    script.with_name("script.pt.json").write_text(json.dumps({"axes": "yx", "in_channels": 1}))
    (folder / "trusted_networks.txt").write_text(f"{sha256}\n")
    claimed = json.loads(json.dumps(claim).replace("SHA", sha256).replace("FILE", str(script)))
    network = {"path": str(script), "sha256": sha256, **claimed}
    session.reopen(project_with(folder, network=network, trust_sha256=sha256))
    settle(session)
    ((kind, error),) = session.problems
    assert kind == "network"
    assert isinstance(error, NetworkError)
    assert session.network is None
    assert not mark.exists()


def test_the_user_who_trusts_it_gets_the_network_that_the_project_names(session, tmp_path, marking_script):
    mark, script = tmp_path / "mark", tmp_path / "script.pt"
    sha256 = marking_script(script, mark)
    said = json.dumps({"axes": "yx", "in_channels": 1, "name": "theirs", "classes": ["a", "b"]})
    network = {"path": str(script), "sha256": sha256, "architecture": said}
    session.reopen(project_with(tmp_path / "theirs", network=network))
    settle(session)
    ((_, error),) = session.problems
    assert isinstance(error, UntrustedNetworkError)
    assert error.sha256 == sha256
    assert not mark.exists()
    session.network_choice.trust(error.sha256)
    settle(session)
    assert session.network.spec.name == "theirs"
    assert mark.exists()
    # What is written down names it, and carries no trust.
    assert "trust_sha256" not in json.loads((session.folder / "project.json").read_text())["network"]


def test_a_file_that_was_trusted_before_opens_from_a_project_without_a_question(
    session, tmp_path, marking_script
):
    script = tmp_path / "script.pt"
    sha256 = marking_script(script, tmp_path / "mark")
    trust(sha256)
    session.reopen(project_with(tmp_path / "theirs", network={"path": str(script), "sha256": sha256}))
    settle(session)
    assert session.problems == []
    assert session.network.sha256 == sha256


@pytest.mark.parametrize(
    "values",
    [
        None,
        [],
        "script.pt",
        {},
        {"path": "a.pt"},
        {"path": "a.pt", "sha256": None},
        {"path": "a.pt", "sha256": "0" * 63},
        {"path": 5, "sha256": "0" * 64},
        {"path": "a\0b", "sha256": "0" * 64},
        {"path": "a" * 10**6, "sha256": "0" * 64},
        {"path": "a.pt", "sha256": "0" * 64, "architecture": "/dev/zero"},
        {"path": "a.pt", "sha256": "0" * 64, "architecture": {"name": "unet"}},
    ],
)
def test_what_names_no_network_is_refused_in_words(values):
    with pytest.raises(NetworkError):
        NetworkReference.from_untrusted(values)


def store(path: Path) -> Path:
    """Make something that could be a result."""
    (path / "0").mkdir(parents=True)
    (path / "0" / "c").write_bytes(b"12345")
    return path


#: Where a result may be said to lie; VICTIM stands for a folder outside.
PATHS = [
    "VICTIM",
    "../precious",
    "predictions/../../precious",
    "predictions/link",
    "predictions/up/precious",
    "predictions/b.ome.zarr/../../labels/0001",
    "labels/0001",
    ".",
    "",
    "predictions",
    "predictions/",
    "predictions-of-mine",
]


def everything(folder: Path) -> set[str]:
    return {str(path.relative_to(folder)) for path in folder.rglob("*")}


@pytest.fixture
def theirs(tmp_path):
    """Make a project with links and other folders in it, beside a folder that is none of its business."""
    folder, victim = tmp_path / "theirs", store(tmp_path / "precious")
    for own in ("predictions/b.ome.zarr", "labels/0001", "predictions-of-mine"):
        store(folder / own)
    (folder / "predictions" / "link").symlink_to(victim)
    (folder / "predictions" / "up").symlink_to(tmp_path)
    return folder


def reopened_with(session, folder, path):
    """Take up the project, and give its only result."""
    path = path.replace("VICTIM", str(folder.with_name("precious")))
    project_with(folder, results=[{"name": "a", "path": path, "complete": True, "saved": False}])
    session.reopen(folder)
    (result,) = session.results.all
    return result


@pytest.mark.parametrize("path", PATHS)
def test_a_path_in_a_project_never_decides_what_is_discarded(session, tmp_path, theirs, path):
    result = reopened_with(session, theirs, path)
    before = everything(tmp_path)
    session.results.discard(result)
    removed(session, result.path)
    assert everything(tmp_path) == before
    error = session.problems[-1][1]
    assert isinstance(error, StoreError)
    assert f"{result.path} was left alone" in str(error)


@pytest.mark.parametrize("path", PATHS)
def test_what_is_saved_from_elsewhere_is_copied_and_stays(session, tmp_path, theirs, path):
    result = reopened_with(session, theirs, path)
    before = everything(tmp_path)
    session.results.save(result, tmp_path / "copy.ome.zarr")
    assert session.jobs.wait("save", 60)
    removed(session, result.path)
    assert before <= everything(tmp_path)
    assert isinstance(session.problems[-1][1], StoreError)


def test_own_results_go_as_before(session, tmp_path):
    path = store(session.folder / "predictions" / "a.ome.zarr")
    write_project(session.folder, Project(results=(Result(name="a", path=path, complete=True),)))
    session.reopen(session.folder)
    (result,) = session.results.all
    session.results.save(result, tmp_path / "copy.ome.zarr")
    settle(session)
    removed(session, path)
    assert session.problems == []
    assert not path.exists()
    assert (tmp_path / "copy.ome.zarr" / "0" / "c").read_bytes() == b"12345"
    session.results.discard(session.results.all[0])
    assert (tmp_path / "copy.ome.zarr").exists()


def test_a_project_below_a_link_of_the_users_is_their_own(session, tmp_path):
    path = store(tmp_path / "disk" / "project" / "predictions" / "a.ome.zarr")
    write_project(tmp_path / "disk" / "project", Project())
    (tmp_path / "link").symlink_to(tmp_path / "disk")
    project_with(
        tmp_path / "link" / "project",
        results=[{"name": "a", "path": "predictions/a.ome.zarr", "complete": True, "saved": False}],
    )
    session.reopen(tmp_path / "link" / "project")
    session.results.discard(session.results.all[0])
    removed(session, session.folder / "predictions" / "a.ome.zarr")
    assert session.problems == []
    assert not path.exists()


@pytest.mark.parametrize("name", ["predictions", "labels", "runs", "networks", "diagnoses"])
def test_a_project_whose_folders_lead_elsewhere_is_not_taken_up(session, tmp_path, name):
    folder = project_with(tmp_path / "theirs")
    (tmp_path / "elsewhere").mkdir()
    (folder / name).symlink_to(tmp_path / "elsewhere")
    before = session.folder
    with pytest.raises(StoreError, match="link"):
        session.reopen(folder)
    assert session.folder == before


def test_links_in_a_result_are_copied_as_links(session, tmp_path):
    path = store(session.folder / "predictions" / "a.ome.zarr")
    secret = tmp_path / "secret"
    secret.write_text("mine")
    (path / "0" / "d").symlink_to(secret)
    write_project(session.folder, Project(results=(Result(name="a", path=path, complete=True),)))
    session.reopen(session.folder)
    session.results.save(session.results.all[0], tmp_path / "copy.ome.zarr")
    settle(session)
    assert (tmp_path / "copy.ome.zarr" / "0" / "d").is_symlink()
    assert secret.read_text() == "mine"


def test_a_result_with_a_link_out_of_the_project_is_not_written_to(session, tmp_path):
    values = np.random.default_rng(0).random((96, 80), np.float32)
    session.set_settings(PredictSettings(core=(64, 64)))
    session.network_choice.open("sample:cells_2d_batch_renorm")
    session.set_image(Image(values, "yx", name="cells"))
    settle(session)
    (tmp_path / "elsewhere").mkdir()
    place = session.result_path
    place.mkdir(parents=True)
    (place / "0").symlink_to(tmp_path / "elsewhere")
    session.start()
    settle(session)
    kind, error = session.problems[-1]
    assert kind == "predict"
    assert "leads out" in str(error)
    assert list((tmp_path / "elsewhere").iterdir()) == []


def test_labels_with_a_link_out_of_the_project_are_copied_before_they_are_painted_on(tmp_path):
    project, image = tmp_path / "project", Image(np.zeros((64, 64), np.float32), "yx", name="a")
    record = StrokeRecord.of(
        image, "0", "strokes", (StrokeClass(value=1, name="a", color=(1, 2, 3)),), fixed=False
    )
    files = StrokeFiles(claim_folder(project, FOLDER), record, np.dtype("u1"))
    files.create()
    files.write_chunk((0, 0), np.ones((64, 64), np.uint8))
    (tmp_path / "elsewhere").mkdir()
    (files.path / "0" / "c").rename(tmp_path / "elsewhere" / "c")
    (files.path / "0" / "c").symlink_to(tmp_path / "elsewhere" / "c")
    read = read_strokes(StrokeFiles.open(files.path), image, project)
    assert read.files.path != files.path
    read.files.write_chunk((0, 0), np.full((64, 64), 2, np.uint8))
    assert (files.read()[0, 0], read.files.read()[0, 0]) == (1, 2)


WRONG = {
    "no object": "[]",
    "a number": "5",
    "nested too deeply": '{"format": 1, "image": ' + "[" * 100_000,
    "settings of 400 digits": {"settings": {"batch": 10**400}},
    "settings of a hundred thousand digits": '{"format": 1, "settings": {"batch": 1' + "0" * 100_000 + "}}",
    "a core of text": {"settings": {"core": ["a", {}]}},
    "a setting that is infinite": {"settings": {"memory": float("inf")}},
    "results that are no list": {"results": 5},
    "a result without a path": {"results": [{"name": "a"}]},
    "a result of a number": {"results": [5]},
    "a path of a number": {"results": [{"name": "a", "path": 7}]},
    "a path with a zero byte": {"results": [{"name": "a", "path": "a\0b", "saved": "no"}]},
    "a name that is a list": {"results": [{"name": [], "path": "predictions/a"}]},
    "an entry nobody knows": {"results": [{"name": "a", "path": "predictions/a", "owner": 1}]},
    "a network that is text": {"network": "/somewhere/script.pt"},
    "an image that is text": {"image": "a.tif"},
    "an image without settings": {"image": {"name": "a", "uri": "b"}},
    "not text": b"\xff\xfe\x00",
}


@pytest.mark.parametrize("what", WRONG.values(), ids=WRONG.keys())
def test_a_project_that_makes_no_sense_is_one_error_and_changes_nothing(session, tmp_path, what):
    folder = project_with(tmp_path / "theirs")
    if isinstance(what, dict):
        project_with(folder, **what)
    else:
        (folder / "project.json").write_bytes(what if isinstance(what, bytes) else what.encode())
    before = session.folder
    with pytest.raises(StoreError, match="project"):
        session.reopen(folder)
    assert session.folder == before


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="this system has no named pipes")
def test_a_project_file_that_is_no_file_is_not_waited_for(session, tmp_path):
    (tmp_path / "theirs").mkdir()
    os.mkfifo(tmp_path / "theirs" / "project.json")
    with pytest.raises(StoreError, match="a pipe"):
        session.reopen(tmp_path / "theirs")
